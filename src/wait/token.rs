//! Tokens that cancel waits.

use crate::fork;
use crate::sync::{Arc, AtomicBool, Mutex, Ordering};
use crate::time::Waker;
use std::collections::BTreeMap;

/// Cancels waits from another thread.
///
/// One token can cancel any number of waits, present and future. Clones are the same token.
///
/// ```
/// use mlx_wired::{CancelToken, Error, Manager, SumPolicy, Wait};
///
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(100);
/// let ticket = manager.ticket(&policy, 60);
/// let _first = ticket.acquire()?;
///
/// let token = CancelToken::new();
/// token.cancel();
/// let second = ticket.acquire_with(Wait::new().cancel(&token));
/// assert!(matches!(second, Err(Error::Cancelled { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Cancel>);

#[derive(Debug, Default)]
struct Cancel {
    cancelled: AtomicBool,
    /// By the numbers of the waits.
    waiting: Mutex<BTreeMap<u64, Waker>>,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every wait with this token, now and later. A wait that was already admitted still
    /// gives its guard.
    pub fn cancel(&self) {
        // Release: a waiter that sees the flag sees what the canceller did before.
        self.0.cancelled.store(true, Ordering::Release);
        if fork::is_child() {
            // No thread waits in a child.
            return;
        }
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        waiting.values().for_each(Waker::wake);
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Wakes `waker` on cancellation, until [`unregister`](Self::unregister).
    pub(crate) fn register(&self, key: u64, waker: Waker) {
        self.0.waiting.lock().insert(key, waker);
        // The list's lock orders this: either `cancel` takes the waker, or its flag is seen by the caller, which
        // looks after registering.
    }

    pub(crate) fn unregister(&self, key: u64) {
        self.0.waiting.lock().remove(&key);
    }
}
