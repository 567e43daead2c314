//! What Apple's systems say of memory, and of themselves.
//!
//! The few C functions are declared here, so that no Apple-only crate is needed and the file can be
//! type-checked elsewhere: `RUSTFLAGS='--cfg check_apple' cargo check`.

#![cfg_attr(not(target_vendor = "apple"), allow(dead_code))]

mod pressure;

#[cfg(target_vendor = "apple")]
pub(super) use pressure::own_limit;
pub(super) use pressure::process_memory;
pub use pressure::{PressureEvents, vm_pressure_level};

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::size_of;
use std::ptr;

// libSystem, which every program links.
unsafe extern "C" {
    fn sysctlbyname(
        name: *const c_char,
        old: *mut c_void,
        old_len: *mut usize,
        new: *mut c_void,
        new_len: usize,
    ) -> c_int;
    fn proc_pidinfo(
        pid: c_int,
        flavor: c_int,
        arg: u64,
        buffer: *mut c_void,
        buffer_len: c_int,
    ) -> c_int;
}

/// Physical memory in bytes.
pub(super) fn physical_memory() -> Option<u64> {
    let mut bytes = [0; 8];
    let len = sysctl(c"hw.memsize", &mut bytes)?;
    (len == bytes.len()).then(|| u64::from_ne_bytes(bytes))
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

/// A text that the system has and that is not empty.
pub(crate) fn sysctl_text(name: &CStr) -> Option<String> {
    let mut buffer = [0; 64];
    let len = sysctl(name, &mut buffer)?;
    let text = CStr::from_bytes_until_nul(&buffer[..len]).ok()?;
    let text = text.to_str().ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads into `buffer` and returns how many bytes were written.
fn sysctl(name: &CStr, buffer: &mut [u8]) -> Option<usize> {
    let mut len = buffer.len();
    // SAFETY: the name is a C string; the system writes at most `len` bytes into the buffer, and sets
    // `len` to how many; nothing is set.
    let code = unsafe {
        sysctlbyname(
            name.as_ptr(),
            buffer.as_mut_ptr().cast(),
            &raw mut len,
            ptr::null_mut(),
            0,
        )
    };
    (code == 0 && len <= buffer.len()).then_some(len)
}

/// Whether a version like `15.6.1` is at least `major`. What is no version is not.
pub(crate) fn at_least(version: &str, major: u32) -> bool {
    let first = version.split('.').next().unwrap_or_default();
    first
        .trim()
        .parse::<u32>()
        .is_ok_and(|first| first >= major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(at_least("15.0", 15));
        assert!(at_least("26.5.2\n", 15));
        assert!(!at_least("14.7.1", 15));
        // What macOS tells a program that was built against an old SDK.
        assert!(!at_least("10.16", 15));
        assert!(!at_least("", 15));
        assert!(!at_least("fifteen", 15));
    }

    #[cfg(target_vendor = "apple")]
    #[test]
    fn this_system_answers() {
        assert!(physical_memory().is_some_and(|bytes| bytes > 1 << 30));
        assert!(footprint().is_some_and(|bytes| bytes > 1 << 16));
    }
}
