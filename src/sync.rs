//! The one place from which the coordinator takes its synchronisation primitives.

pub(crate) use crossbeam::sync::{Parker, Unparker};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Weak};

pub(crate) use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A mutex without poisoning: no code of a user ever runs while one of the coordinator's is held,
/// except [`Group::judge`](crate::manager::group::Group), which protects no data.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleeps while `word` holds `value`; wakes spuriously now and then.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    atomic_wait::wait(word, value);
}

/// Wakes every thread that sleeps in [`wait`] on `word`.
pub(crate) fn wake_all(word: &AtomicU32) {
    atomic_wait::wake_all(word);
}
