//! What a manager has counted.

use std::time::Duration;

/// What a manager has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Calls of the setter.
    pub setter_calls: u64,
    /// Calls of the setter that failed.
    pub setter_failures: u64,
    /// Times the limit was set to the ceiling though more was called for.
    pub clamped: u64,
    /// Times MLX had another limit than the one set last.
    pub foreign_changes: u64,
    /// Acquires and growing resizes that were covered by another thread's call of the setter, without one of their own.
    pub coalesced: u64,
    /// Acquires and growing resizes that succeeded under the lock; those that changed nothing for others needed none, and
    /// are not counted.
    pub admissions: u64,
    /// Acquires and growing resizes that waited for admission.
    pub waits: u64,
    /// Waits that ended with a deadline.
    pub timeouts: u64,
    /// Waits that were cancelled.
    pub cancellations: u64,
    /// How often a queue was found that had admitted no waiter for [`Config::stall_after`](crate::Config::stall_after),
    /// twice that time, and so on.
    pub stalls: u64,
    /// Releases before which a synchronisation or hook failed.
    pub release_failures: u64,
    /// The longest wait for admission that ended with a guard.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub longest_wait: Duration,
    /// The sum of those waits.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub total_wait: Duration,
}

impl Stats {
    pub(crate) fn note_wait(&mut self, waited: Duration) {
        self.longest_wait = self.longest_wait.max(waited);
        self.total_wait = self.total_wait.saturating_add(waited);
    }
}
