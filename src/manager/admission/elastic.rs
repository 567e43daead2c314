//! Caps that give way under pressure (R33a).
//!
//! By the level of the pressure, caps of built-in policies and the budget over all groups count with a share for new
//! demands. What is judged first is whether a demand fits by the caps in full; one that does, and not by the share, is
//! *delayed*. A delay is none of the queue's reasons to wait: deadlocks, refusals and rooms are judged by the caps in
//! full.
//!
//! Nothing is delayed for ever. A demand is admitted when the level falls, when it fits by the share, or when it is the
//! first in the queue and no active guard of its scope lives (a pinned demand: no guard at all); at the latest when its
//! *patience* is over. The patience begins when the demand is first delayed, or is behind delayed ones in the queue.
//! Its waiter wakes when it ends.
//!
//! A delayed active demand stays the first in the queue. A delayed demand to be pinned is set aside instead, so that
//! work goes on. But it waits for the end of work, so its group keeps `WAITERS`, which sends releases here
//! ([`needs_no_release`](GroupState::needs_no_release)). Each pump of its scope looks at the first such demand, and
//! judges it beside the pinned demands once more before it takes it back into the queue.

use crate::arbiter::Resolved;
use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::delay::Delayed;
use crate::manager::state::delay::DelayedSince;
use crate::manager::state::demand::Demand;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::request::Request;
use crate::manager::state::share::pressed;
use crate::manager::state::share::share_of;
use crate::manager::state::waiter::Waiter;
use crate::mode::WireMode;
use crate::pressure::PressureLevel;
use crate::snapshot::WaitReason;
use crate::sync::Arc;
use std::time::Instant;

impl DelayedSince {
    fn of(self, waiter: &Waiter) -> Option<Instant> {
        if waiter.is_new_pinned() {
            self.set_aside
        } else {
            self.queued
        }
    }

    fn of_mut(&mut self, waiter: &Waiter) -> &mut Option<Instant> {
        if waiter.is_new_pinned() {
            &mut self.set_aside
        } else {
            &mut self.queued
        }
    }
}

impl Core {
    pub(crate) fn level(&self) -> PressureLevel {
        PressureLevel::of(self.pressure)
    }

    /// The share of the caps that counts for new demands: 1 where they do not give way.
    pub(crate) fn share(&self) -> f64 {
        let shares = self.config.elastic;
        shares.map_or(1.0, |shares| shares[self.level() as usize])
    }

    /// A formula as it counts for new demands.
    pub(crate) fn pressed(&self, formula: Resolved) -> Resolved {
        pressed(formula, self.share())
    }

    /// Whether a demand of this ticket, counted already, makes its group larger than its policy allows under the pressure.
    pub(crate) fn is_over_share(&self, request: &Request, sum: u64) -> bool {
        let formula = request.formula().resolve(self.device_budget);
        self.share() < 1.0
            && self.mode != WireMode::Uncoordinated
            && formula.can_refuse()
            && sum >= self.pressed(formula).admitted(self.admission_baseline())
    }

    /// Whether a waiter is set aside by the pressure alone.
    pub(crate) fn is_delayed_aside(&self, waiter: &Waiter) -> bool {
        let state = self.group(waiter.request.group().index);
        state.delayed.contains(&waiter.number)
    }

    /// Since when waiters of a group's scope are delayed.
    fn delayed_since(&self, index: usize) -> DelayedSince {
        match self.config.budget {
            Some(_) => self.delayed_since,
            None => self.group(index).delayed_since,
        }
    }

    fn delayed_since_mut(&mut self, index: usize) -> &mut DelayedSince {
        match self.config.budget {
            Some(_) => &mut self.delayed_since,
            None => &mut self.group_mut(index).delayed_since,
        }
    }

    /// When the patience of a waiter ends that was not delayed itself: those before it in the queue were, and delayed
    /// it, too.
    fn would_be_delayed_until(&self, waiter: &Waiter) -> Option<Instant> {
        let since = self.delayed_since(waiter.request.group().index);
        let begun = since.of(waiter)?.max(waiter.since);
        begun.checked_add(self.config.pressure_patience)
    }

    /// Forgets all delays: one queue becomes many, or many one.
    pub(crate) fn forget_delays(&mut self) {
        self.delayed_since = DelayedSince::default();
        for state in self.groups.all_mut() {
            state.delayed_since = DelayedSince::default();
        }
    }

    /// Notes that no pressure delays the first in a group's queue.
    pub(crate) fn note_head_undelayed(&mut self, index: usize) {
        self.delayed_since_mut(index).queued = None;
    }

    /// The first in a group's scope that is set aside by the pressure alone.
    pub(crate) fn first_delayed_aside(&self, index: usize) -> Option<&Arc<Waiter>> {
        let firsts = self.scope_groups(index).filter_map(|state| {
            let first = state.delayed.first()?;
            state.set_aside.get(first)
        });
        firsts.min_by_key(|waiter| waiter.number)
    }

