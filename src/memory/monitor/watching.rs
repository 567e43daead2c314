//! Telling the figures of pools and of pressure with a monitor's.

use super::Monitor;
use super::watched::Pool;
use crate::memory::{BufferPool, Pressure, Subscription};
use std::sync::Arc;

impl Monitor {
    /// Tells a pool's figures with the monitor's, under the pool's name, until the handle is dropped: those of
    /// [`FIGURES`](super::FIGURES) that begin with `mlx_wired_pool`, and `pools` in the [line](Self::line). It keeps the pool as
    /// another clone does.
    ///
    /// A name is a series for as long as a recorder lives: not for names that are made from requests. Pools of one name count
    /// together. In a forked child nothing is registered.
    pub fn watch_pool(&self, pool: &BufferPool) -> Subscription {
        let pool = pool.clone();
        let mut subscription = Subscription::of_nothing();
        if self.shared.source.is_own() {
            let registry = &self.shared.source.watched.pools;
            subscription.and(registry, Arc::new(move || Pool::of(&pool)));
        }
        subscription
    }

    /// Tells what a monitor of pressure has done with this monitor's figures, until the handle is dropped: what was given back
    /// ([`FIGURES`](super::FIGURES), label `reaction`), and `reactions` in the [line](Self::line).
    ///
    /// Several count together. In a forked child nothing is registered.
    pub fn watch_pressure(&self, pressure: &Pressure) -> Subscription {
        let mut subscription = Subscription::of_nothing();
        if self.shared.source.is_own() {
            let registry = &self.shared.source.watched.pressures;
            subscription.and(registry, Arc::new(pressure.reader()));
        }
        subscription
    }
}
