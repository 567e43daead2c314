//! What a pool has done, and what it holds.

use super::error::PoolUser;

/// What a pool has done so far, and what it holds now. All of it is of one moment.
///
/// Bytes are capacities: a buffer's length rounded up to its class. The system gives a new block page by page as it is
/// written, so what is resident may be less.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Buffers that were made of an idle block. Blocks that are [prepared](super::BufferPool::prewarm) count neither here nor
    /// among the misses.
    pub hits: u64,
    /// Buffers that were mapped anew.
    pub misses: u64,
    /// Calls that waited for a buffer.
    pub waits: u64,
    /// Calls that got no buffer.
    pub refused: u64,
    /// Blocks that were unmapped because they were idle, for whatever reason: room for another class, the idle limit, the
    /// decay, pressure, a call.
    pub evicted_blocks: u64,
    /// The bytes of those.
    pub evicted_bytes: u64,
    /// Bytes of buffers in use now.
    pub in_use: u64,
    /// Bytes of idle blocks now.
    pub idle: u64,
    /// How many idle blocks there are now.
    pub idle_blocks: u64,
    /// The most bytes that were in use at once.
    pub peak_in_use: u64,
    /// The most bytes that were in use and idle at once; never above the limit.
    pub peak: u64,
    /// Threads that wait for a buffer now.
    pub waiting: usize,
    /// The limit in bytes; `u64::MAX` if there is none.
    pub limit: u64,
    /// The most bytes that stay idle now: the idle limit, or what pressure leaves of it.
    pub idle_limit: u64,
    /// The names that hold buffers, the largest first.
    pub users: Vec<PoolUser>,
}

impl PoolStats {
    /// The share of buffers that were made of an idle block, from 0 to 1; none before the first buffer.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}
