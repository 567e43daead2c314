//! Waiters, and the tokens that cancel them.

use super::admission::Admission;
use super::core::Core;
use super::elastic::Delayed;
use super::group::GroupState;
use super::holds::HoldKey;
use super::judge::Demand;
use super::stalls::Standstill;
use super::word::Word;
use crate::Error;
use crate::clock::Waker;
use crate::event::Event;
use crate::fork;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, ThreadId, unmodelled};
use crate::ticket::Ticket;
use std::collections::BTreeMap;
use std::panic::Location;
use std::time::{Duration, Instant};

/// One acquire that waits for admission.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Later waits have larger ones.
    pub(crate) number: u64,
    /// Its key in the line, while it is in line. Written under the manager's lock.
    pub(crate) key: AtomicU64,
    pub(crate) ticket: Ticket,
    /// What a growing guard holds meanwhile.
    pub(crate) from: Option<Ticket>,
    pub(crate) waker: Waker,
    pub(crate) since: Instant,
    pub(crate) place: &'static Location<'static>,
    pub(crate) thread: ThreadId,
    pub(crate) thread_name: Option<Arc<str>>,
    /// Since when it is set aside, if it is, and how often that was told. Written under the manager's lock.
    pub(crate) aside_since: Mutex<Option<Standstill>>,
    /// As what it will be, or is, among the holds.
    pub(crate) hold: Option<HoldKey>,
    /// It waits for holds rather than being refused beside them.
    pub(crate) for_holds: bool,
    /// Its thread holds a guard, or waits to grow one: else it closes no circle.
    pub(crate) holds: bool,
    /// It has a deadline or a token.
    pub(crate) may_give_up: bool,
    /// How long its line may admit no waiter before that is told of, if ever.
    pub(crate) stall_after: Option<Duration>,
    /// Once the pressure has delayed it. Written under the manager's lock. The models do not see this lock: the waiter alone
    /// takes it elsewhere, to learn when to wake, and is woken after each change.
    pub(crate) delayed: unmodelled::Mutex<Option<Delayed>>,
    /// How many have been admitted before it that came after it.
    pub(crate) overtaken: AtomicU64,
    /// Set once, under the manager's lock, when the waiter leaves the queue by another's hand.
    pub(crate) outcome: Mutex<Option<Result<Granted, Error>>>,
}

/// A waiter's admission, by another's hand.
#[derive(Debug)]
pub(crate) enum Granted {
    /// The limit covers it: nothing is left to do.
    Covered(Admission),
    /// The limit does not cover it yet; it is in [`Core::uncovered`](super::core::Core::uncovered). With it, the group's
    /// word.
    Added(Word),
}

impl Waiter {
    pub(super) fn demand(&self) -> Demand<'_> {
        Demand {
            ticket: &self.ticket,
            from: self.from.as_ref(),
            waiter: Some(self),
            hold: self.hold,
            for_holds: self.for_holds,
        }
    }

    /// Its key in the line, while it is in line.
    pub(crate) fn key(&self) -> u64 {
        // Relaxed: under the manager's lock.
        self.key.load(Ordering::Relaxed)
    }

    /// Growing guards come first, then the order of arrival.
    pub(crate) fn order(&self) -> (bool, u64) {
        (self.from.is_none(), self.number)
    }

    /// Whether it waits for a hold that does not live yet.
    pub(super) fn is_new_hold(&self) -> bool {
        self.ticket.is_hold() && self.from.is_none()
    }

    /// Says in an event of another thread who waits, and where.
    pub(super) fn sign(&self, event: &mut Event) {
        event.place = Some(self.place);
        event.thread = self.thread;
        event.thread_name.clone_from(&self.thread_name);
    }
}

/// How waiters come and go: with their numbers, and since when their lines stand still.
impl Core {
    /// Puts a waiter in line, at its key.
    pub(super) fn enqueue(&mut self, waiter: Arc<Waiter>, now: Instant) {
        let begun = Some(Standstill::begin(now));
        if self.waiting == 0 {
            self.standstill = begun;
        }
        self.waiting += 1;
        self.waiting_holders += u64::from(waiter.holds);
        let state = self.group_mut(waiter.ticket.group().index);
        if state.queue.is_empty() {
            state.standstill = begun;
        }
        state.in_line.include(&waiter);
        state.queue.insert(waiter.key(), waiter);
        state.tell_waiting();
    }

