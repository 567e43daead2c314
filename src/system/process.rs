//! What this process has of the memory.

/// What this process uses, and what it may, by the system's own account. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessMemory {
    /// Its footprint.
    pub used: u64,
    /// The footprint at which the system ends it (iOS); the machine's memory where there is no such limit (a Mac).
    pub limit: u64,
}
