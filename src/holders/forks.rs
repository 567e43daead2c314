//! What a forked child does first: it learns what it is, and its only thread records nothing more.

#[cfg(all(unix, not(any(loom, shuttle))))]
use crate::fork;
#[cfg(all(unix, not(any(loom, shuttle))))]
use std::sync::atomic::{AtomicBool, Ordering};

/// Sees to it that children know what they are.
#[cfg(all(unix, not(any(loom, shuttle))))]
pub(crate) fn watch_forks() {
    static WATCHES: AtomicBool = AtomicBool::new(false);
    // Not a `Once`, which a child could find half done. Registered twice, the handler does no harm.
    if WATCHES.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the handler may be called in any child at any time: it stores to an atomic and to a thread-local that has no
    // destructor, and cannot unwind.
    let refused = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    // For want of memory; the next manager tries again.
    WATCHES.store(refused == 0, Ordering::Relaxed);
}

/// Here nothing forks.
#[cfg(not(all(unix, not(any(loom, shuttle)))))]
pub(crate) fn watch_forks() {}

/// What a child does before `fork` returns in it.
#[cfg(all(unix, not(any(loom, shuttle))))]
extern "C" fn in_child() {
    fork::note_child();
    super::close_slab();
}
