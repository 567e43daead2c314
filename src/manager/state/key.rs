//! Numbers of waits, and keys in queues.

use crate::sync::{Ordering, unmodelled};

/// Set in the keys of new guards, so that growing ones come first.
pub(crate) const NEW: u64 = 1 << 63;

/// A number for a wait; later ones are larger. Process-wide, since one token may cancel waits in several managers.
pub(crate) fn next_key() -> u64 {
    static NEXT: unmodelled::AtomicU64 = unmodelled::AtomicU64::new(0);
    // Taken under the manager's lock, which orders the waits of one manager.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whether a key in the queue is that of a new guard, not of one that grows.
pub(crate) fn is_of_new(key: u64) -> bool {
    key & NEW != 0
}
