//! Setting waiters aside, and taking them back into the queue (R26a).
//!
//! A waiter that does not fit beside the pinned demands alone gains nothing by work that ends. In the queue it would
//! delay the steps of the very guard that it waits for. So it is *set aside*: it is in no queue, and delays only later
//! demands to be pinned. The group's `WAITERS` is not set on its account, so acquires and releases of work stay on the
//! fast path.
//!
//! Only pinned demands that go, shrink, come or grow, and caps that move, change what a waiter fits beside. All of
//! these happen under the manager's lock, and mark their group. The next pump judges every waiter of the scope again,
//! in the order of arrival: one that does not fit beside the pinned demands any more is set aside, or refused if it is
//! active and does not fit beside those that are not evictable; one that fits again takes the last place in the queue.
//! A demand to be pinned stays aside behind an earlier waiter that does.
//!
//! A custom policy is asked without the lock. A pinned demand that comes or goes meanwhile marks the group again, and
//! the pump begins anew.

use crate::manager::admission::beside::Beside;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::key::{NEW, next_key};
use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::manager::state::waiter::Waiter;
use crate::sync::{Arc, Ordering};
use std::panic::Location;

impl Core {
    /// The groups of a group's scope, which have one queue together: itself, or all under a budget over all groups.
    pub(crate) fn scope_groups(&self, index: usize) -> impl Iterator<Item = &GroupState> {
        let together = self.config.budget.is_some();
        let one = (!together).then(|| self.group(index));
        let all = together.then(|| self.listed_groups());
        one.into_iter().chain(all.into_iter().flatten())
    }

    /// The first that is set aside in a group's scope.
    pub(crate) fn first_set_aside(&self, index: usize) -> Option<&Arc<Waiter>> {
        let groups = self.scope_groups(index);
        groups
            .filter_map(|state| state.set_aside.values().next())
            .min_by_key(|waiter| waiter.number)
    }
}

impl Inner {
    /// Whether a waiter of a group's scope is set aside already.
    pub(crate) fn has_set_aside(&self, core: &Core, index: usize) -> bool {
        core.first_set_aside(index).is_some()
    }

    /// Whether a waiter is the first that is set aside in its scope.
    pub(crate) fn is_first_set_aside(&self, waiter: &Waiter) -> bool {
        let core = self.lock();
        let first = core.first_set_aside(waiter.request.group().index);
        first.is_some_and(|first| first.number == waiter.number && !core.is_delayed_aside(first))
    }

    /// Whether the waiters of a group's scope are to be judged again.
    pub(crate) fn is_marked(&self, core: &Core, index: usize) -> bool {
        core.marks(index).is_any()
    }

    /// Judges the waiters of a group's scope again if what they fit beside has changed. The caller holds no judge lock.
    pub(crate) fn judge_marked(&self, core: &mut Locked<'_>, index: usize) {
        while self.is_marked(core, index) {
            let waiters = self.clear_marks(core, index);
            core.keep_until_unlocked(&waiters);
            let mut held_back = false;
            for waiter in &waiters {
                held_back |= self.judge_waiter_again(core, waiter, held_back);
            }
            self.wake_first_to_ask(core, index);
        }
    }

    /// Judges one waiter again. `held_back`: an earlier one is set aside. Returns whether this one is.
    pub(crate) fn judge_waiter_again(
        &self,
        core: &mut Locked<'_>,
        waiter: &Arc<Waiter>,
        held_back: bool,
    ) -> bool {
        let group = waiter.request.group();
        let index = group.index;
        // Taken without the manager's lock, which comes after it.
        let _judge = group.custom.then(|| core.unlocked(|| group.judge.lock()));
        if !core.group(index).has_waiter(waiter) {
            return false;
        }
        let demand = waiter.demand();
        let beside = self
            .check_ever(core, demand)
            .and_then(|()| self.waits_for(core, demand));
        // It may have left while a policy was asked without the lock.
        if !core.group(index).has_waiter(waiter) {
            return false;
        }
        let disturbed = core.was_disturbed();
        let is_delayed = waiter.is_new_pinned() && self.is_delayed(core, demand);
        let state = core.group_mut(index);
        let is_set_aside = state.set_aside.contains_key(&waiter.number);
        match beside {
            Err(error) => {
                core.remove_waiter(waiter);
                self.clear_waiters_if_unneeded(core, index);
                self.resolve(core, waiter, Err(error));
                false
            }
            Ok(Beside::Work) if !is_set_aside => false,
            Ok(Beside::Work) if held_back && waiter.is_new_pinned() => true,
            Ok(Beside::Work) if is_delayed => {
                self.note_delayed_aside(core, waiter);
                true
            }
            Ok(Beside::Work) => {
                let before = state.mark;
                core.remove_waiter(waiter);
                let key = next_key() | (waiter.key() & NEW);
                // Relaxed: under the manager's lock.
                waiter.key.store(key, Ordering::Relaxed);
                core.enqueue(Arc::clone(waiter), self.clock.now());
                // Meanwhile a demand to be pinned may have been set aside behind it, which this round does not see.
                core.group_mut(index).mark = before;
                core.group_mut(index).mark.all |= disturbed;
                group.set_waiters();
                core.returned.push(Arc::clone(waiter));
                false
            }
            Ok(Beside::Pinned) => {
                if is_set_aside {
                    core.group_mut(index).delayed.remove(&waiter.number);
                } else {
                    core.remove_waiter(waiter);
                    core.set_aside(Arc::clone(waiter), self.clock.now());
                }
                self.clear_waiters_if_unneeded(core, index);
                true
            }
        }
    }

    /// Enters a guard that is leaked among the pinned demands that are not evictable.
    pub(crate) fn leak(
        &self,
        request: &Request,
        pin: Option<PinKey>,
        location: &'static Location<'static>,
    ) {
        let mut core = self.lock();
        let group = request.group();
        core.leak(pin.unwrap_or_else(next_key), request, location);
        core.defer_group(group);
        self.reconcile_deferred(&mut core);
    }

    /// Looks for deadlocks that what has happened may have completed, once no waiter can be admitted, refused or set
    /// aside: of those that have come back into the queue, and among all.
    pub(crate) fn break_new_deadlocks(&self, core: &mut Locked<'_>) {
        while let Some(waiter) = core.returned.pop() {
            self.refuse_returned_deadlock(core, &waiter);
        }
        if std::mem::take(&mut core.may_deadlock) {
            self.break_deadlocks(core);
        }
    }
}
