//! Tickets: reusable descriptions of a demand, and how to acquire them.

mod fast;
mod finish;
mod guard;
mod guess;
mod info;
mod kind;
mod locked;
mod owned;
mod owned_forms;
mod raw;
mod wait;

pub use guard::{Guard, OwnedGuard, Released};
pub use kind::Kind;
pub use wait::Wait;

use crate::Error;
use crate::fork;
use crate::manager::admission::{Admission, Patience};
use crate::manager::group::{Group, SizeCount};
use crate::manager::holds::Room;
use crate::manager::registry::About;
use crate::manager::word::{MAX_SUM, OPTIMISTIC_BYTES, Word};
use crate::manager::{Inner, Owner};
use crate::policy::{Formula, Policy, Sealed};
use crate::sync::Arc;
use fast::{Fast, Route};
use info::{GroupOf, Info};
use raw::Raw;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

/// A demand for memory: so many bytes, under a policy, of a kind.
///
/// A ticket holds nothing; it is acquired, as often as wanted and from any number of threads at once.
/// Cloning is cheap and gives the same ticket.
///
/// ```
/// use mlx_wired::{Manager, SumPolicy};
///
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(1 << 30);
/// let step = manager.ticket(&policy, 256 << 20).label("step");
/// {
///     let _guard = step.acquire()?;
///     // the work
/// }
/// # Ok::<(), mlx_wired::Error>(())
/// ```
#[derive(Clone)]
pub struct Ticket {
    // What the fast path reads stands here, one pointer nearer than the rest.
    group: GroupOf,
    size_count: Option<Arc<SizeCount>>,
    /// What one guard adds to the group's word.
    demand: u64,
    bytes: u64,
    /// How many active guards its policy [allows](crate::AtMost) at once; `u64::MAX` if it does not say.
    most: u64,
    route: Route,
    kind: Kind,
    id: u64,
    info: Arc<Info>,
}

impl Ticket {
    pub(crate) fn new(manager: &Arc<Inner>, policy: Arc<dyn Policy>, bytes: u64) -> Self {
        let formula = policy.formula(Sealed::KEY);
        let most = policy.most(Sealed::KEY).map_or(u64::MAX, u64::from);
        let policy_label: Arc<str> = policy.label().into();
        let (group, size_count) = manager.group_for(&policy, formula, &policy_label, bytes);
        let about = About {
            bytes,
            group: group.index,
            kind: Kind::Active,
            policy: policy_label,
            label: None,
            room: 0,
            evictable: false,
            origin: None,
            grown: false,
        };
        let info = Info::new(group, Owner::new(manager), policy, formula, about);
        let mut ticket = Self {
            group: GroupOf::new(&info),
            size_count,
            demand: 0,
            bytes,
            most,
            route: Route::Locked,
            kind: Kind::Active,
            id: info.id,
            info,
        };
        ticket.find_route();
        ticket
    }

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

    /// While a guard of it lives, an active demand of `bytes` under its policy fits beside all
    /// [holds](crate::Error::NoRoom), so waiting for it is waiting for work alone.
    ///
    /// For reservations and residents. A hold is admitted only where it leaves itself this room and each live hold of its
    /// group the room that it was promised, by each one's own cap; with a [budget](crate::Config::budget), each live hold
    /// of any group. Until then it is set aside. What could not leave its room even alone is
    /// [`Error::NeverAdmissible`], so a trainer learns before training begins that a step would never fit.
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

    /// Changes what people are told of it. It is another ticket from then on: clones and forgotten guards are still what
    /// they were, and so are events that nobody has been handed yet.
    fn describe(&mut self, change: impl FnOnce(&mut About)) {
        let mut about = About::clone(&self.info.about);
        change(&mut about);
        self.info = self.info.with(about);
        self.id = self.info.id;
    }

    fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.describe(|about| about.kind = kind);
        self.find_route();
        self
    }

    /// How its demand is counted, which follows from the rest.
    fn find_route(&mut self) {
        let kind = self.kind;
        self.demand = Word::demand(self.bytes.min(MAX_SUM), kind.is_driving());
        self.route = if self.group.custom || kind != Kind::Active || self.bytes > MAX_SUM {
            Route::Locked
        } else if self.size_count.is_some() {
            if self.most < u64::MAX {
                Route::Locked
            } else {
                Route::Counted
            }
        } else if self.most < u64::MAX {
            Route::SwapIfFew
        } else if self.info.can_refuse || self.bytes > OPTIMISTIC_BYTES {
            Route::Swap
        } else {
            Route::Add
        };
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
        self.info.about.label.as_deref()
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
        let raw = match self.enter(Location::caller()) {
            Ok(raw) => raw,
            Err(entered) => self.enter_slow(entered, Wait::new())?,
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
        let raw = match self.enter(Location::caller()) {
            Ok(raw) => raw,
            Err(entered) => self.enter_slow(entered, Wait::none())?,
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
        let raw = match self.enter(Location::caller()) {
            Ok(raw) => raw,
            Err(entered) => self.enter_slow(entered, wait)?,
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
        let place = Location::caller();
        match self.enter_unrecorded() {
            Fast::Admitted(word) => Ok(self.owned_guard(word, place)),
            entered => self.enter_owned_slow(entered, Wait::new(), place),
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
        let place = Location::caller();
        match self.enter_unrecorded() {
            Fast::Admitted(word) => Ok(self.owned_guard(word, place)),
            entered => self.enter_owned_slow(entered, wait, place),
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
    fn enter_slow(&self, entered: Fast, wait: Wait) -> Result<Raw, Error> {
        fork::check()?;
        let place = Location::caller();
        if let Fast::Closed = entered
            && let Some((word, since)) = self.info.manager.enter_watched(self, place)
        {
            return Ok(Raw::watched(word, since, self, place));
        }
        let admission = self.enter_locked(entered, wait, place)?;
        Ok(Raw::slow(admission, self, place))
    }

    fn enter_locked(
        &self,
        entered: Fast,
        wait: Wait,
        place: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        let manager = &self.info.manager;
        let patience = Patience::from(wait.started(&*manager.clock));
        match entered {
            Fast::Added(word) => manager.cover_added(self, word, &patience, place),
            Fast::Closed | Fast::Admitted(_) => manager.acquire_slow(self, &patience, place),
        }
    }

    /// This ticket with another size, for a guard that is resized.
    fn resized(&self, bytes: u64) -> Self {
        let mut ticket = self.clone();
        ticket.bytes = bytes;
        if ticket.size_count.is_some() {
            ticket.size_count = Some(self.info.manager.size_count(&self.info.group, bytes));
        }
        let origin = self.info.about.origin.unwrap_or(self.id);
        let grown = self.is_grown() || bytes > self.bytes;
        ticket.describe(|about| {
            about.bytes = bytes;
            about.origin = Some(origin);
            about.grown = grown;
        });
        ticket.find_route();
        ticket
    }

    /// Whether it is what a guard was grown to, or has had since.
    pub(crate) fn is_grown(&self) -> bool {
        self.info.about.grown
    }

    pub(crate) fn label_text(&self) -> Option<Arc<str>> {
        self.info.about.label.clone()
    }

    pub(crate) fn manager(&self) -> &Arc<Inner> {
        &self.info.manager
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.info.group
    }

    pub(crate) fn demand(&self) -> u64 {
        self.demand
    }

    /// How many active guards may live at once with a new one of it, if its policy says.
    pub(crate) fn most(&self) -> Option<u32> {
        let most = u32::try_from(self.most).ok();
        most.filter(|_| self.kind == Kind::Active)
    }

    pub(crate) fn size_count(&self) -> Option<&Arc<SizeCount>> {
        self.size_count.as_ref()
    }

    /// Whether its guards are holds.
    pub(crate) fn is_hold(&self) -> bool {
        self.kind != Kind::Active
    }

    /// What its guards leave for active demands.
    pub(crate) fn room(&self) -> Room {
        let bytes = if self.is_hold() {
            self.info.about.room
        } else {
            0
        };
        Room {
            formula: self.info.formula,
            bytes,
        }
    }

    pub(crate) fn is_evictable(&self) -> bool {
        self.is_hold() && self.info.about.evictable
    }

    pub(crate) fn formula(&self) -> Formula {
        self.info.formula
    }

    pub(crate) fn policy(&self) -> &Arc<dyn Policy> {
        &self.info.policy
    }

    pub(crate) fn policy_label(&self) -> &Arc<str> {
        &self.info.about.policy
    }

    pub(crate) fn wants_sizes(&self) -> bool {
        self.info.wants_sizes
    }

    pub(crate) fn can_refuse(&self) -> bool {
        self.info.can_refuse
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .field("label", &self.info.about.label)
            .field("bytes", &self.bytes)
            .field("kind", &self.kind)
            .field("policy", &self.info.about.policy)
            .finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(Ticket: Clone, Send, Sync);
