//! Waiters.

use crate::Error;
use crate::event::Event;
use crate::manager::state::delay::Delayed;
use crate::manager::state::grant::Granted;
use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::manager::state::stall::Stall;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, ThreadId, unmodelled};
use crate::time::Sleeper;
use crate::time::Waker;
use std::panic::Location;
use std::time::{Duration, Instant};

/// One acquire that waits for admission.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Later waits have larger ones.
    pub(crate) number: u64,
    /// Its key in the queue, while it is there. Written under the manager's lock.
    pub(crate) key: AtomicU64,
    pub(crate) request: Arc<Request>,
    /// What a growing guard holds meanwhile.
    pub(crate) from: Option<Arc<Request>>,
    pub(crate) waker: Waker,
    pub(crate) since: Instant,
    pub(crate) location: &'static Location<'static>,
    pub(crate) thread: ThreadId,
    pub(crate) thread_name: Option<Arc<str>>,
    /// Since when it is set aside, if it is, and how often that was told. Written under the manager's lock.
    pub(crate) set_aside_since: Mutex<Option<Stall>>,
    /// Its key among the pinned demands, now or later.
    pub(crate) pin: Option<PinKey>,
    /// It waits for pinned demands rather than being refused beside them.
    pub(crate) waits_for_pinned: bool,
    /// Its thread holds a guard, or waits to grow one: else it completes no deadlock.
    pub(crate) has_guard: bool,
    /// It has a deadline or a token.
    pub(crate) may_give_up: bool,
    /// How long its queue may admit no waiter before that is told of, if ever.
    pub(crate) stall_after: Option<Duration>,
    /// Once the pressure has delayed it. Written under the manager's lock. The models do not see this lock: the waiter alone
    /// takes it elsewhere, to learn when to wake, and is woken after each change.
    pub(crate) delayed: unmodelled::Mutex<Option<Delayed>>,
    /// How many have been admitted before it that came after it.
    pub(crate) overtaken: AtomicU64,
    /// Set once, under the manager's lock, when the waiter leaves the queue, or those set aside, otherwise than by
    /// giving up.
    pub(crate) outcome: Mutex<Option<Result<Granted, Error>>>,
}

impl Waiter {
    /// Its key in the queue, while it is there.
    pub(crate) fn key(&self) -> u64 {
        // Relaxed: under the manager's lock.
        self.key.load(Ordering::Relaxed)
    }

    /// Growing guards come first, then the order of arrival.
    pub(crate) fn order(&self) -> (bool, u64) {
        (self.from.is_none(), self.number)
    }

    /// Whether it waits for a pinned demand that does not live yet.
    pub(crate) fn is_new_pinned(&self) -> bool {
        self.request.is_pinned() && self.from.is_none()
    }

    /// Says in an event of another thread which thread waits, and where.
    pub(crate) fn attribute(&self, event: &mut Event) {
        event.place = Some(self.location);
        event.thread = self.thread;
        event.thread_name.clone_from(&self.thread_name);
    }
}

/// A waiter in a queue or set aside, and the means to sleep there.
pub(crate) struct Enqueued {
    pub(crate) waiter: Arc<Waiter>,
    pub(crate) sleeper: Sleeper,
    /// When it is to look at its queue.
    pub(crate) stall_check_at: Option<Instant>,
}
