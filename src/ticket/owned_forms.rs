//! The other forms of acquiring an owned guard: each is [`Ticket::acquire_owned_with`] with a wait of its own.

use super::{OwnedGuard, Ticket};
use crate::Error;
use crate::wait::Wait;
use std::time::{Duration, Instant};

impl Ticket {
    /// [`try_acquire`](Self::try_acquire) for a guard that may go to other threads and outlive the ticket.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if it would have to wait; else as [`acquire`](Self::acquire).
    #[track_caller]
    pub fn try_acquire_owned(&self) -> Result<OwnedGuard, Error> {
        self.acquire_owned_with(Wait::none())
    }

    /// [`admit_timeout`](Self::admit_timeout) for a guard that may go to other threads and outlive the ticket, so that
    /// the ticket may be a temporary:
    ///
    /// ```
    /// use mlx_wired::{Manager, SumPolicy};
    /// use std::time::Duration;
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let policy = SumPolicy::capped(1 << 30);
    /// let guard = manager.ticket(&policy, 256 << 20).admit_timeout_owned(Duration::from_secs(5))?;
    /// assert_eq!(guard.bytes(), 256 << 20);
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    ///
    /// A borrowed guard of a temporary does not compile:
    ///
    /// ```compile_fail,E0716
    /// # use mlx_wired::{Manager, SumPolicy};
    /// # use std::time::Duration;
    /// # let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// # let policy = SumPolicy::capped(1 << 30);
    /// let guard = manager.ticket(&policy, 256 << 20).admit_timeout(Duration::from_secs(5))?;
    /// assert_eq!(guard.bytes(), 256 << 20);
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`admit_timeout`](Self::admit_timeout).
    ///
    /// # Blocking
    ///
    /// As [`admit_timeout`](Self::admit_timeout).
    #[track_caller]
    pub fn admit_timeout_owned(&self, timeout: Duration) -> Result<OwnedGuard, Error> {
        self.acquire_owned_with(Wait::new().timeout(timeout))
    }

    /// [`admit_deadline`](Self::admit_deadline) for a guard that may go to other threads and outlive the ticket.
    ///
    /// # Errors
    ///
    /// As [`admit_timeout`](Self::admit_timeout).
    ///
    /// # Blocking
    ///
    /// As [`admit_timeout`](Self::admit_timeout).
    #[track_caller]
    pub fn admit_deadline_owned(&self, deadline: Instant) -> Result<OwnedGuard, Error> {
        self.acquire_owned_with(Wait::new().deadline(deadline))
    }
}
