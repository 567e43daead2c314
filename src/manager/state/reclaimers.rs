//! What a program gives back when memory is short: its reclaimers, and what they are told.

use crate::error::StayingGuard;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex};

/// What a reclaimer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortage {
    /// How many bytes of pinned demands must go so that the waiter fits beside the rest, where its policy or the budget
    /// over all groups tells; else what it asks for.
    pub missing: u64,
    /// The number of its group, as in [`Snapshot::groups`](crate::Snapshot::groups).
    pub group: usize,
    /// The evictable pinned demands of its group, or under a budget over all groups those of all, the oldest first.
    pub evictable: Vec<Arc<StayingGuard>>,
}

pub(crate) type Reclaim = dyn Fn(&Shortage) + Send + Sync;

/// The registered reclaimers of a manager.
#[derive(Default)]
pub(crate) struct Reclaimers {
    /// How many there are.
    pub(crate) count: AtomicU64,
    /// A thread asks them.
    pub(crate) asking: AtomicBool,
    /// In the order of registration, by number.
    pub(crate) all: Mutex<Vec<(u64, Arc<Reclaim>)>>,
}

impl Reclaimers {
    /// The first from a number on.
    pub(crate) fn next(&self, from: u64) -> Option<(u64, Arc<Reclaim>)> {
        let all = self.all.lock();
        let next = all.iter().find(|(number, _)| *number >= from);
        next.map(|(number, reclaim)| (*number, Arc::clone(reclaim)))
    }
}
