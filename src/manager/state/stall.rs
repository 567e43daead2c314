//! Queues that admit no waiter, and since when.

use std::time::{Duration, Instant};

/// Since when a queue has admitted no waiter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    /// When it last admitted one, or got its first.
    pub(crate) since: Instant,
    /// How often it was told of since.
    reported: u32,
}

impl Stall {
    pub(crate) fn begin(now: Instant) -> Self {
        Self {
            since: now,
            reported: 0,
        }
    }

    /// When it is told of next; none if that is beyond the clock's range.
    pub(crate) fn due(&self, after: Duration) -> Option<Instant> {
        let times = 1_u32.checked_shl(self.reported)?;
        self.since.checked_add(after.checked_mul(times)?)
    }

    pub(crate) fn is_due(&self, after: Duration, now: Instant) -> bool {
        self.due(after).is_some_and(|due| due <= now)
    }

    /// Notes that it is told of now.
    pub(crate) fn note_report(&mut self, after: Duration, now: Instant) {
        while self.is_due(after, now) {
            self.reported += 1;
        }
    }
}

/// The earlier of two times, either of which may never come.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
