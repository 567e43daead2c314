//! MLX's cache, emptied where memory is short.

use super::registry::contained;
use crate::ffi::Backend;
use crate::{Manager, Reclaimer};

/// A reclaimer (R27) that empties MLX's cache, so that the budget of a device without wired memory, which is measured,
/// has that room. The cache is no pinned demand: register it beside those that give pinned demands back.
///
/// It keeps the manager until it is dropped.
pub fn clear_cache_on_shortage(manager: &Manager) -> Reclaimer {
    let held = manager.clone();
    manager.on_shortage(move |_| {
        if emptied(&**held.backend()) > 0 {
            held.maintain();
        }
    })
}

pub(in crate::memory) fn held(backend: &dyn Backend) -> u64 {
    caught(|| backend.memory().ok()).map_or(0, |counters| counters.cache)
}

/// Empties the cache, and tells how much smaller it is.
pub(in crate::memory) fn emptied(backend: &dyn Backend) -> u64 {
    let before = held(backend);
    if before == 0 || caught(|| backend.clear_cache().ok()).is_none() {
        return 0;
    }
    before.saturating_sub(held(backend))
}

/// Calls the backend; a panic is a failure of the call.
pub(in crate::memory) fn caught<T>(call: impl FnOnce() -> Option<T>) -> Option<T> {
    contained(call).flatten()
}
