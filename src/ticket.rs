//! Tickets: reusable descriptions of a demand, and how to acquire them.

mod guard;
mod wait;

pub use guard::{Guard, OwnedGuard, Released};
pub use wait::Wait;

use crate::Error;
use crate::manager::Inner;
use crate::manager::admission::{Admission, Patience};
use crate::manager::group::{Group, Reads, SizeCount};
use crate::manager::word::{MAX_SUM, OPTIMISTIC_BYTES, Word};
use crate::policy::{Formula, Policy};
use crate::sync::{Arc, Ordering};
use guard::Raw;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

/// What a live guard does to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Kind {
    /// Work: raises the limit while it lives.
    #[default]
    Active,
    /// Counts for admission and sizing, but does not hold the limit up: weights that may be paged out
    /// while nothing works.
    Reservation,
    /// Counts, and holds the limit up by itself: a loaded model that must stay fast.
    Resident,
}

impl Kind {
    /// Whether a guard of this kind holds the limit up.
    #[must_use]
    pub fn is_driving(self) -> bool {
        self != Self::Reservation
    }
}

/// A demand for memory: so many bytes, under a policy, of a kind.
///
/// A ticket holds nothing; it is acquired, as often as wanted and from any number of threads at once.
/// Cloning is cheap and gives the same ticket.
///
/// ```
/// use mlx_wired::{Manager, SumPolicy};
///
/// let manager = Manager::builder().build()?;
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
    group: Arc<Group>,
    size_count: Option<Arc<SizeCount>>,
    /// What one guard adds to the group's word.
    demand: u64,
    bytes: u64,
    route: Route,
    kind: Kind,
    info: Arc<Info>,
}

/// What only the slow path and people read.
#[derive(Clone)]
struct Info {
    manager: Arc<Inner>,
    policy: Arc<dyn Policy>,
    can_refuse: bool,
    formula: Formula,
    policy_label: Arc<str>,
    label: Option<Arc<str>>,
    id: u64,
}

/// How the fast path counts a ticket's demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Adds, then looks: the policy never refuses.
    Add,
    /// Looks, then compares and swaps.
    Swap,
    /// Everything happens under the lock.
    Locked,
}

/// What the fast path found.
pub(crate) enum Fast {
    /// The demand is counted and covered; the group's sum with it.
    Admitted(u64),
    /// The demand is counted; the limit does not cover it yet.
    Added(Word),
    /// Nothing was counted.
    Closed,
}

impl Ticket {
    pub(crate) fn new(manager: &Arc<Inner>, policy: Arc<dyn Policy>, bytes: u64) -> Self {
        let formula = policy.formula();
        let policy_label: Arc<str> = policy.label().into();
        let (group, size_count) = manager.group_for(&policy, formula, &policy_label, bytes);
        let can_refuse = policy.can_refuse();
        let info = Info {
            can_refuse,
            policy,
            formula,
            manager: manager.clone(),
            policy_label,
            label: None,
            id: manager.next_ticket(),
        };
        Self {
            group,
            size_count,
            demand: 0,
            bytes,
            route: Route::Locked,
            kind: Kind::Active,
            info: Arc::new(info),
        }
        .of_kind(Kind::Active)
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

    /// Names it, for messages and events.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.info).label = Some(label.into());
        self
    }

    fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.demand = Word::demand(self.bytes.min(MAX_SUM), kind.is_driving());
        self.route = if self.group.custom || kind == Kind::Reservation || self.bytes > MAX_SUM {
            Route::Locked
        } else if self.info.can_refuse || self.bytes > OPTIMISTIC_BYTES {
            Route::Swap
        } else {
            Route::Add
        };
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

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.info.label.as_deref()
    }

    /// Its number in its manager, as in events.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.info.id
    }

    /// Waits until the policy admits the demand and the limit covers it.
    ///
    /// # Errors
    ///
    /// [`Error::NeverAdmissible`], [`Error::GroupFull`], [`Error::SetLimit`],
    /// [`Error::PolicyPanicked`], [`Error::Reentrant`], [`Error::Closed`] and
    /// [`Error::BackendInUse`]. Nothing is held after an error.
    ///
    /// # Blocking
    ///
    /// Without bound, until others release. In a pool's worker, acquire before work is split: a worker
    /// that waits inside a join may be waiting for what its own stack holds.
    ///
    /// # Fairness
    ///
    /// First in, first out within the policy's group.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> Result<Guard<'_>, Error> {
        match self.enter() {
            Fast::Admitted(sum) => Ok(Guard::new(self, Raw::fast(sum))),
            entered => self.borrow_slow(entered, Wait::new(), true),
        }
    }

    /// Acquires without waiting for admission or for another thread's setter call.
    ///
    /// It may make one setter call of its own. It never overtakes a waiter.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if it would have to wait, with numbers only and without allocating; else as
    /// [`acquire`](Self::acquire).
    #[inline]
    #[track_caller]
    pub fn try_acquire(&self) -> Result<Guard<'_>, Error> {
        match self.enter() {
            Fast::Admitted(sum) => Ok(Guard::new(self, Raw::fast(sum))),
            entered => self.borrow_slow(entered, Wait::new(), false),
        }
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
    #[track_caller]
    pub fn admit_deadline(&self, deadline: Instant) -> Result<Guard<'_>, Error> {
        self.acquire_with(Wait::new().deadline(deadline))
    }

    /// Acquires with a deadline and a [cancel token](crate::CancelToken) together.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] and [`Error::Cancelled`]; else as [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_with(&self, wait: Wait) -> Result<Guard<'_>, Error> {
        match self.enter() {
            Fast::Admitted(sum) => Ok(Guard::new(self, Raw::fast(sum))),
            entered => self.borrow_slow(entered, wait, true),
        }
    }

    /// Acquires a guard that may go to other threads and outlive the ticket.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(&self) -> Result<OwnedGuard, Error> {
        self.acquire_owned_with(Wait::new())
    }

    /// [`acquire_owned`](Self::acquire_owned) with a deadline and a cancel token.
    ///
    /// # Errors
    ///
    /// As [`acquire_with`](Self::acquire_with).
    #[track_caller]
    pub fn acquire_owned_with(&self, wait: Wait) -> Result<OwnedGuard, Error> {
        let raw = match self.enter() {
            Fast::Admitted(sum) => Raw::fast(sum),
            entered => self.enter_slow(entered, wait, true, Location::caller())?,
        };
        Ok(OwnedGuard::new(self.clone(), raw))
    }

    /// Acquires, calls `f`, releases: mlx-swift's `withWiredLimit`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); then `f` was not called.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&Guard<'_>) -> R) -> Result<R, Error> {
        let guard = self.acquire()?;
        Ok(f(&guard))
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn borrow_slow(&self, entered: Fast, wait: Wait, waits: bool) -> Result<Guard<'_>, Error> {
        let raw = self.enter_slow(entered, wait, waits, Location::caller())?;
        Ok(Guard::new(self, raw))
    }

    fn enter_slow(
        &self,
        entered: Fast,
        wait: Wait,
        waits: bool,
        place: &'static Location<'static>,
    ) -> Result<Raw, Error> {
        let manager = &self.info.manager;
        let wait = wait.started(&*manager.clock);
        let patience = Patience { waits, wait };
        let admission: Admission = match entered {
            Fast::Admitted(sum) => return Ok(Raw::fast(sum)),
            Fast::Added(word) => manager.cover_added(self, word, &patience, place)?,
            Fast::Closed => manager.acquire_slow(self, &patience, place)?,
        };
        Ok(Raw::slow(admission))
    }

    /// Counts the demand if that needs no lock.
    #[inline]
    fn enter(&self) -> Fast {
        let reads = &self.group.reads;
        // Relaxed: a stale value only sends us to the lock, or past it to a closed cover.
        let admit = reads.admit.load(Ordering::Relaxed);
        let word = match self.route {
            Route::Add if admit != 0 => {
                self.count_size();
                // AcqRel: after a session's read of this word we see the covers that it closed before; and it sees
                // our size count.
                let old = self.group.word.fetch_add(self.demand, Ordering::AcqRel);
                Word(old.wrapping_add(self.demand))
            }
            Route::Swap if admit != 0 => match self.swap_in(admit) {
                Some(word) => word,
                None => return Fast::Closed,
            },
            _ => return Fast::Closed,
        };
        let basis = if self.size_count.is_some() {
            self.bytes
        } else {
            word.sum()
        };
        if basis < reads.cover.load(Ordering::Acquire) && !word.overflows() {
            Fast::Admitted(word.sum())
        } else {
            Fast::Added(word)
        }
    }

    /// Releases a guard of this ticket. The fast path if nothing follows from it.
    #[inline]
    pub(crate) fn leave(&self) {
        let reads = &self.group.reads;
        let looks =
            self.route == Route::Locked || reads.flags.load(Ordering::Relaxed) & Reads::ALWAYS != 0;
        if looks {
            return self.leave_counted();
        }
        let last = match &self.size_count {
            // Relaxed: ordered by the word's subtraction.
            Some(count) => count.0.fetch_sub(1, Ordering::Relaxed) == 1,
            None => false,
        };
        // AcqRel: after a session's second read of this word we see the floor and flags that it published before;
        // and it sees our subtraction otherwise.
        let old = self.group.word.fetch_sub(self.demand, Ordering::AcqRel);
        let word = Word(old.wrapping_sub(self.demand));
        let floor = reads.floor.load(Ordering::Acquire);
        let flags = reads.flags.load(Ordering::Acquire);
        let may_shrink = match &self.size_count {
            Some(_) => last && self.bytes >= floor,
            None => word.sum() < floor,
        };
        let may_end = word.driving() == 0 && flags & Reads::ANCHORED_ELSEWHERE == 0;
        if word.has_waiters() || may_shrink || may_end || flags & Reads::ALWAYS != 0 {
            self.leave_gone();
        }
    }

    #[cold]
    #[inline(never)]
    fn leave_counted(&self) {
        self.info.manager.release_counted(self);
    }

    #[cold]
    #[inline(never)]
    fn leave_gone(&self) {
        let manager = &self.info.manager;
        manager.after_release(&mut manager.lock(), self);
    }

    /// Takes the demand out of the group's word. Returns the word without it.
    pub(crate) fn subtract(&self) -> Word {
        if let Some(count) = &self.size_count {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        let old = self.group.word.fetch_sub(self.demand, Ordering::AcqRel);
        Word(old.wrapping_sub(self.demand))
    }

    /// Whether releasing now may lower the limit, so that the work must be finished first.
    #[inline]
    pub(crate) fn may_lower(&self) -> bool {
        let flags = self.group.reads.flags.load(Ordering::Relaxed);
        flags & Reads::SYNCHRONIZE != 0 && self.info.manager.may_lower(self)
    }

    pub(crate) fn manager(&self) -> &Arc<Inner> {
        &self.info.manager
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    pub(crate) fn demand(&self) -> u64 {
        self.demand
    }

    pub(crate) fn formula(&self) -> Formula {
        self.info.formula
    }

    pub(crate) fn policy(&self) -> &Arc<dyn Policy> {
        &self.info.policy
    }

    pub(crate) fn policy_label(&self) -> &Arc<str> {
        &self.info.policy_label
    }

    pub(crate) fn can_refuse(&self) -> bool {
        self.info.can_refuse
    }

    pub(crate) fn size_count(&self) -> Option<&SizeCount> {
        self.size_count.as_deref()
    }
}

/// The parts of the fast path.
impl Ticket {
    #[inline]
    fn count_size(&self) {
        if let Some(count) = &self.size_count {
            // Relaxed: ordered by the word's addition that follows.
            count.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds the demand if the group stays below `admit` and nobody waits.
    #[inline]
    fn swap_in(&self, admit: u64) -> Option<Word> {
        self.count_size();
        let word = &self.group.word;
        let mut seen = Word(word.load(Ordering::Relaxed));
        loop {
            let next = seen
                .checked_add(self.demand)
                .filter(|next| !seen.has_waiters() && next.sum() < admit);
            let Some(next) = next else {
                if let Some(count) = &self.size_count {
                    count.0.fetch_sub(1, Ordering::Relaxed);
                }
                return None;
            };
            match word.compare_exchange_weak(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => seen = Word(now),
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.info.id)
            .field("label", &self.info.label)
            .field("bytes", &self.bytes)
            .field("kind", &self.kind)
            .field("policy", &self.info.policy_label)
            .finish_non_exhaustive()
    }
}

static_assertions::assert_impl_all!(Ticket: Clone, Send, Sync);
