//! Which waiter is next: admitting waiters on their behalf.

use crate::Error;
use crate::event::EventKind;
use crate::manager::admission::judge::Verdict;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::grant::Granted;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::key::is_of_new;
use crate::manager::state::waiter::Waiter;
use crate::manager::state::word::Word;
use crate::sync::{Arc, Ordering};

/// How many waiters that do not fit are looked past at once, where overtaking is allowed (R40).
pub(crate) const MOST_PASSED: usize = 64;

impl Inner {
    /// The next in the queue after `after`: in the group's queue, or with a budget in all queues together.
    pub(crate) fn next_queued(
        &self,
        core: &Core,
        index: usize,
        after: Option<u64>,
    ) -> Option<(u64, Arc<Waiter>)> {
        let from = after.map_or(0, |key| key + 1);
        let first = |queue: &std::collections::BTreeMap<u64, Arc<Waiter>>| {
            queue
                .range(from..)
                .next()
                .map(|(key, waiter)| (*key, waiter.clone()))
        };
        if core.config.budget.is_none() {
            return first(&core.group(index).queue);
        }
        core.listed_groups()
            .filter_map(|state| first(&state.queue))
            .min_by_key(|(key, _)| *key)
    }

    /// The key of the first in the queue.
    pub(crate) fn head_key(&self, core: &Core, index: usize) -> Option<u64> {
        self.next_queued(core, index, None).map(|(key, _)| key)
    }

    /// Whether no waiter is in the queue before a new demand of this group.
    pub(crate) fn is_queue_empty(&self, core: &Core, index: usize) -> bool {
        let together = core.config.budget.is_some();
        core.group(index).is_queue_empty()
            && (!together || core.listed_groups().all(GroupState::is_queue_empty))
    }

    /// The first of the keys that are about to enter the group's queue.
    fn first_enqueuing(&self, core: &Locked<'_>, index: usize) -> Option<u64> {
        let first = |state: &GroupState| state.enqueuing.first().copied();
        if core.config.budget.is_none() {
            return first(core.group(index));
        }
        core.listed_groups().filter_map(first).min()
    }

    /// Whether a growing guard waits in the queue already, or is about to.
    pub(crate) fn is_growing_guard_queued(&self, core: &Locked<'_>, index: usize) -> bool {
        let first = self.head_key(core, index);
        let enqueuing = self.first_enqueuing(core, index);
        first
            .into_iter()
            .chain(enqueuing)
            .any(|key| !is_of_new(key))
    }

    /// Admits from the head of the queue while it may be admitted, and tells whether it admitted any. The caller holds
    /// no judge lock.
    ///
    /// If the configuration allows overtaking, those behind a head that must wait are tried too, unless a waiter
    /// that they would pass has been passed often enough, or very many would be passed.
    pub(crate) fn pump(&self, core: &mut Locked<'_>, index: usize) -> bool {
        let mut admitted = false;
        loop {
            self.judge_marked(core, index);
            self.requeue_delayed(core, index);
            admitted |= self.pump_queue(core, index);
            if !self.is_marked(core, index) && !self.has_undelayed(core, index) {
                break;
            }
        }
        self.note_undelayed(core, index);
        self.break_new_deadlocks(core);
        admitted
    }

