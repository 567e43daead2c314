//! The held lock, and what is due once it is free.

use crate::Error;
use crate::fork;
use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::waiter::Waiter;
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::time::Waker;
use crate::user_code;
use std::ops::{Deref, DerefMut};

/// The held lock, with the wake-ups that are due once it is free.
pub(crate) struct Locked<'a> {
    inner: &'a Inner,
    /// `None` only while [`Locked::unlocked`] runs.
    core: Option<MutexGuard<'a, Core>>,
    wakes: Vec<Waker>,
    /// Waiters that may leave the queue meanwhile, kept until the lock is free: dropping one may run a policy's destructor.
    known: Vec<Arc<Waiter>>,
    wake_sleepers: bool,
    disturbed: bool,
    /// The last failed call of the setter that this thread made meanwhile.
    failure: Option<Box<Error>>,
}

impl Inner {
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked::new(self)
    }
}

impl<'a> Locked<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        debug_assert!(!fork::is_child(), "a dead thread may hold it");
        let mut core = inner.core.lock();
        core.times_locked += 1;
        Self {
            inner,
            core: Some(core),
            wakes: Vec::new(),
            known: Vec::new(),
            wake_sleepers: false,
            disturbed: false,
            failure: None,
        }
    }

    /// Notes that this thread's call of the setter failed.
    pub(crate) fn note_failure(&mut self, error: Error) {
        self.failure = Some(Box::new(error));
    }

    /// Takes the last failed call of the setter that this thread made.
    pub(crate) fn take_failure(&mut self) -> Option<Box<Error>> {
        self.failure.take()
    }

    /// Whether another thread held the lock while this was [unlocked](Self::unlocked).
    pub(crate) fn was_disturbed(&self) -> bool {
        self.disturbed
    }

    /// Wakes `waker` once the lock is free.
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.wakes.push(waker);
    }

    /// Keeps waiters until the lock is free, so that none is destroyed before.
    pub(crate) fn keep_until_unlocked<'w>(
        &mut self,
        waiters: impl IntoIterator<Item = &'w Arc<Waiter>>,
    ) {
        self.known.extend(waiters.into_iter().cloned());
    }

    /// Wakes the threads that sleep for the running session, once the lock is free.
    pub(crate) fn wake_sleepers(&mut self) {
        if self.sleepers > 0 {
            self.wake_sleepers = true;
        }
    }

    /// Calls `f` without the lock, after the wake-ups that are due.
    pub(crate) fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let times_locked = self.times_locked;
        self.unlock();
        let result = f();
        let mut core = self.inner.core.lock();
        self.disturbed |= core.times_locked != times_locked;
        core.times_locked += 1;
        self.core = Some(core);
        result
    }

    fn unlock(&mut self) {
        if self.wake_sleepers {
            // Under the lock, so that no sleeper reads the old value after this and then sleeps on it.
            self.inner.calls_word.fetch_add(1, Ordering::Release);
        }
        drop(self.core.take());
        if std::mem::take(&mut self.wake_sleepers) {
            crate::sync::wake_all(&self.inner.calls_word);
        }
        if !self.wakes.is_empty() {
            for waker in self.wakes.drain(..) {
                waker.wake();
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let mut traced = Default::default();
        let mut replaced = Vec::new();
        if let Some(core) = &mut self.core {
            traced = std::mem::take(&mut core.traced);
            if !core.replaced.is_empty() {
                replaced = std::mem::take(&mut core.replaced);
            }
        }
        self.unlock();
        // Only here: in `unlocked` the thread may be in a session, or hold a judge lock.
        if !self.known.is_empty() {
            destroy(&mut self.known);
        }
        traced.report();
        if !replaced.is_empty() {
            destroy(&mut replaced);
        }
    }
}

/// Drops what has users' destructors. A panic there is no call's error: a demand may be on its way to its guard.
#[cold]
fn destroy<T>(values: &mut Vec<T>) {
    for value in values.drain(..) {
        let _caught = user_code::catch(|| drop(value));
    }
}

impl Deref for Locked<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        self.core.as_ref().expect("locked")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        self.core.as_mut().expect("locked")
    }
}
