//! Functions that a program registers, called one after another, and removed while they may run.
//!
//! # Protocol
//!
//! One lock over the list, and over which functions run on which threads. It is never held while a function of the program
//! runs, nor while one is dropped.
//!
//! * *Calling*: under the lock the next function is taken by its number, its `Arc` cloned, and marked as running. Then it is
//!   called without the lock, its panic is caught, the clone is dropped, and only then, under the lock again, the mark goes and
//!   those that wait are woken. Several threads may call at a time, each with marks of its own.
//! * *Removing*: under the lock the function is taken out of the list. While it runs, on other threads, the remover sleeps until
//!   the marks are gone. From inside the function itself there is nothing to wait for.
//!
//! Why nothing is called after it was removed: to be called it is marked under the lock, where it is still listed; a remover
//! that comes later under the same lock finds either no mark, and then it is never found again, or the mark, and waits. Why
//! what it captured is gone, too: the clone goes before the mark, and the list's own reference is the remover's. Why no
//! wake-up is lost: the mark goes under the lock that the remover sleeps on. `tests/models/registry.rs` has this file under
//! loom and shuttle.

use super::primitives::{Condvar, Mutex, MutexGuard, ThreadId, this_thread};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

/// Calls what is the program's; `None` if it panics.
pub(crate) fn contained<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).map_or_else(
        |payload| {
            if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                // It panics when dropped; there may be no end to that.
                std::mem::forget(worse);
            }
            None
        },
        Some,
    )
}

/// The registered functions of one kind, in the order of registration.
pub(crate) struct Registry<F: ?Sized> {
    state: Mutex<State<F>>,
    ended: Condvar,
}

struct State<F: ?Sized> {
    all: Vec<(u64, Arc<F>)>,
    next: u64,
    /// A mark for each call: the function's number, and the thread.
    running: Vec<(u64, ThreadId)>,
}

impl<F: ?Sized> Registry<F> {
    pub(crate) fn new() -> Self {
        let state = State {
            all: Vec::new(),
            next: 0,
            running: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a function, and returns its number.
    pub(crate) fn add(&self, f: Arc<F>) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.all.push((number, f));
        number
    }

    /// Removes a function. Waits for calls of it in flight, unless they are on this thread.
    pub(crate) fn remove(&self, number: u64) {
        let mut state = self.lock();
        let index = state.all.iter().position(|(other, _)| *other == number);
        let removed = index.map(|index| state.all.remove(index));
        let here = this_thread();
        while state
            .running
            .iter()
            .any(|(running, thread)| *running == number && *thread != here)
        {
            state = self
                .ended
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        // What it captured is the program's: destroyed without the lock.
        contained(|| drop(removed));
    }

    /// Whether none is registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().all.is_empty()
    }

    /// Whether this thread is inside one of them.
    pub(crate) fn is_inside(&self) -> bool {
        let here = this_thread();
        self.lock()
            .running
            .iter()
            .any(|(_, thread)| *thread == here)
    }

    /// The number that the next one to be registered gets: those before it are there already.
    pub(crate) fn end(&self) -> u64 {
        self.lock().next
    }

    /// Marks the first function from `from` on and before `end` as running.
    pub(crate) fn next(&self, from: u64, end: u64) -> Option<Running<'_, F>> {
        let mut state = self.lock();
        let mut all = state.all.iter();
        let (number, f) = all.find(|(number, _)| (from..end).contains(number))?;
        let (number, f) = (*number, Arc::clone(f));
        state.running.push((number, this_thread()));
        drop(state);
        Some(Running {
            registry: self,
            number,
            f: Some(f),
        })
    }

    /// Calls each that is registered now, and returns how many panicked.
    pub(crate) fn call_each(&self, mut call: impl FnMut(&F)) -> u64 {
        let (mut from, end, mut panics) = (0, self.end(), 0);
        while let Some(running) = self.next(from, end) {
            from = running.number() + 1;
            if running.call(&mut call).is_none() {
                panics += 1;
            }
        }
        panics
    }
}

/// A function that is marked as running until this goes.
pub(crate) struct Running<'a, F: ?Sized> {
    registry: &'a Registry<F>,
    number: u64,
    f: Option<Arc<F>>,
}

impl<F: ?Sized> Running<'_, F> {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Calls it; `None` if it panics.
    pub(crate) fn call<R>(self, call: impl FnOnce(&F) -> R) -> Option<R> {
        let f = self.f.as_ref()?;
        contained(|| call(f))
    }
}

impl<F: ?Sized> Drop for Running<'_, F> {
    fn drop(&mut self) {
        let f = self.f.take();
        contained(|| drop(f));
        let mark = (self.number, this_thread());
        let mut state = self.registry.lock();
        if let Some(place) = state.running.iter().position(|other| *other == mark) {
            state.running.swap_remove(place);
        }
        drop(state);
        self.registry.ended.notify_all();
    }
}