    /// Whether the pressure alone has set a waiter of a group's scope aside.
    pub(crate) fn delays_pinned(&self, index: usize) -> bool {
        self.scope_groups(index)
            .any(|state| !state.delayed.is_empty())
    }
}

impl Waiter {
    /// When its patience with the pressure ends, once that has delayed it.
    pub(crate) fn patience_ends(&self) -> Option<Instant> {
        self.delayed.lock().as_ref()?.until
    }
}

impl GroupState {
    /// Whether no release of work can let in any waiter of the group: none is in the queue, none is about to be, and
    /// none is set aside by the pressure alone.
    pub(crate) fn needs_no_release(&self) -> bool {
        self.is_queue_empty() && self.delayed.is_empty()
    }
}

impl Inner {
    /// Whether a demand that fits by the caps in full does not by the share of them that counts, and is to wait for that.
    pub(crate) fn is_delayed(&self, core: &Core, demand: Demand<'_>) -> bool {
        let knows_none = demand.from.is_some() || core.mode == WireMode::Uncoordinated;
        if core.share() >= 1.0 || knows_none || core.config.pressure_patience.is_zero() {
            return false;
        }
        let is_spent = |waiter: &Waiter| {
            let until = waiter.delayed.lock().as_ref().map(|delayed| delayed.until);
            let until = until.unwrap_or_else(|| core.would_be_delayed_until(waiter));
            until.is_some_and(|until| self.clock.now() >= until)
        };
        if demand.waiter.is_some_and(is_spent) {
            return false;
        }
        // A demand to be pinned passes none that came before it.
        let is_behind = |waiter: &Waiter| {
            let first = core.first_delayed_aside(waiter.request.group().index);
            waiter.is_new_pinned() && first.is_some_and(|first| first.number < waiter.number)
        };
        let fits = self.share_in_the_way(core, demand).is_none();
        if fits || self.waits_for_nothing(core, demand) {
            return demand.waiter.is_some_and(is_behind);
        }
        true
    }

    /// What is in use, and how much counts, where a share of a cap or of the budget is in a new demand's way.
    fn share_in_the_way(&self, core: &Core, demand: Demand<'_>) -> Option<(u64, u64)> {
        let request = demand.request;
        let share = core.share();
        if let Some(budget) = core.config.budget {
            let (in_use, counts) = (core.total_live(), share_of(budget, share));
            if in_use.saturating_add(request.bytes()) > counts {
                return Some((in_use, counts));
            }
        }
        let in_use = core.group(request.group().index).shared.load().sum();
        let over = core.is_over_share(request, in_use.saturating_add(request.bytes()));
        let formula = core.pressed(request.formula().resolve(core.device_budget));
        over.then(|| (in_use, self.capacity_of(core, formula).unwrap_or(0)))
    }

    /// Whether no work is left whose end a demand could wait for: it is the first of its scope, and no active guard of
    /// the scope lives; of a pinned demand no guard at all. Leaked guards are no work.
    fn waits_for_nothing(&self, core: &Core, demand: Demand<'_>) -> bool {
        let request = demand.request;
        let index = request.group().index;
        let is_first = match demand.waiter {
            Some(waiter) if core.is_set_aside(waiter) => {
                let first = core.first_set_aside(index);
                self.is_queue_empty(core, index)
                    && first.is_some_and(|first| first.number == waiter.number)
            }
            Some(waiter) => self.head_key(core, index) == Some(waiter.key()),
            // It is judged before it waits only if it is the first.
            None => true,
        };
        is_first
            && core.scope_groups(index).all(|state| {
                let word = state.shared.load();
                if request.is_pinned() {
                    state.guards(word) == 0
                } else {
                    state.shared.active(word) <= state.pinned.leaked_active()
                }
            })
    }

    /// Notes that a waiter is delayed: its patience begins, if it has not begun before. It wakes to learn when that ends.
    pub(crate) fn delay(&self, core: &mut Locked<'_>, waiter: &Waiter) {
        let now = self.clock.now();
        let since = core.delayed_since_mut(waiter.request.group().index);
        since.of_mut(waiter).get_or_insert(now);
        let mut delayed = waiter.delayed.lock();
        if delayed.is_none() {
            let until = core.would_be_delayed_until(waiter);
            *delayed = Some(Delayed { until });
            drop(delayed);
            core.wake(waiter.waker.clone());
        }
    }

    /// Sets a waiter aside that the pressure alone delays. It is in no queue yet.
    pub(crate) fn set_aside_delayed(&self, core: &mut Locked<'_>, waiter: &Arc<Waiter>) {
        core.set_aside(Arc::clone(waiter), self.clock.now());
        self.note_delayed_aside(core, waiter);
    }

