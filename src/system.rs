//! What the system knows about memory, whether or not MLX is linked: how much there is, what the container allows, and what
//! this process uses.
//!
//! What the budget is made from degrades quietly: what cannot be read is unknown, never an error. An unknown limit is not
//! the same as none: without `/proc` the kernel is asked by system calls. The public functions say what went wrong, for
//! [`memory`](crate::memory).

#[cfg(any(target_vendor = "apple", check_apple))]
mod apple;
mod container;
mod groups;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
mod machine;
mod process;
#[cfg(unix)]
mod watch;

#[cfg(any(target_vendor = "apple", check_apple))]
#[cfg_attr(
    not(target_vendor = "apple"),
    allow(unused_imports, reason = "type-checked alone")
)]
pub(crate) use apple::{NoResidencySets, residency_sets};
#[cfg(any(target_vendor = "apple", check_apple))]
pub use apple::{PressureEvents, vm_pressure_level};
pub use groups::{ControlGroups, GroupMemory};
pub use machine::MachineMemory;
pub use process::ProcessMemory;
#[cfg(unix)]
pub use watch::{PressureWatch, WatchSetting};

/// Physical memory in bytes.
pub(crate) fn physical_memory() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return linux::physical_memory();
    #[cfg(target_vendor = "apple")]
    return apple::physical_memory();
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    None
}

/// The memory limit of the container that this process runs in, as it is now; on iOS that of the process.
pub(crate) fn container_limit() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return container::memory_limit();
    #[cfg(target_vendor = "apple")]
    return apple::own_limit();
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    None
}

impl ProcessMemory {
    /// Asks the system; `None` where it has no such account, as on Linux, where [`ControlGroups`] tell.
    #[must_use]
    pub fn read() -> Option<Self> {
        #[cfg(any(target_vendor = "apple", check_apple))]
        return apple::process_memory();
        #[cfg(not(any(target_vendor = "apple", check_apple)))]
        None
    }
}

/// What this process uses and cannot give back: without the pages of files, which the system drops when it needs room.
pub(crate) fn footprint() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return linux::footprint().unwrap_or(0);
    #[cfg(target_vendor = "apple")]
    return apple::footprint().unwrap_or(0);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    0
}

/// The memory that this process may use, as it is now: the container's limit, or the machine's memory where that is
/// smaller.
pub(crate) fn memory() -> Option<u64> {
    smaller(physical_memory(), container_limit())
}

/// What is measured counts in steps of so many bytes, so that a budget does not change with each page.
pub(crate) const STEP: u64 = 16 << 20;

/// What work may use of `memory` beside `other` bytes that the process uses for other things.
pub(crate) fn left_of(memory: u64, other: u64) -> u64 {
    let other = other.checked_next_multiple_of(STEP).unwrap_or(u64::MAX);
    memory.saturating_sub(other).saturating_sub(reserve(memory))
}

/// What is left free of `memory` by default, for page tables, for the allocator's own, and for what the process comes to
/// use later.
fn reserve(memory: u64) -> u64 {
    const LEAST: u64 = 64 << 20;
    const MOST: u64 = 2 << 30;
    (memory / 32).clamp(LEAST, MOST)
}

/// The smaller of two limits, either of which may be unknown.
pub(crate) fn smaller(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn the_unknown_does_not_limit() {
        assert_eq!(smaller(Some(3), Some(2)), Some(2));
        assert_eq!(smaller(Some(3), None), Some(3));
        assert_eq!(smaller(None, Some(2)), Some(2));
        assert_eq!(smaller(None, None), None);
    }

    #[test]
    fn r41_a_32nd_is_left_free_within_bounds() {
        assert_eq!(reserve(256 * MIB), 64 * MIB);
        assert_eq!(reserve(2 * GIB), 64 * MIB);
        assert_eq!(reserve(16 * GIB), 512 * MIB);
        assert_eq!(reserve(64 * GIB), 2 * GIB);
        assert_eq!(reserve(u64::MAX), 2 * GIB);
    }

    #[test]
    fn r41_what_is_left_is_beside_the_process_and_the_reserve() {
        assert_eq!(left_of(256 * MIB, 96 * MIB), 96 * MIB);
        assert_eq!(left_of(256 * MIB, 96 * MIB + 1), 80 * MIB);
        assert_eq!(left_of(16 * GIB, GIB), 15 * GIB - 512 * MIB);
        assert_eq!(left_of(64 * MIB, 0), 0);
        assert_eq!(left_of(GIB, u64::MAX), 0);
    }

    #[test]
    fn this_machine_has_memory_and_this_process_uses_some() {
        if cfg!(any(target_os = "linux", target_vendor = "apple")) {
            let memory = memory().expect("the system tells");
            let used = footprint();
            assert!(memory > MIB);
            assert!(used > 4096 && used < memory, "{used} of {memory}");
        }
    }
}
