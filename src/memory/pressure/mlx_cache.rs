//! MLX's cache: emptied first of all, then kept small until the pressure is over.

use super::inner::Registries;
use super::told::Change;
use crate::PressureLevel;
use crate::ffi::{Backend, CacheLimit};
use crate::memory::reactions::mlx_cache::{caught, emptied, held};
use crate::memory::reactions::{Ask, Subscription};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A smaller cache saves little, and costs the next step its buffers.
const LEAST: u64 = 32 << 20;

/// Registers the three parts of the reaction.
pub(super) fn attach(registries: &Registries, backend: Arc<dyn Backend>) -> Subscription {
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
        Arc::new(move |ask: &Ask| gives.empty_over_limit(ask)) as _,
    );
    subscription.and(
        &registries.listeners,
        Arc::new(move |change: &Change| follows.apply_change(change)) as _,
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
    fn empty_over_limit(&self, ask: &Ask) -> u64 {
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

    fn apply_change(&self, change: &Change) {
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
