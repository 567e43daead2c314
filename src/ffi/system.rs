//! What the system knows about memory, whether or not MLX is linked.

/// Physical memory in bytes.
pub(super) fn physical_memory() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return super::container::physical_memory();
    #[cfg(target_vendor = "apple")]
    return super::apple::physical_memory();
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    None
}

/// The memory limit of the container that this process runs in.
pub(super) fn container_limit() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return super::container::memory_limit();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}

/// The smaller of two limits, either of which may be unknown.
pub(super) fn smaller(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, None) | (None, known) => known,
    }
}

/// Whether a version like `15.6.1` is at least `major`. What is no version is not.
#[cfg(any(target_vendor = "apple", check_apple, test))]
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

    #[test]
    fn the_unknown_does_not_limit() {
        assert_eq!(smaller(Some(3), Some(2)), Some(2));
        assert_eq!(smaller(Some(3), None), Some(3));
        assert_eq!(smaller(None, Some(2)), Some(2));
        assert_eq!(smaller(None, None), None);
    }
}
