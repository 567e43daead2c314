//! Forked children: they hold nothing, get nothing, and never wait.
//!
//! A process that has threads may fork: a data loader's workers, a supervisor, a shell command that is started the old way.
//! The child has the forking thread alone, over a copy of the memory as it was. Whatever lock another thread held then is
//! held for ever, what that thread was amid changing stays half changed, and MLX's own device does not work there. So
//! a manager is its process's own: in a child every call that can fail is [`Error::Forked`], every other answers as a
//! closed manager without guards would, and drops do nothing. To `exec` is fine, and so is to fork before the first
//! manager is built.
//!
//! # How a child knows
//!
//! The first manager registers a handler with `pthread_atfork` ([`holders::watch_forks`](crate::holders::watch_forks)), which the child runs before `fork` returns. It stores one
//! flag, and closes the slab of guards of its only thread: a plain store to a thread-local without a destructor. Both are
//! safe where nearly nothing is. The parent runs nothing.
//!
//! The fast path of a borrowed guard does not look at the flag: it looks for a free slot anyway, and finds none, since the
//! slab is closed and new threads have none. Where it goes then, the flag is looked at. The fast release takes no lock: it
//! changes the child's copy of a word that no thread reads. Where it would take one, it looks at the flag.
//!
//! # Why nothing hangs
//!
//! In a child no lock is taken that existed at the fork: each public call looks at the flag before its first.
//!
//! | what a dead thread may hold, or be amid | what does without it |
//! | --- | --- |
//! | a manager's core, a custom group's judge lock, a session | acquiring, resizing and changing are `Forked`; what only looks gets a state [made anew](crate::manager::inner::Inner::inspect); closing, maintaining and releasing do nothing; no policy, hook or backend is called |
//! | the registry of tickets, the list of owned guards, a thread's or the process's slabs | tickets are not entered, and have a closed group of their own; a guard that goes, and a thread that ends, forget nothing; no guard counts as held |
//! | the event bus, a subscriber's channel | subscribers from before get nothing, nor do new ones; [the channel stays](Inherited) |
//! | a token's list of waiters | no thread waits in a child: to cancel sets the token's flag |
//! | the making of the shared manager | one that has not been made is made for the child, and gives nothing either |
//! | the thread of a background recorder | the recording is the parent's: the child's is empty |
//! | the housekeeping thread | no work is pending in a child |
//!
//! A manager that is dropped is not destroyed: its last owner keeps its reference ([`Inherited`]), since the state may be
//! half changed. For the same reason a guard's hook is neither run nor dropped.
//!
//! # What this does not cover
//!
//! Code that forks inside a policy, a hook, a backend or a clock that the library calls must `exec` or exit in the child:
//! what called it cannot go on there.
//!
//! A thread that a child starts may hang before it runs, and so may the child's first thread as it ends: the standard library
//! takes a lock of its own as a thread begins and as it ends, and a thread of the parent may have held it at the fork.
//!
//! [`ffi`](crate::ffi)'s functions call MLX, which knows nothing of forks. The fake clock and the recording backend are for
//! tests of one process.

use crate::Error;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Notes that this process is a child.
#[cfg(all(unix, not(any(loom, shuttle))))]
pub(crate) fn note_child() {
    IS_CHILD.store(true, Ordering::Relaxed);
}

/// Whether this process was forked from one that had built a manager.
#[inline]
pub(crate) fn is_child() -> bool {
    // Relaxed: set before the child has a second thread.
    IS_CHILD.load(Ordering::Relaxed)
}

/// [`Error::Forked`] in a child.
pub(crate) fn check() -> Result<(), Error> {
    if is_child() {
        return Err(Error::Forked);
    }
    Ok(())
}

/// A value that a forked child does not destroy: a thread that is not there may have been amid changing it.
pub(crate) struct Inherited<T>(ManuallyDrop<T>);

impl<T> Inherited<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Inherited<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Inherited<T> {
    fn drop(&mut self) {
        if !is_child() {
            // SAFETY: it is dropped here alone, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Inherited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, unix, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn r43_a_child_destroys_nothing_that_it_inherits() {
        crate::holders::watch_forks();
        let (held, kept) = (Arc::new(()), Arc::new(()));
        let inherited = Inherited::new(kept.clone());
        drop(Inherited::new(held.clone()));
        assert_eq!(Arc::strong_count(&held), 1, "the parent does");
        // SAFETY: the child does what is safe in any, and ends at once.
        let child = unsafe { libc::fork() };
        drop(inherited);
        let left = Arc::strong_count(&kept);
        if child == 0 {
            let well = is_child() && check() == Err(Error::Forked) && left == 2;
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!well)) }
        }
        let mut status = 0;
        // SAFETY: the child is this process's own.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((ended, status), (child, 0));
        assert_eq!((left, is_child()), (1, false));
    }
}
