//! The part of a group under the manager's lock.

use crate::arbiter::{Arbiter, Basis, Formula, PolicyId, Resolved};
use crate::manager::state::delay::DelayedSince;
use crate::manager::state::group::{Group, SizeCount};
use crate::manager::state::pinned::PinnedDemands;
use crate::manager::state::request::Request;
use crate::manager::state::spans::{Mark, Spans};
use crate::manager::state::stall::Stall;
use crate::manager::state::waiter::Waiter;
use crate::manager::state::word::Word;
use crate::sync::{Arc, Ordering};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::Discriminant;
use std::sync::atomic::fence;

/// How many sizes are known and listed before any is looked at for whether it is in use. The models have few sizes.
pub(crate) const FEW_SIZES: usize = if cfg!(any(loom, shuttle)) { 1 } else { 16 };

/// Which group a policy belongs to: its id and the form of its formula.
pub(crate) type GroupKey = (PolicyId, Discriminant<Formula>);

/// A custom policy's answer about a demand that it admits but that is not counted yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreseen {
    pub(crate) baseline: u64,
    pub(crate) limit: u64,
}

/// The part of a group under the manager's lock.
pub(crate) struct GroupState {
    pub(crate) shared: Arc<Group>,
    pub(crate) key: GroupKey,
    /// The newest admitted policy, which computes the group's limit.
    pub(crate) policy: Arc<dyn Arbiter>,
    pub(crate) formula: Formula,
    pub(crate) resolved: Resolved,
    pub(crate) label: Arc<str>,
    /// Tickets of different formulas share this id: then only the lock tells whose formula counts.
    pub(crate) mixed: bool,
    /// The policy reads the single sizes.
    pub(crate) wants_sizes: bool,
    /// The queue, by key: growing guards first, then the order of coming into it. Changed by
    /// [`Core::enqueue`](crate::manager::state::core::Core::enqueue) and its like alone.
    pub(crate) queue: BTreeMap<u64, Arc<Waiter>>,
    /// Those set aside, by their numbers: the order of arrival. Changed likewise.
    pub(crate) set_aside: BTreeMap<u64, Arc<Waiter>>,
    /// The numbers of those of them that are aside because of the pressure alone.
    pub(crate) delayed: BTreeSet<u64>,
    /// Since when the pressure delays its waiters, where it is a scope of its own.
    pub(crate) delayed_since: DelayedSince,
    /// Since when no waiter of its queue was admitted.
    pub(crate) stall: Option<Stall>,
    /// The number of the waiter set aside that was woken last, to ask reclaimers as the first of its scope.
    pub(crate) asker: Option<u64>,
    /// What is held has changed, or what may be held: those in the queue and aside are to be judged again.
    pub(crate) mark: Mark,
    /// How small and large the demands in the queue and aside are.
    pub(crate) queued_spans: Spans,
    pub(crate) set_aside_spans: Spans,
    pub(crate) pinned: PinnedDemands,
    /// The keys of waiters about to enter it, which look for a deadlock before, without the lock.
    pub(crate) enqueuing: BTreeSet<u64>,
    pub(crate) reservations: u64,
    /// An acquire under the lock was for it in the present round: see [`groups`](crate::manager::state::groups).
    pub(crate) asked_for: bool,
    /// The counts of all sizes that tickets have.
    pub(crate) sizes: HashMap<u64, Arc<SizeCount>>,
    /// How many sizes may be known before those that no ticket has any more are forgotten.
    pub(crate) forget_sizes_at: usize,
    /// The sizes of live guards, and a few more.
    pub(crate) listed_sizes: BTreeMap<u64, Arc<SizeCount>>,
    /// At how many listed sizes the idle ones are struck off.
    pub(crate) strike_sizes_at: usize,
    /// An empty list, kept for its memory.
    pub(crate) scratch: Vec<u64>,
    /// Counts the changes of a custom group's members.
    pub(crate) version: u64,
    /// What the custom policy that has just admitted a demand says the limit is with it.
    pub(crate) foreseen: Option<Foreseen>,
    /// What a custom policy answered last: for which version and baseline, and the limit.
    pub(crate) answered: Option<(u64, u64, u64)>,
}

impl GroupState {
    pub(crate) fn custom(&self) -> bool {
        self.shared.custom
    }

    /// Whether no waiter is in the group's queue, nor about to be.
    pub(crate) fn is_queue_empty(&self) -> bool {
        self.queue.is_empty() && self.enqueuing.is_empty()
    }

    pub(crate) fn is_live(&self, word: Word) -> bool {
        word.sum() > 0 || word.driving() > 0 || self.reservations > 0
    }

    /// Closes the gates of an idle group, and tells whether it is idle then: a later acquire comes for the lock.
    pub(crate) fn close_if_idle(&self) -> bool {
        let awaited = !self.is_queue_empty() || !self.set_aside.is_empty();
        // The mark of a pinned demand that has left is for the whole scope, and is seen on listed groups alone.
        if awaited || self.mark.is_any() || self.is_live(self.shared.load()) {
            return false;
        }
        self.shared.gates.close();
        // A read-modify-write: an acquire that adds its demand after this finds the cover closed.
        let word = self.shared.read();
        !self.is_live(word) && !word.has_waiters()
    }

