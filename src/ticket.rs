//! Tickets: reusable descriptions of a demand, and how to acquire them.

mod fast;
mod figures;
mod finish;
mod guard;
mod guess;
mod info;
mod owned;
mod owned_forms;
mod parts;
mod raw;
mod released;
mod route;

pub use guard::{Guard, OwnedGuard};
pub use parts::Ticket;
pub use released::Released;

use crate::Error;
use crate::fork;
use crate::kind::Kind;
use crate::manager::AcquireWait;
use crate::manager::state::grant::Admission;
use crate::sync::Arc;
use crate::wait::Wait;
use fast::Fast;
use raw::Raw;
use std::panic::Location;
use std::time::{Duration, Instant};

impl Ticket {
    /// Makes it a [`Kind::Reservation`].
    #[must_use]
    pub fn reservation(self) -> Self {
        self.of_kind(Kind::Reservation)
    }

    /// Makes it a [`Kind::Resident`].
    #[must_use]
    pub fn resident(self) -> Self {
        self.of_kind(Kind::Resident)
    }

    /// While a guard of it lives, an active demand of `bytes` under its policy fits beside all [pinned
    /// demands](crate::Error::NoRoom), so waiting for it is waiting for work alone.
    ///
    /// For reservations and residents. A pinned demand is admitted only where it leaves itself this room and each live
    /// pinned demand of its group the room that it was promised, by each one's own cap; with a
    /// [budget](crate::Config::budget), each live pinned demand of any group. Until then it is set aside. What could
    /// not leave its room even alone is [`Error::NeverAdmissible`], so a trainer learns before training begins that a
    /// step would never fit.
    ///
    /// Leaked guards, lowered caps and larger demands are not covered. It has no effect on an active ticket.
    ///
    /// ```
    /// use mlx_wired::{Manager, SumPolicy};
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let policy = SumPolicy::capped(100);
    /// let weights = manager.ticket(&policy, 80).reservation();
    /// assert!(weights.clone().room_for(30).acquire().is_err(), "no step of 30 would ever fit");
    /// let _weights = weights.room_for(20).acquire_owned()?;
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    #[must_use]
    pub fn room_for(mut self, bytes: u64) -> Self {
        self.describe(|about| about.room = bytes);
        self
    }

    /// The program gives its guards back when memory is short: demands wait for them, and are not refused.
    ///
    /// For reservations and residents; it has no effect on an active ticket.
    #[must_use]
    pub fn evictable(mut self) -> Self {
        self.describe(|about| about.evictable = true);
        self
    }

    /// Names it, for messages and events. It is printed escaped, and cut after 80 bytes; as data it stays whole.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.describe(|about| about.label = Some(label.into()));
        self
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its [label](Self::label), if it has one.
    #[must_use]
    pub fn get_label(&self) -> Option<&str> {
        self.info.request.about().label.as_deref()
    }

