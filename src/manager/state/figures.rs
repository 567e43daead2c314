//! What a group holds, has left and lets wait, told without the manager's lock (rule R39).
//!
//! Each answer is a few loads: a group's word and its number of waiters, and what bounds them. A policy's group is looked
//! up in a table with a lock of its own. Answers about all groups load one number after another.

use crate::arbiter::Formula;
use crate::fork;
use crate::manager::state::group::Group;
use crate::manager::state::group_state::GroupKey;
use crate::manager::state::share::{pressed, share_of};
use crate::sync::unmodelled::{AtomicBool, AtomicU64, Mutex};
use crate::sync::{Arc, Ordering, Weak};
use std::collections::HashMap;

/// What an unknown bound is written as.
const NONE: u64 = u64::MAX;

/// The groups, and what bounds them. Written under the manager's lock.
#[derive(Debug)]
pub(crate) struct Figures {
    /// A leaf in the order of locks. Weak, so that a group can be seen to be unused.
    groups: Mutex<HashMap<GroupKey, Weak<Group>>>,
    /// The baseline that admission counts with.
    baseline: AtomicU64,
    /// What a policy capped by the device may hold.
    device: AtomicU64,
    /// The budget over all groups.
    budget: AtomicU64,
    /// The share of caps and budget that counts for new demands, as its bits.
    share: AtomicU64,
    /// Everything is admitted.
    admits_all: AtomicBool,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            groups: Mutex::default(),
            baseline: AtomicU64::new(0),
            device: AtomicU64::new(NONE),
            budget: AtomicU64::new(NONE),
            share: AtomicU64::new(1_f64.to_bits()),
            admits_all: AtomicBool::new(false),
        }
    }
}

/// What bounds the groups, as settings and pressure are.
pub(crate) struct Bounds {
    pub(crate) baseline: u64,
    pub(crate) device: Option<u64>,
    pub(crate) budget: Option<u64>,
    pub(crate) share: f64,
    pub(crate) admits_all: bool,
}

impl Figures {
    /// Publishes what bounds the groups.
    pub(crate) fn publish(&self, bounds: Bounds) {
        // Relaxed throughout: each is told by itself, of no moment in common with the others.
        let store = |to: &AtomicU64, value| to.store(value, Ordering::Relaxed);
        store(&self.baseline, bounds.baseline);
        store(&self.device, bounds.device.unwrap_or(NONE));
        store(&self.budget, bounds.budget.unwrap_or(NONE));
        store(&self.share, bounds.share.to_bits());
        self.admits_all.store(bounds.admits_all, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, key: &GroupKey, group: &Arc<Group>) {
        self.groups
            .lock()
            .insert(key.clone(), Arc::downgrade(group));
    }

    pub(crate) fn forget<'a>(&self, keys: impl Iterator<Item = &'a GroupKey>) {
        let mut groups = self.groups.lock();
        for key in keys {
            groups.remove(key);
        }
        // What a burst of groups took goes back.
        if groups.len() < groups.capacity() / 8 {
            let left = groups.len();
            groups.shrink_to(2 * left);
        }
    }

    /// A forked child has none: the lock may be held for ever there.
    pub(crate) fn group_of(&self, key: &GroupKey) -> Option<Arc<Group>> {
        if fork::is_child() {
            return None;
        }
        self.groups.lock().get(key)?.upgrade()
    }

    /// The sum of a figure over all groups.
    pub(crate) fn sum(&self, figure: impl Fn(&Group) -> u64) -> u64 {
        if fork::is_child() {
            return 0;
        }
        let groups = self.groups.lock();
        let groups = groups.values().filter_map(Weak::upgrade);
        groups.fold(0, |sum, group| sum.saturating_add(figure(&group)))
    }

    pub(crate) fn in_use(&self) -> u64 {
        self.sum(Group::in_use)
    }

    pub(crate) fn budget(&self) -> Option<u64> {
        Some(self.budget.load(Ordering::Relaxed)).filter(|bytes| *bytes != NONE)
    }

    pub(crate) fn device(&self) -> Option<u64> {
        Some(self.device.load(Ordering::Relaxed)).filter(|bytes| *bytes != NONE)
    }

    pub(crate) fn share(&self) -> f64 {
        f64::from_bits(self.share.load(Ordering::Relaxed))
    }

    pub(crate) fn admits_all(&self) -> bool {
        self.admits_all.load(Ordering::Relaxed)
    }

    /// What a policy leaves of its group that has `in_use`, and the budget over all groups of the rest.
    pub(crate) fn available(&self, formula: Formula, in_use: u64) -> Option<u64> {
        if self.admits_all() {
            return None;
        }
        let share = self.share();
        let formula = pressed(formula.resolve(self.device()), share);
        let by_policy = formula.can_refuse().then(|| {
            let admitted = formula.admitted(self.baseline.load(Ordering::Relaxed));
            admitted.saturating_sub(1).saturating_sub(in_use)
        });
        let by_budget = self
            .budget()
            .map(|budget| share_of(budget, share).saturating_sub(self.in_use()));
        by_policy.into_iter().chain(by_budget).min()
    }
}

/// A forked child has its parent's groups, in which nothing is its own.
impl Group {
    pub(crate) fn in_use(&self) -> u64 {
        if fork::is_child() {
            0
        } else {
            self.load().sum()
        }
    }

    pub(crate) fn waiters(&self) -> u64 {
        if fork::is_child() {
            return 0;
        }
        self.waiters.load(Ordering::Relaxed)
    }
}
