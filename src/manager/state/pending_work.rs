//! What must still be done about the limit, and when it is due.

use std::time::{Duration, Instant};

/// What must still be done.
#[derive(Debug, Default)]
pub(crate) struct PendingWork {
    /// When the cooldown allows the shrink that it holds back.
    pub(crate) shrink_at: Option<Instant>,
    /// Since when a shrink has been held back.
    pub(crate) shrink_since: Option<Instant>,
    /// Since when the epoch lingers.
    pub(crate) lingers_since: Option<Instant>,
    /// When the lingering epoch ends.
    pub(crate) end_at: Option<Instant>,
    /// The epoch has lingered already.
    pub(crate) lingered: bool,
    /// When a failed call is tried again.
    pub(crate) retry_at: Option<Instant>,
    pub(crate) failures: u32,
}

impl PendingWork {
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.shrink_at, self.end_at, self.retry_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The back-off after another failure: 1 s, doubling to a minute.
    pub(crate) fn schedule_retry(&mut self, now: Instant) {
        let seconds = 1 << self.failures.min(6);
        self.failures += 1;
        self.retry_at = Some(now + Duration::from_secs(seconds).min(Duration::from_secs(60)));
    }

    /// The next time that the last driving guard ends, the epoch lingers anew.
    pub(crate) fn restart_linger(&mut self) {
        self.lingers_since = None;
        self.end_at = None;
        self.lingered = false;
    }

    pub(crate) fn cancel_retry(&mut self) {
        self.retry_at = None;
        self.failures = 0;
    }
}