    /// [`pump`](Self::pump) for what is held and what may be held as they are.
    fn pump_queue(&self, core: &mut Locked<'_>, index: usize) -> bool {
        let allowed = core.config.overtaking;
        // Under the manager's lock.
        let exhausted = |waiter: &Arc<Waiter>| waiter.overtaken.load(Ordering::Relaxed) >= allowed;
        let mut passed: Vec<Arc<Waiter>> = Vec::new();
        let mut admitted = false;
        let mut after = None;
        while let Some((key, waiter)) = self.next_queued(core, index, after) {
            let first = self.first_enqueuing(core, index);
            if first.is_some_and(|first| first < key) {
                // The earlier waiter examines the queue when it has entered.
                break;
            }
            core.keep_until_unlocked([&waiter]);
            let group = waiter.request.group();
            // Taken without the manager's lock, which comes after it.
            let _judge = group.custom.then(|| core.unlocked(|| group.judge.lock()));
            // Meanwhile the waiter may have left, and the guard that it grows with it.
            if !core.group(group.index).queue.contains_key(&key) {
                continue;
            }
            let demand = waiter.demand();
            let settings_version = core.settings_version;
            let verdict = match self.check_countable(core, demand) {
                // A demand to be pinned overtakes none.
                Ok(()) if waiter.request.is_pinned() && !passed.is_empty() => Ok(Verdict::Wait),
                Ok(()) => self.judge(core, demand),
                // It may fit once others have left.
                Err(_) => Ok(Verdict::Wait),
            };
            if core.settings_version != settings_version {
                // While a policy was asked without the lock, one queue may have become many, or many one: the first in
                // the queue may be another.
                passed.clear();
                after = None;
                continue;
            }
            // It may have left while a policy was asked without the lock.
            if !core.group(group.index).queue.contains_key(&key) {
                continue;
            }
            // Meanwhile another admission may have used up the overtaking of a waiter that would be passed.
            if passed.iter().any(exhausted) {
                break;
            }
            if verdict == Ok(Verdict::Delayed) {
                if waiter.is_new_pinned() {
                    // Aside it does not delay the work that it waits for.
                    core.remove_waiter(&waiter);
                    self.set_aside_delayed(core, &waiter);
                    continue;
                }
                self.delay(core, &waiter);
            }
            if verdict == Ok(Verdict::Wait) && passed.is_empty() {
                core.note_head_undelayed(index);
            }
            if let Ok(Verdict::Wait | Verdict::Delayed) = verdict {
                if exhausted(&waiter) || passed.len() >= MOST_PASSED {
                    break;
                }
                passed.push(waiter.clone());
                after = Some(key);
                continue;
            }
            core.remove_waiter(&waiter);
            let outcome = verdict.and_then(|_| self.count_admitted(core, demand, waiter.location));
            // Not before the demand is counted: a fast acquire would take what it was promised.
            self.clear_waiters_if_unneeded(core, group.index);
            let outcome = outcome.map(|word| self.grant(core, &waiter, word));
            if outcome.is_ok() {
                admitted = true;
                for waiter in &passed {
                    // Under the manager's lock.
                    waiter.overtaken.fetch_add(1, Ordering::Relaxed);
                }
                self.resolve(core, &waiter, outcome);
                if passed.iter().any(exhausted) {
                    // A waiter that might have overtaken is behind a head now, which may be waiting for it.
                    core.may_deadlock = true;
                    break;
                }
                if waiter.request.is_pinned() {
                    // Those behind may not fit beside it: they are judged before they count as overtaken.
                    break;
                }
            } else {
                self.resolve(core, &waiter, outcome);
            }
        }
        self.clear_waiters_if_unneeded(core, index);
        admitted
    }

    /// What a waiter gets whose demand was counted just now.
    fn grant(&self, core: &mut Locked<'_>, waiter: &Waiter, word: Word) -> Granted {
        let request = &waiter.request;
        let waited = self.waited(waiter);
        core.note_progress(request.group().index, waited.until);
        if !self.is_covered(core, request) {
            // From now on a call that fails before the waiter wakes fails it, too.
            core.await_cover(waiter.number, waiter.demand());
            return Granted::Added(word);
        }
        // Nothing is left for the waiter to do under the lock.
        core.stats.admissions += 1;
        core.note_wait(waited.time);
        Granted::Covered(self.admission(core, waiter.demand(), word, Some(waited)))
    }

    /// Clears the group's `WAITERS` if no release is to look for any of its waiters.
    pub(crate) fn clear_waiters_if_unneeded(&self, core: &mut Locked<'_>, index: usize) {
        let state = core.group(index);
        if state.needs_no_release() {
            state.shared.clear_waiters();
        }
    }

    /// Gives a waiter that was taken out of the queue its outcome, and wakes it. Its admission was told of before.
    pub(crate) fn resolve(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        outcome: Result<Granted, Error>,
    ) {
        if let Err(error) = &outcome {
            let kind = EventKind::AdmissionFailed(error.to_string());
            self.emit(core, kind, Some(&waiter.request), |event| {
                waiter.attribute(event)
            });
        }
        *waiter.outcome.lock() = Some(outcome);
        core.wake(waiter.waker.clone());
    }
}
