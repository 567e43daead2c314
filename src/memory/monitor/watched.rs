//! Pools and monitors of pressure whose figures are told with a monitor's own (features `metrics` and `watch`).

use crate::memory::reactions::registry::Registry;
use crate::memory::{BufferPool, PressureStats};
use crate::print::Name;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What is registered: each function reads one.
pub(super) struct Watched {
    pub(super) pools: Arc<Registry<dyn Fn() -> Pool + Send + Sync>>,
    pub(super) pressures: Arc<Registry<dyn Fn() -> PressureStats + Send + Sync>>,
}

/// The figures of a pool, or of several that have one name. Sizes in bytes.
#[cfg_attr(feature = "watch", derive(serde::Serialize))]
pub(super) struct Pool {
    /// Escaped.
    pub(super) name: String,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) in_use: u64,
    pub(super) idle: u64,
    limit: Option<u64>,
    waiting: usize,
}

/// What monitors of pressure have done.
#[derive(Default)]
#[cfg_attr(feature = "watch", derive(serde::Serialize))]
pub(super) struct Reactions {
    rises: u64,
    falls: u64,
    averted: u64,
    /// In bytes.
    pub(super) given_back: u64,
}

impl Pool {
    pub(super) fn of(pool: &BufferPool) -> Self {
        let stats = pool.stats();
        Self {
            name: Name::new(pool.name()).to_string(),
            hits: stats.hits,
            misses: stats.misses,
            in_use: stats.in_use,
            idle: stats.idle,
            limit: Some(stats.limit).filter(|limit| *limit < u64::MAX),
            waiting: stats.waiting,
        }
    }

    fn add(&mut self, other: &Self) {
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        self.in_use = self.in_use.saturating_add(other.in_use);
        self.idle = self.idle.saturating_add(other.idle);
        let limits = self.limit.zip(other.limit);
        self.limit = limits.map(|(one, other)| one.saturating_add(other));
        self.waiting += other.waiting;
    }
}

impl Watched {
    pub(super) fn new() -> Self {
        Self {
            pools: Arc::new(Registry::new()),
            pressures: Arc::new(Registry::new()),
        }
    }

    /// By name.
    pub(super) fn pools(&self) -> Vec<Pool> {
        let mut pools = BTreeMap::<String, Pool>::new();
        self.pools.call_each(|read| {
            let pool = read();
            match pools.get_mut(&pool.name) {
                Some(same) => same.add(&pool),
                None => drop(pools.insert(pool.name.clone(), pool)),
            }
        });
        pools.into_values().collect()
    }

    /// All together; none where none is registered.
    pub(super) fn reactions(&self) -> Option<Reactions> {
        let mut all: Option<Reactions> = None;
        self.pressures.call_each(|read| {
            let stats = read();
            let all = all.get_or_insert_default();
            all.rises = all.rises.saturating_add(stats.rises);
            all.falls = all.falls.saturating_add(stats.falls);
            all.averted = all.averted.saturating_add(stats.averted);
            all.given_back = all.given_back.saturating_add(stats.given_back);
        });
        all
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}
