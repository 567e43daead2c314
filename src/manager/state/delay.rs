//! What is kept of waiters that the pressure delays.

use std::time::Instant;

/// Since when the pressure delays waiters of a scope, without a break.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DelayedSince {
    /// The first in the queue.
    pub(crate) queued: Option<Instant>,
    /// Those to be pinned.
    pub(crate) set_aside: Option<Instant>,
}

/// That a waiter was delayed.
#[derive(Debug)]
pub(crate) struct Delayed {
    /// When its patience ends, if that is within the clock's range.
    pub(crate) until: Option<Instant>,
}