    /// Its number in the process, as in events. From 1. Clones have the same; a ticket that is given another name or
    /// kind has another.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits until the policy admits the demand and the limit covers it.
    ///
    /// # Errors
    ///
    /// [`Error::NeverAdmissible`], [`Error::WouldDeadlock`], [`Error::GroupFull`], [`Error::SetLimit`],
    /// [`Error::PolicyPanicked`], [`Error::Reentrant`], [`Error::Closed`], [`Error::Forked`] and
    /// [`Error::BackendInUse`]. Nothing is held after an error.
    ///
    /// # Blocking
    ///
    /// Without bound, until others release. In a pool's worker, acquire before work is split: a worker
    /// that waits inside a join may be waiting for what its own stack holds. A wait that owned guards block is
    /// never [`Error::WouldDeadlock`], since any thread may release them.
    ///
    /// # Fairness
    ///
    /// First in, first out within the policy's group; with a [budget](crate::Config::budget) over all groups, among
    /// all of them. [`Config::overtaking`](crate::Config::overtaking) relaxes it.
    // A call that returns the guard in memory costs as much as the rest again.
    #[inline(always)]
    #[track_caller]
    pub fn acquire(&self) -> Result<Guard<'_>, Error> {
        let raw = match self.count_and_record(Location::caller()) {
            Ok(raw) => raw,
            Err(fast) => self.acquire_borrowed_slow(fast, Wait::new())?,
        };
        Ok(Guard::new(self, raw))
    }

    /// Acquires without waiting for admission or for another thread's setter call.
    ///
    /// It may make one setter call of its own. It never overtakes a waiter.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if it would have to wait, with numbers only and without allocating; else as
    /// [`acquire`](Self::acquire).
    // A call that returns the guard in memory costs as much as the rest again.
    #[inline(always)]
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Guard<'_>, Error> {
        let raw = match self.count_and_record(Location::caller()) {
            Ok(raw) => raw,
            Err(fast) => self.acquire_borrowed_slow(fast, Wait::none())?,
        };
        Ok(Guard::new(self, raw))
    }

    /// Acquires, waiting for admission at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]; else as [`acquire`](Self::acquire).
    ///
    /// # Blocking
    ///
    /// At most `timeout` for admission. A setter call in flight cannot be abandoned, so the return may
    /// be later by that call. A `timeout` too long for the clock is none.
    #[track_caller]
    pub fn admit_timeout(&self, timeout: Duration) -> Result<Guard<'_>, Error> {
        self.acquire_with(Wait::new().timeout(timeout))
    }

    /// Acquires, waiting for admission until `deadline` on the manager's clock.
    ///
    /// # Errors
    ///
    /// As [`admit_timeout`](Self::admit_timeout).
    ///
    /// # Blocking
    ///
    /// As [`admit_timeout`](Self::admit_timeout).
    #[track_caller]
    pub fn admit_deadline(&self, deadline: Instant) -> Result<Guard<'_>, Error> {
        self.acquire_with(Wait::new().deadline(deadline))
    }

    /// Acquires with a deadline and a [cancel token](crate::CancelToken) together, or with [no wait](Wait::none).
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Cancelled`] and [`Error::WouldBlock`]; else as [`acquire`](Self::acquire).
    ///
    /// # Blocking
    ///
    /// Until admission, the deadline or the cancellation, and for a setter call in flight.
    #[track_caller]
    pub fn acquire_with(&self, wait: Wait) -> Result<Guard<'_>, Error> {
        let raw = match self.count_and_record(Location::caller()) {
            Ok(raw) => raw,
            Err(fast) => self.acquire_borrowed_slow(fast, wait)?,
        };
        Ok(Guard::new(self, raw))
    }

    /// Acquires a guard that may go to other threads and outlive the ticket.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Blocking
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(&self) -> Result<OwnedGuard, Error> {
        fork::check()?;
        let location = Location::caller();
        match self.count_unrecorded() {
            Fast::Admitted(word) => Ok(self.owned_guard(word, location)),
            fast => self.acquire_owned_slow(fast, Wait::new(), location),
        }
    }

    /// [`acquire_owned`](Self::acquire_owned) with a deadline and a cancel token, or with [no wait](Wait::none).
    ///
    /// # Errors
    ///
    /// As [`acquire_with`](Self::acquire_with).
    ///
    /// # Blocking
    ///
    /// As [`acquire_with`](Self::acquire_with).
    #[track_caller]
    pub fn acquire_owned_with(&self, wait: Wait) -> Result<OwnedGuard, Error> {
        fork::check()?;
        let location = Location::caller();
        match self.count_unrecorded() {
            Fast::Admitted(word) => Ok(self.owned_guard(word, location)),
            fast => self.acquire_owned_slow(fast, wait, location),
        }
    }

    /// Acquires, calls `f`, releases: mlx-swift's `withWiredLimit`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); then `f` was not called.
    ///
    /// # Blocking
    ///
    /// As [`acquire`](Self::acquire), and as long as `f`.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&Guard<'_>) -> R) -> Result<R, Error> {
        let guard = self.acquire()?;
        Ok(f(&guard))
    }

    /// The slow path of a borrowed guard. It returns the guard's parts: were it the guard itself, the fast path
    /// would have to build its own in memory too.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn acquire_borrowed_slow(&self, fast: Fast, wait: Wait) -> Result<Raw, Error> {
        fork::check()?;
        let location = Location::caller();
        if let Fast::Closed = fast
            && let Some((word, since)) = self.info.manager.acquire_watched(self.request(), location)
        {
            return Ok(Raw::watched(word, since, self, location));
        }
        let admission = self.acquire_locked(fast, wait, location)?;
        Ok(Raw::slow(admission, self, location))
    }

    fn acquire_locked(
        &self,
        fast: Fast,
        wait: Wait,
        location: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        let manager = &self.info.manager;
        let how = AcquireWait::from(wait.started(&*manager.clock));
        match fast {
            Fast::Added(word) => manager.cover_added(self.request(), word, &how, location),
            Fast::Closed | Fast::Admitted(_) => {
                manager.acquire_slow(self.request(), &how, location)
            }
        }
    }
}
