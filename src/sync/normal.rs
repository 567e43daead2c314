//! The primitives of every normal build.

pub(crate) use super::unmodelled::{Mutex, MutexGuard};
pub(crate) use crossbeam::sync::{Parker, Unparker};
use std::io;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
pub(crate) use std::thread::{Thread, ThreadId, current as current_thread};
pub(crate) use std::thread_local;

/// Starts a thread that is never joined.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(f)
        .map(drop)
}

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

/// The calling thread's id, without counting a reference to the thread.
pub(crate) fn thread_id() -> ThreadId {
    thread_local! {
        static ID: ThreadId = current_thread().id();
    }
    ID.with(|id| *id)
}
