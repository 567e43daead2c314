//! How long an acquire waits.

use crate::CancelToken;
use crate::clock::Clock;
use std::time::{Duration, Instant};

/// Bounds of a wait for admission: a deadline, a [`CancelToken`], both or neither.
///
/// ```
/// use mlx_wired::{CancelToken, Wait};
/// use std::time::Duration;
///
/// let token = CancelToken::new();
/// let wait = Wait::new().timeout(Duration::from_secs(5)).cancel(&token);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Wait {
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    token: Option<CancelToken>,
    for_holds: bool,
}

impl Wait {
    /// No bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives up at `deadline`, on the manager's clock.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Gives up `timeout` after the acquire begins. With a deadline too, the earlier counts.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives up when `token` is cancelled.
    #[must_use]
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Waits for guards that stay, too: where an active demand would be [`Error::NoRoom`](crate::Error::NoRoom), the thread
    /// waits until a hold is released or shrinks. Demands for holds always do.
    #[must_use]
    pub fn for_holds(mut self) -> Self {
        self.for_holds = true;
        self
    }

    pub(crate) fn is_for_holds(&self) -> bool {
        self.for_holds
    }

    /// Turns a timeout into a deadline; one beyond the clock's range is none.
    pub(crate) fn started(mut self, clock: &dyn Clock) -> Self {
        if let Some(at) = self.timeout.take().and_then(|t| clock.now().checked_add(t)) {
            self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
        }
        self
    }

    pub(crate) fn deadline_at(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn may_give_up(&self) -> bool {
        self.deadline.is_some() || self.token.is_some()
    }

    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.token.as_ref()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.as_ref().is_some_and(CancelToken::is_cancelled)
    }
}
