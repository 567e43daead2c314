//! The held lock, and what is due once it is free.

use super::Inner;
use super::core::Core;
use crate::clock::Waker;
use crate::sync::{MutexGuard, Ordering};
use std::ops::{Deref, DerefMut};

/// The held lock, with the wake-ups that are due once it is free.
pub(crate) struct Locked<'a> {
    inner: &'a Inner,
    /// `None` only while [`Locked::unlocked`] runs.
    core: Option<MutexGuard<'a, Core>>,
    wakes: Vec<Waker>,
    wake_sleepers: bool,
    disturbed: bool,
}

impl<'a> Locked<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        let mut core = inner.core.lock();
        core.holds += 1;
        Self {
            inner,
            core: Some(core),
            wakes: Vec::new(),
            wake_sleepers: false,
            disturbed: false,
        }
    }

    /// Whether somebody else held the lock meanwhile, while this was [unlocked](Self::unlocked).
    pub(crate) fn was_disturbed(&self) -> bool {
        self.disturbed
    }

    /// Wakes `waker` once the lock is free.
    pub(crate) fn wake(&mut self, waker: Waker) {
        self.wakes.push(waker);
    }

    /// Wakes whoever sleeps for the running session, once the lock is free.
    pub(crate) fn wake_sleepers(&mut self) {
        if self.sleepers > 0 {
            self.wake_sleepers = true;
        }
    }

    /// Calls `f` without the lock, after the wake-ups that are due.
    pub(crate) fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let holds = self.holds;
        self.release();
        let result = f();
        let mut core = self.inner.core.lock();
        self.disturbed |= core.holds != holds;
        core.holds += 1;
        self.core = Some(core);
        result
    }

    fn release(&mut self) {
        if self.wake_sleepers {
            // Under the lock, so that no sleeper reads the old turn after this and then sleeps on it.
            self.inner.turn.fetch_add(1, Ordering::Release);
        }
        let replaced = self
            .core
            .as_mut()
            .map(|core| std::mem::take(&mut core.replaced));
        drop(self.core.take());
        if std::mem::take(&mut self.wake_sleepers) {
            crate::sync::wake_all(&self.inner.turn);
        }
        if !self.wakes.is_empty() {
            for waker in self.wakes.drain(..) {
                waker.wake();
            }
        }
        drop(replaced);
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let core = self.core.as_mut();
        let traced = core.map(|core| std::mem::take(&mut core.traced));
        self.release();
        // Only here: in `unlocked` the thread may be in a session, or hold a judge.
        if let Some(traced) = traced {
            traced.report();
        }
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
