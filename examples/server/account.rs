//! What is held and what is there, counted apart from the manager: it judges the example, and a server has no need of it.
//! On MLX, `mlx_wired::ffi::memory_counters()` says what is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes, but for `loading`.
#[derive(Default)]
pub(crate) struct Account {
    /// What guards stand for.
    pub(crate) promised: Arc<Gauge>,
    /// What weights and caches fill of that.
    pub(crate) used: Arc<Gauge>,
    /// Models that are being loaded.
    pub(crate) loading: Arc<Gauge>,
}

/// A sum that remembers its maximum. It orders nothing; that a guard's bytes are taken off before those of the guard that
/// it makes room for are added follows from the manager's own order.
#[derive(Default)]
pub(crate) struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// Counts in a [`Gauge`] until dropped.
pub(crate) struct Counted {
    gauge: Arc<Gauge>,
    amount: u64,
}

impl Gauge {
    pub(crate) fn count(self: &Arc<Self>, amount: u64) -> Counted {
        let mut counted = Counted {
            gauge: Arc::clone(self),
            amount: 0,
        };
        counted.grow_to(amount);
        counted
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    pub(crate) fn most(&self) -> u64 {
        self.most.load(Relaxed)
    }
}

impl Counted {
    pub(crate) fn grow_to(&mut self, amount: u64) {
        let more = amount - self.amount;
        let now = self.gauge.now.fetch_add(more, Relaxed) + more;
        self.gauge.most.fetch_max(now, Relaxed);
        self.amount = amount;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.now.fetch_sub(self.amount, Relaxed);
    }
}
