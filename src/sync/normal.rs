//! The primitives of every normal build.

pub(crate) use super::unmodelled::{Mutex, MutexGuard};
pub(crate) use crossbeam::sync::{Parker, Unparker};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
pub(crate) use std::thread_local;

/// A word that threads sleep on.
pub(crate) type Futex = AtomicU32;

/// Sleeps while `word` holds `value`; wakes spuriously now and then.
pub(crate) fn wait(word: &Futex, value: u32) {
    atomic_wait::wait(word, value);
}

/// Wakes every thread that sleeps in [`wait`] on `word`.
pub(crate) fn wake_all(word: &Futex) {
    atomic_wait::wake_all(word);
}
