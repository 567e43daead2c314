//! How long an acquire waits.

mod token;

pub use token::CancelToken;

use crate::time::Clock;
use std::time::{Duration, Instant};

/// Bounds of a wait for admission: a deadline, a [`CancelToken`], both or neither; or no wait at all.
///
/// ```
/// use mlx_wired::{CancelToken, Wait};
/// use std::time::Duration;
///
/// let token = CancelToken::new();
/// let wait = Wait::new().timeout(Duration::from_secs(5)).cancel(&token);
/// assert_eq!(wait.get_timeout(), Some(Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Wait {
    never: bool,
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    token: Option<CancelToken>,
    for_holds: bool,
}

impl Wait {
    /// No bounds.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            never: false,
            deadline: None,
            timeout: None,
            token: None,
            for_holds: false,
        }
    }

    /// No wait, neither for admission nor for another thread's setter call: what would wait with it is
    /// [`Error::WouldBlock`](crate::Error::WouldBlock), as in [`Ticket::try_acquire`](crate::Ticket::try_acquire).
    /// Bounds that are added change nothing.
    ///
    /// ```
    /// use mlx_wired::{Manager, SumPolicy, Wait};
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let ticket = manager.ticket(&SumPolicy::capped(100), 60);
    /// let _first = ticket.acquire()?;
    /// assert!(ticket.acquire_with(Wait::none()).is_err_and(|error| error.is_would_block()));
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    #[must_use]
    pub const fn none() -> Self {
        Self {
            never: true,
            deadline: None,
            timeout: None,
            token: None,
            for_holds: false,
        }
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

    /// Waits for guards that stay, too: where an active demand would be [`Error::NoRoom`](crate::Error::NoRoom), the
    /// thread waits until a pinned demand is released or shrinks. Demands to be pinned always do.
    #[must_use]
    pub fn for_holds(mut self) -> Self {
        self.for_holds = true;
        self
    }

    pub(crate) fn waits_for_pinned(&self) -> bool {
        self.for_holds
    }

    /// Whether it is no wait at all: [`none`](Self::none).
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.never
    }

    /// The deadline, if one was set.
    #[must_use]
    pub fn get_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The timeout, if one was set.
    #[must_use]
    pub fn get_timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The token that cancels it, if one was set.
    #[must_use]
    pub fn get_cancel(&self) -> Option<&CancelToken> {
        self.token.as_ref()
    }

    /// Turns a timeout into a deadline; one beyond the clock's range is none.
    pub(crate) fn started(mut self, clock: &dyn Clock) -> Self {
        if let Some(at) = self.timeout.take().and_then(|t| clock.now().checked_add(t)) {
            self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
        }
        self
    }

    pub(crate) fn may_give_up(&self) -> bool {
        self.deadline.is_some() || self.token.is_some()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.as_ref().is_some_and(CancelToken::is_cancelled)
    }
}
