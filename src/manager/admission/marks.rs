//! What has changed beside the waiters of a group, and which of them that can concern (R40).
//!
//! Judging a waiter again is cheap, a queue is long, and pinned demands change their sizes often: a KV cache at every
//! token. So a group notes what has changed, and how small and how large the demands are that wait in it. A pinned
//! demand that grew concerns no waiter while the largest demand in the queue still fits beside it, and the largest set
//! aside that may be refused fits beside what is not evictable. One that shrank concerns none while the smallest demand
//! that is set aside does not fit, or of those to be pinned the first. Otherwise all are judged again.
//!
//! The bounds only widen while waiters come and go, until all are judged: that costs as much as narrowing them.

use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::spans::Mark;
use crate::manager::state::spans::Spans;
use crate::manager::state::waiter::Waiter;
use crate::sync::Arc;

impl GroupState {
    /// Notes that a pinned demand has changed its size, or has come or gone. One of no bytes may have been promised
    /// room.
    pub(crate) fn mark(&mut self, before: Option<u64>, now: Option<u64>) {
        self.mark.freed |= now < before;
        self.mark.taken |= now > before;
    }

    /// Makes the bounds as narrow as they are.
    fn narrow(&mut self) {
        self.queued_spans = Spans::of(self.queue.values());
        self.set_aside_spans = Spans::of(self.set_aside.values());
    }
}

impl Core {
    /// What has changed for the waiters of a group's scope.
    pub(crate) fn marks(&self, index: usize) -> Mark {
        let groups = self.scope_groups(index);
        groups.fold(Mark::default(), |all, state| all.or(state.mark))
    }

    /// Marks every group with waiters, since what may be held has changed. In others a mark concerns none, and would
    /// keep them listed.
    pub(crate) fn mark_all(&mut self) {
        for state in self.groups.all_mut() {
            if state.waiters().next().is_some() {
                state.mark = Mark::ALL;
            }
        }
    }
}

impl Inner {
    /// Takes what has changed for the waiters of a group's scope. Returns those that are to be judged again, in the
    /// order of arrival.
    pub(crate) fn clear_marks(&self, core: &mut Core, index: usize) -> Vec<Arc<Waiter>> {
        let mark = core.marks(index);
        let concerns = self.may_concern(core, index, mark);
        let groups: Vec<usize> = core
            .scope_groups(index)
            .map(|state| state.shared.index)
            .collect();
        let mut waiters = Vec::new();
        for index in groups {
            let state = core.group_mut(index);
            state.mark = Mark::default();
            if concerns {
                state.narrow();
                waiters.extend(state.waiters().cloned());
            }
        }
        waiters.sort_unstable_by_key(|waiter| waiter.number);
        waiters
    }

    /// Whether a change may let in, refuse or set aside any waiter of a group's scope.
    fn may_concern(&self, core: &Core, index: usize, mark: Mark) -> bool {
        // A policy of the program's own says what it likes, and groups of several caps have a bound for each.
        let any_policy = core
            .scope_groups(index)
            .any(|state| state.custom() || state.mixed);
        if mark.all || any_policy {
            return true;
        }
        let (mut total, mut unevictable, mut largest_room) = (0_u64, 0_u64, 0);
        for state in core.scope_groups(index) {
            largest_room = largest_room.max(state.pinned.largest_room());
            total = total.saturating_add(state.pinned.bytes());
            unevictable = unevictable.saturating_add(state.pinned.unevictable_bytes());
        }
        let budget = core.config.budget.unwrap_or(u64::MAX);
        // Demands to be pinned that do not live yet wait behind the first that is set aside. One that the pressure
        // delays is looked at by each pump.
        let first = core
            .first_set_aside(index)
            .filter(|first| first.is_new_pinned() && !core.is_delayed_aside(first));
        let delayed = core.first_delayed_aside(index);
        core.scope_groups(index).any(|state| {
            let most = self.capacity_of(core, state.resolved).unwrap_or(u64::MAX);
            let pinned = &state.pinned;
            let in_group = |held: u64, bytes: u64| held.saturating_add(bytes) <= most;
            let in_all = |held: u64, bytes: u64| held.saturating_add(bytes) <= budget;
            let beside_pinned = |bytes| in_group(pinned.bytes(), bytes) && in_all(total, bytes);
            let beside_unevictable =
                |bytes| in_group(pinned.unevictable_bytes(), bytes) && in_all(unevictable, bytes);
            // The rooms of other groups are left by the budget alone.
            let leaves_rooms = |bytes: u64, own: u64| {
                let (of_group, of_all) = (pinned.largest_room().max(own), largest_room.max(own));
                in_group(pinned.bytes(), bytes.saturating_add(of_group))
                    && in_all(total, bytes.saturating_add(of_all))
            };
            let is_let_in = |first: &Waiter| {
                let request = &first.request;
                request.group().index == state.shared.index
                    && leaves_rooms(request.bytes(), request.room().bytes)
            };
            let (queued, set_aside) = (state.queued_spans, state.set_aside_spans);
            let lets_in = set_aside.active.least_is(beside_pinned)
                || set_aside.growths.least_is(|bytes| leaves_rooms(bytes, 0))
                || first.is_some_and(|first| is_let_in(first));
            let keeps_out = queued.active.most_is_not(beside_pinned)
                || queued.pinned.most_is_not(|bytes| leaves_rooms(bytes, 0))
                || set_aside.refusable.most_is_not(beside_unevictable);
            // Others go by the first that the pressure delays.
            let keeps_aside = delayed.is_some_and(|first| {
                let request = &first.request;
                request.group().index == state.shared.index
                    && !leaves_rooms(request.bytes(), request.room().bytes)
            });
            (mark.freed && lets_in) || (mark.taken && keeps_out) || keeps_aside
        })
    }
}
