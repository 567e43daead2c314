//! What MLX counts.

/// MLX's memory counters and limits, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryCounters {
    /// Live arrays.
    pub active: u64,
    /// The highest `active` since the start or the last reset. A reset sets it to 0, so compare with
    /// `active`: see [`MemoryCounters::peak`].
    pub recorded_peak: u64,
    /// Freed buffers that MLX keeps for reuse. Neither `active` nor the peak contains them.
    pub cache: u64,
    /// The memory limit: above it, evaluation waits for running work.
    pub memory_limit: u64,
}

impl MemoryCounters {
    /// The peak since the last reset. MLX resets its record to 0, not to what is active.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.recorded_peak.max(self.active)
    }
}
