//! What the system tells by name.

use std::ffi::{CStr, c_char, c_int, c_void};
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
}

/// Physical memory in bytes.
pub(in crate::system) fn physical_memory() -> Option<u64> {
    let mut bytes = [0; 8];
    let len = sysctl(c"hw.memsize", &mut bytes)?;
    (len == bytes.len()).then(|| u64::from_ne_bytes(bytes))
}

/// A text that the system has and that is not empty.
pub(super) fn sysctl_text(name: &CStr) -> Option<String> {
    let mut buffer = [0; 64];
    let len = sysctl(name, &mut buffer)?;
    let text = CStr::from_bytes_until_nul(&buffer[..len]).ok()?;
    let text = text.to_str().ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads into `buffer` and returns how many bytes were written.
pub(super) fn sysctl(name: &CStr, buffer: &mut [u8]) -> Option<usize> {
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
pub(super) fn at_least(version: &str, major: u32) -> bool {
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
}
