//! Which process a pool belongs to.
//!
//! A forked child has the forking thread alone: what another thread held or was amid changing stays so. So a pool is its
//! process's own, and a child must know without a system call, which would cost more than a buffer does. `fork` runs
//! [`in_child`] before it returns there.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks are between this process and the first that built a pool.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The number of this process among those that were forked from each other.
#[inline]
pub(super) fn number() -> u32 {
    // Relaxed: written before the child has a second thread.
    FORKS.load(Ordering::Relaxed)
}

/// Sees to it that children have numbers of their own.
#[cfg(all(unix, not(any(loom, shuttle))))]
pub(super) fn watch() {
    use std::sync::atomic::AtomicBool;

    static WATCHES: AtomicBool = AtomicBool::new(false);
    // Not a `Once`, which a child could find half done. Registered twice, the handler does no harm.
    if WATCHES.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the handler may be called in any child at any time: it changes an atomic, and cannot unwind.
    let refused = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    // For want of memory; the next pool tries again.
    WATCHES.store(refused == 0, Ordering::Relaxed);
}

/// Here nothing forks.
#[cfg(not(all(unix, not(any(loom, shuttle)))))]
pub(super) fn watch() {}

/// What a child does before `fork` returns in it.
#[cfg(all(unix, not(any(loom, shuttle))))]
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