    /// Every waiter: those in the queue, then those set aside.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &Arc<Waiter>> {
        self.queue.values().chain(self.set_aside.values())
    }

    /// Whether a waiter waits, in the queue or set aside.
    pub(crate) fn has_waiter(&self, waiter: &Waiter) -> bool {
        self.queue.contains_key(&waiter.key()) || self.set_aside.contains_key(&waiter.number)
    }

    /// How many guards of every kind live in it, by its word.
    pub(crate) fn guards(&self, word: Word) -> u64 {
        word.driving() + self.reservations
    }

    /// Whether a sweep may forget it: no ticket refers to it, nothing lives or waits in it.
    pub(crate) fn is_unused(&self) -> bool {
        if Arc::strong_count(&self.shared) > 1
            || !self.queue.is_empty()
            || !self.set_aside.is_empty()
        {
            return false;
        }
        // The count is loaded relaxed: what the last ticket left behind, a leaked guard's demand, must be seen too.
        fence(Ordering::Acquire);
        !self.is_live(self.shared.load())
    }

    pub(crate) fn largest(&self) -> u64 {
        let mut sizes = self.listed_sizes.iter().rev();
        sizes
            .find(|(_, count)| count.0.load(Ordering::Acquire) > 0)
            .map_or(0, |(size, _)| *size)
    }

    /// The counter of guards of `bytes`.
    pub(crate) fn size_count(&mut self, bytes: u64) -> Arc<SizeCount> {
        if self.sizes.len() >= self.forget_sizes_at {
            self.sizes.retain(|size, count| {
                // Not by `strong_count`, which is loaded relaxed: a leaked guard of the last ticket must be seen. A listed
                // one has another owner.
                let unused = Arc::get_mut(count).is_some_and(|it| it.is_idle());
                *size == bytes || !unused
            });
            // Until the number has doubled, so that a ticket costs a constant on average.
            self.forget_sizes_at = (self.sizes.len() * 2).max(FEW_SIZES);
        }
        let count = self.sizes.entry(bytes);
        count
            .or_insert_with(|| Arc::new(SizeCount::unlisted()))
            .clone()
    }

    /// Sees to it that guards of a ticket's size are looked at, before one is counted under the lock.
    pub(crate) fn list_size(&mut self, request: &Request) {
        let Some(count) = request.size_count() else {
            return;
        };
        // Relaxed: changed under the lock only.
        if count.0.load(Ordering::Relaxed) & SizeCount::UNLISTED == 0 {
            return;
        }
        if self.listed_sizes.len() >= self.strike_sizes_at {
            self.listed_sizes.retain(|_, count| !count.strike_off());
            self.strike_sizes_at = (self.listed_sizes.len() * 2).max(FEW_SIZES);
        }
        self.listed_sizes.insert(request.bytes(), count.clone());
        // AcqRel: an acquire without the lock that counts itself later need not come for it.
        count.0.fetch_and(!SizeCount::UNLISTED, Ordering::AcqRel);
    }

    /// The sizes of all live guards, in descending order. [Kept](Self::keep_scratch), it is used again.
    pub(crate) fn each_size(&mut self) -> Vec<u64> {
        let mut each = std::mem::take(&mut self.scratch);
        for (size, count) in self.listed_sizes.iter().rev() {
            let count = count.0.load(Ordering::Acquire) as usize;
            each.extend(std::iter::repeat_n(*size, count));
        }
        each
    }

    /// Keeps the memory of what [`each_size`](Self::each_size) gave.
    pub(crate) fn keep_scratch(&mut self, mut each: Vec<u64>) {
        if each.capacity() > self.scratch.capacity() {
            each.clear();
            self.scratch = each;
        }
    }

    /// The policy that speaks for the group, kept alive for a call without the lock: by `request` if it is its own,
    /// else in `kept`.
    pub(crate) fn speaker<'a>(
        &self,
        request: Option<&'a Request>,
        kept: &'a mut Option<Arc<dyn Arbiter>>,
    ) -> &'a dyn Arbiter {
        match request.map(Request::policy) {
            Some(own) if Arc::ptr_eq(own, &self.policy) => &**own,
            _ => &**kept.insert(self.policy.clone()),
        }
    }

    /// What this group's limit grows with.
    pub(crate) fn basis(&self, word: Word) -> u64 {
        match self.resolved.basis() {
            Basis::Sum => word.sum(),
            Basis::Largest => self.largest(),
        }
    }

    /// The limit that the group's live guards call for.
    pub(crate) fn limit(&self, word: Word, baseline: u64) -> u64 {
        match (self.resolved, self.answered) {
            (Resolved::Custom, Some((_, _, limit))) => limit,
            (Resolved::Custom, None) => baseline.saturating_add(word.sum()),
            (formula, _) => formula.limit(baseline, self.basis(word)),
        }
    }

    /// The limit that a built-in policy's group calls for without one of its guards.
    pub(crate) fn limit_without(&self, request: &Request, baseline: u64) -> u64 {
        let bytes = request.bytes();
        let basis = match self.resolved.basis() {
            Basis::Sum => self.shared.load().sum().saturating_sub(bytes),
            Basis::Largest => {
                let mut sizes = self.listed_sizes.iter().rev();
                let left = sizes.find(|(size, count)| {
                    count.0.load(Ordering::Acquire) > u64::from(**size == bytes)
                });
                left.map_or(0, |(size, _)| *size)
            }
        };
        self.resolved.limit(baseline, basis)
    }

    /// Whether the custom policy must be asked again.
    pub(crate) fn must_ask(&self, baseline: u64) -> bool {
        self.custom()
            && self.is_live(self.shared.load())
            && !self
                .answered
                .is_some_and(|(version, at, _)| version == self.version && at == baseline)
    }
}

impl std::fmt::Debug for GroupState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupState")
            .field("label", &self.label)
            .field("word", &self.shared.load())
            .field("reservations", &self.reservations)
            .field("waiting", &self.queue.len())
            .finish_non_exhaustive()
    }
}
