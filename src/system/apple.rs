//! What Apple's systems say of memory, and of themselves.
//!
//! The few C functions are declared here, so that no Apple-only crate is needed and the file can be
//! type-checked elsewhere: `RUSTFLAGS='--cfg check_apple' cargo check`.

#![cfg_attr(not(target_vendor = "apple"), allow(dead_code))]

mod pressure;
mod residency;
mod sysctl;

#[cfg(target_vendor = "apple")]
pub(super) use pressure::own_limit;
pub(super) use pressure::process_memory;
pub use pressure::{PressureEvents, vm_pressure_level};
pub(crate) use residency::{NoResidencySets, residency_sets};
#[cfg(target_vendor = "apple")]
pub(super) use sysctl::physical_memory;

use std::ffi::{c_int, c_void};
use std::mem::size_of;

// libSystem, which every program links.
unsafe extern "C" {
    fn proc_pidinfo(
        pid: c_int,
        flavor: c_int,
        arg: u64,
        buffer: *mut c_void,
        buffer_len: c_int,
    ) -> c_int;
}

/// What this process has resident.
pub(super) fn footprint() -> Option<u64> {
    /// `PROC_PIDTASKINFO`, which gives a `struct proc_taskinfo`: six numbers of 64 bits, of which the second is the resident
    /// size, and twelve of 32.
    const TASK_INFO: c_int = 4;
    type TaskInfo = [u64; 12];

    let mut info: TaskInfo = [0; 12];
    let pid = c_int::try_from(std::process::id()).ok()?;
    let len = c_int::try_from(size_of::<TaskInfo>()).ok()?;
    // SAFETY: the system writes at most `len` bytes into the buffer, which has so many and may hold any.
    let written = unsafe { proc_pidinfo(pid, TASK_INFO, 0, (&raw mut info).cast(), len) };
    (written == len).then_some(info[1])
}

#[cfg(all(test, target_vendor = "apple"))]
mod tests {
    use super::*;

    #[test]
    fn this_system_answers() {
        assert!(physical_memory().is_some_and(|bytes| bytes > 1 << 30));
        assert!(footprint().is_some_and(|bytes| bytes > 1 << 16));
    }
}
