//! What the registry locks and waits with; the models put a checker's in its place.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::ThreadId;

/// The calling thread's id.
pub(super) fn this_thread() -> ThreadId {
    std::thread::current().id()
}