    /// Notes that the pressure alone keeps a waiter set aside.
    pub(crate) fn note_delayed_aside(&self, core: &mut Locked<'_>, waiter: &Waiter) {
        let group = waiter.request.group();
        // Before the next pump judges it again: a release after this looks.
        group.set_waiters();
        let state = core.group_mut(group.index);
        state.delayed.insert(waiter.number);
        self.delay(core, waiter);
    }

    /// Whether the first waiter that the pressure has set aside in a scope is delayed no more.
    pub(crate) fn has_undelayed(&self, core: &Core, index: usize) -> bool {
        let first = core.first_delayed_aside(index);
        first.is_some_and(|first| !self.is_delayed(core, first.demand()))
    }

    /// Takes the first waiter that the pressure has set aside back into its queue, if the pressure delays it no more.
    pub(crate) fn requeue_delayed(&self, core: &mut Locked<'_>, index: usize) {
        if self.has_undelayed(core, index)
            && let Some(waiter) = core.first_delayed_aside(index).cloned()
        {
            self.requeue_if_it_fits(core, &waiter);
        }
    }

    /// Takes a waiter that the pressure set aside back into its queue. If it does not fit beside the pinned demands by
    /// now it stays aside, for them: what came meanwhile may have concerned no other. In the queue it would delay the
    /// work of those very pinned demands.
    fn requeue_if_it_fits(&self, core: &mut Locked<'_>, waiter: &Arc<Waiter>) {
        core.keep_until_unlocked([waiter]);
        self.judge_waiter_again(core, waiter, false);
        let index = waiter.request.group().index;
        if !core.is_set_aside(waiter) {
            // Demands to be pinned may have been set aside behind it.
            core.group_mut(index).mark.freed = true;
        }
        self.wake_first_to_ask(core, index);
    }

    /// Forgets since when waiters of a scope are delayed, if none is delayed any more.
    pub(crate) fn note_undelayed(&self, core: &mut Locked<'_>, index: usize) {
        let DelayedSince { queued, set_aside } = core.delayed_since(index);
        if queued.is_some() && self.head_key(core, index).is_none() {
            core.delayed_since_mut(index).queued = None;
        }
        if set_aside.is_some() && !core.delays_pinned(index) {
            core.delayed_since_mut(index).set_aside = None;
        }
    }

    /// Examines a waiter's queue, since its patience is over.
    pub(crate) fn pump_after_patience(&self, waiter: &Arc<Waiter>) {
        let mut core = self.lock();
        if waiter.outcome.lock().is_some() {
            return;
        }
        let index = waiter.request.group().index;
        self.pump_and_reconcile(&mut core, index);
        if core.is_delayed_aside(waiter) {
            // An earlier waiter, which waited for a pinned demand before, is delayed still.
            self.requeue_if_it_fits(&mut core, waiter);
            self.pump_and_reconcile(&mut core, index);
        }
    }

    /// Goes by another pressure from here on. NaN is critical. The caller examines the queues, which opens the gates
    /// again.
    pub(crate) fn apply_pressure(&self, pressure: f64) {
        let known = if pressure.is_nan() { 1.0 } else { pressure };
        let mut core = self.lock();
        let (from, share) = (core.level(), core.share());
        core.pressure = known.clamp(0.0, 1.0);
        let to = core.level();
        if from == to {
            return;
        }
        if core.share() < share {
            // As for new settings: what was added before is in the words, and what is added later finds a closed cover.
            core.close_gates();
            for state in core.listed_groups() {
                state.shared.read();
            }
        }
        core.publish_figures();
        self.emit(
            &mut core,
            EventKind::PressureChanged { from, to },
            None,
            |_| {},
        );
    }

    /// Why a demand waits that the pressure delays.
    pub(crate) fn delayed_by(&self, core: &Core, demand: Demand<'_>) -> Option<WaitReason> {
        let set_aside = demand.waiter.filter(|waiter| core.is_set_aside(waiter));
        if set_aside.is_some_and(|waiter| !core.is_delayed_aside(waiter)) {
            return None;
        }
        let in_use = core.group(demand.request.group().index).shared.load().sum();
        let with = in_use.saturating_add(demand.request.bytes());
        let full = self.capacity(core, demand.request);
        let is_in_the_way = || {
            let fits_in_full = full.is_none_or(|capacity| with <= capacity);
            fits_in_full && self.is_delayed(core, demand)
        };
        if set_aside.is_none() && !is_in_the_way() {
            return None;
        }
        // Aside, another that is delayed may be in its way.
        let (in_use, counts) = self.share_in_the_way(core, demand).or_else(|| {
            let full = full
                .or(core.config.budget)
                .filter(|_| set_aside.is_some())?;
            Some((in_use, share_of(full, core.share())))
        })?;
        Some(WaitReason::Delayed {
            level: core.level(),
            in_use,
            counts,
        })
    }
}