    /// Sets a waiter aside that is in no line.
    pub(super) fn set_aside(&mut self, waiter: Arc<Waiter>, now: Instant) {
        self.aside += 1;
        self.waiting_holders += u64::from(waiter.holds);
        *waiter.aside_since.lock() = Some(Standstill::begin(now));
        let state = self.group_mut(waiter.ticket.group().index);
        state.set_aside.include(&waiter);
        state.aside.insert(waiter.number, waiter);
        state.tell_waiting();
    }

    /// Whether a waiter is set aside.
    pub(super) fn is_aside(&self, waiter: &Waiter) -> bool {
        let state = self.group(waiter.ticket.group().index);
        state.aside.contains_key(&waiter.number)
    }

    /// Takes a waiter out of the line, or from those set aside, if it is there.
    pub(super) fn take_waiter(&mut self, waiter: &Waiter) -> Option<Arc<Waiter>> {
        let state = self.group_mut(waiter.ticket.group().index);
        if let Some(taken) = state.queue.remove(&waiter.key()) {
            state.tell_waiting();
            self.waiting -= 1;
            self.waiting_holders -= u64::from(taken.holds);
            return Some(taken);
        }
        let taken = state.aside.remove(&waiter.number)?;
        state.delayed.remove(&waiter.number);
        // Demands for holds may have been set aside behind it.
        state.changed.freed = true;
        state.tell_waiting();
        self.aside -= 1;
        self.waiting_holders -= u64::from(taken.holds);
        Some(taken)
    }

    /// Takes all waiters of a group.
    pub(super) fn take_waiters(&mut self, index: usize) -> Vec<Arc<Waiter>> {
        let state = self.group_mut(index);
        let queue = std::mem::take(&mut state.queue);
        let aside = std::mem::take(&mut state.aside);
        state.delayed.clear();
        state.tell_waiting();
        self.waiting -= queue.len() as u64;
        self.aside -= aside.len() as u64;
        let all: Vec<_> = queue.into_values().chain(aside.into_values()).collect();
        self.waiting_holders -= all.iter().filter(|waiter| waiter.holds).count() as u64;
        all
    }

    /// How many are in line in all groups.
    pub(crate) fn in_line(&self) -> u64 {
        self.waiting
    }

    /// How many wait in all groups, in line or set aside.
    pub(crate) fn waiters(&self) -> u64 {
        self.waiting + self.aside
    }
}

impl GroupState {
    fn tell_waiting(&self) {
        // Relaxed: a figure for people.
        let waiting = &self.shared.waiting;
        let count = (self.queue.len() + self.aside.len()) as u64;
        waiting.store(count, Ordering::Relaxed);
    }
}

/// Cancels waits from another thread.
///
/// One token can cancel any number of waits, present and future. Clones are the same token.
///
/// ```
/// use mlx_wired::{CancelToken, Error, Manager, SumPolicy, Wait};
///
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(100);
/// let ticket = manager.ticket(&policy, 60);
/// let _first = ticket.acquire()?;
///
/// let token = CancelToken::new();
/// token.cancel();
/// let second = ticket.acquire_with(Wait::new().cancel(&token));
/// assert!(matches!(second, Err(Error::Cancelled { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Cancel>);

#[derive(Debug, Default)]
struct Cancel {
    cancelled: AtomicBool,
    /// By the numbers of the waits.
    waiting: Mutex<BTreeMap<u64, Waker>>,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every wait with this token, now and later. A wait that was already admitted still
    /// gives its guard.
    pub fn cancel(&self) {
        // Release: a waiter that sees the flag sees what the canceller did before.
        self.0.cancelled.store(true, Ordering::Release);
        if fork::is_child() {
            // Nobody waits here.
            return;
        }
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        waiting.values().for_each(Waker::wake);
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Wakes `waker` on cancellation, until [`unregister`](Self::unregister).
    pub(crate) fn register(&self, key: u64, waker: Waker) {
        self.0.waiting.lock().insert(key, waker);
        // The list's lock orders this: either `cancel` takes the waker, or its flag is seen by the caller, who
        // looks after registering.
    }

    pub(crate) fn unregister(&self, key: u64) {
        self.0.waiting.lock().remove(&key);
    }
}
