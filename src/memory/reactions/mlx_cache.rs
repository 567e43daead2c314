//! MLX's cache: emptied first of all, then kept small until the pressure is over.

use super::registry::contained;
use super::{Ask, Subscription};
use crate::ffi::{Backend, CacheLimit};
use crate::memory::pressure::{Change, Registries};
use crate::{Manager, PressureLevel, Reclaimer};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A smaller cache saves little, and costs the next step its buffers.
const LEAST: u64 = 32 << 20;

/// A reclaimer (R27) that empties MLX's cache, so that the budget of a device without wired memory, which is measured, has
/// that room. The cache is not a hold: register it beside those that give holds back.
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

/// Registers the three parts of the reaction.
pub(in crate::memory) fn attach(
    registries: &Registries,
    backend: Arc<dyn Backend>,
) -> Subscription {
    let cache = Arc::new(Cache {
        limit: CacheLimit::of(&backend),
        backend,
        lowered: Mutex::new(Lowered::default()),
    });
    let (drains, gives, follows) = (cache.clone(), cache.clone(), cache);
    let mut subscription = Subscription::of_nothing();
    subscription.and(&registries.drains, Arc::new(move || drains.drain()) as _);
    subscription.and(
        &registries.givers,
        Arc::new(move |ask: &Ask| gives.give(ask)) as _,
    );
    subscription.and(
        &registries.listeners,
        Arc::new(move |change: &Change| follows.follow(change)) as _,
    );
    subscription
}

/// MLX's cache, and what became of its limit.
struct Cache {
    backend: Arc<dyn Backend>,
    limit: CacheLimit,
    lowered: Mutex<Lowered>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Lowered {
    /// What the cache held last while its limit was not lowered.
    held: u64,
    /// The limit that is in force in place of the one before.
    limit: Option<u64>,
}

impl Cache {
    fn lowered(&self) -> MutexGuard<'_, Lowered> {
        self.lowered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties the cache.
    fn drain(&self) -> u64 {
        let before = emptied(&*self.backend);
        self.note_held(before);
        before
    }

    /// Notes what the cache held, if its limit is not lowered.
    fn note_held(&self, bytes: u64) -> bool {
        let mut lowered = self.lowered();
        let is_whole = lowered.limit.is_none();
        if is_whole {
            lowered.held = bytes;
        }
        is_whole
    }

    /// Lets what is over the limit go, which MLX itself does only when it allocates.
    fn give(&self, ask: &Ask) -> u64 {
        let cache = held(&*self.backend);
        if self.note_held(cache) {
            // Registered when the level was there already, or MLX refused.
            self.lower(ask);
        }
        let limit = self.lowered().limit.unwrap_or(0);
        // MLX has no call that empties it in part.
        if cache > limit || ask.level == PressureLevel::Critical {
            emptied(&*self.backend)
        } else {
            0
        }
    }

    fn follow(&self, change: &Change) {
        if change.to == PressureLevel::Normal {
            self.restore();
        } else {
            let ask = Ask::new(change.to, None);
            self.lower(&ask);
        }
    }

    /// Lowers the limit to what the level leaves of what the cache held.
    fn lower(&self, ask: &Ask) {
        let mut lowered = self.lowered();
        let base = lowered.held.max(LEAST);
        let to = base - ask.part_of(base);
        // What MLX refuses stays as it is.
        if let Some(limit) = caught(|| self.limit.lower_to(to).ok()) {
            lowered.limit = Some(limit);
        }
    }

    /// Gives the limit back.
    fn restore(&self) {
        if self.lowered().limit.take().is_some() {
            caught(|| self.limit.withdraw().ok());
        }
    }
}

fn held(backend: &dyn Backend) -> u64 {
    caught(|| backend.memory().ok()).map_or(0, |counters| counters.cache)
}

/// Empties the cache, and tells how much smaller it is.
fn emptied(backend: &dyn Backend) -> u64 {
    let before = held(backend);
    if before == 0 || caught(|| backend.clear_cache().ok()).is_none() {
        return 0;
    }
    before.saturating_sub(held(backend))
}

/// Calls the backend; a panic is a failure of the call.
fn caught<T>(call: impl FnOnce() -> Option<T>) -> Option<T> {
    contained(call).flatten()
}
