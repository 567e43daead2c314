//! Caps that give way under pressure (R33a).
//!
//! By the level of the pressure, caps of built-in policies and the budget over all groups count with a share for new
//! demands. What is judged first is whether a demand fits by the caps in full; one that does, and not by the share, is
//! *delayed*. A delay is none of the queue's reasons to wait: circles, refusals and rooms are judged by the caps in full.
//!
//! Nothing is delayed for ever. A demand is let in when the level falls, when it fits by the share, when it is the first in
//! line and no active guard of its line lives (a hold: no guard at all), and at the latest when its *patience* is over: that
//! begins when it is delayed first, and the waiter wakes by itself when it ends.
//!
//! An active demand that is delayed stays in line, the first of it. A demand for a hold is set aside instead, so that work
//! goes on; but what it waits for is that work ends, so its group keeps the flag that sends releases here
//! ([`is_left_alone`](GroupState::is_left_alone)). Each pump of its line looks at the first of them.

use super::Inner;
use super::config::WireMode;
use super::core::Core;
use super::group::GroupState;
use super::judge::Demand;
use super::locked::Locked;
use super::queue::Waiter;
use super::waiting::{NEW, next_key};
use crate::event::EventKind;
use crate::policy::formula::Resolved;
use crate::pressure::PressureLevel;
use crate::snapshot::WaitReason;
use crate::sync::{Arc, Ordering};
use crate::ticket::Ticket;

/// So much of a number of bytes.
pub(super) fn share_of(bytes: u64, share: f64) -> u64 {
    if share < 1.0 {
        (bytes as f64 * share) as u64
    } else {
        // Beyond 2^53 a float is no exact number of bytes.
        bytes
    }
}

/// A formula of whose cap a share counts.
pub(super) fn pressed(formula: Resolved, share: f64) -> Resolved {
    match formula {
        Resolved::Sum { base, cap } if share < 1.0 && formula.can_refuse() => Resolved::Sum {
            base,
            cap: share_of(cap, share),
        },
        other => other,
    }
}

impl Core {
    pub(super) fn level(&self) -> PressureLevel {
        PressureLevel::of(self.pressure)
    }

    /// The share of the caps that counts for new demands: 1 where they do not give way.
    pub(super) fn share(&self) -> f64 {
        let shares = self.config.elastic;
        shares.map_or(1.0, |shares| shares[self.level() as usize])
    }

    /// A formula as it counts for new demands.
    pub(super) fn pressed(&self, formula: Resolved) -> Resolved {
        pressed(formula, self.share())
    }

    /// Whether a demand of this ticket, counted already, makes its group larger than its policy allows under the pressure.
    pub(super) fn is_over_share(&self, ticket: &Ticket, sum: u64) -> bool {
        let formula = ticket.formula().resolve(self.budget);
        self.share() < 1.0
            && self.mode != WireMode::Uncoordinated
            && formula.can_refuse()
            && sum >= self.pressed(formula).admitted(self.admission_baseline())
    }

    /// Whether a waiter is set aside by the pressure alone.
    pub(super) fn is_delayed_aside(&self, waiter: &Waiter) -> bool {
        let state = self.group(waiter.ticket.group().index);
        state.delayed.contains(&waiter.number)
    }

    /// The first in a group's line that is set aside by the pressure alone.
    fn first_delayed_aside(&self, index: usize) -> Option<&Arc<Waiter>> {
        let firsts = self.line_of(index).filter_map(|state| {
            let first = state.delayed.first()?;
            state.aside.get(first)
        });
        firsts.min_by_key(|waiter| waiter.number)
    }

    /// Whether the pressure alone has set a waiter of a group's line aside.
    pub(super) fn delays_holds(&self, index: usize) -> bool {
        self.line_of(index).any(|state| !state.delayed.is_empty())
    }
}

impl GroupState {
    /// Whether no release of work can let in any waiter of the group: none is in line, none is about to be, and none is
    /// set aside by the pressure alone.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.is_awaited_by_none() && self.delayed.is_empty()
    }
}

impl Inner {
    /// Whether a demand that fits by the caps in full does not by the share of them that counts, and is to wait for that.
    pub(super) fn is_delayed(&self, core: &Core, demand: Demand<'_>) -> bool {
        if core.share() >= 1.0 || demand.from.is_some() || core.mode == WireMode::Uncoordinated {
            return false;
        }
        let is_spent = |waiter: &Waiter| {
            let until = *waiter.delayed_until.lock();
            until.is_some_and(|until| self.clock.now() >= until)
        };
        if demand.waiter.is_some_and(is_spent) {
            return false;
        }
        // A demand for a hold passes none that came before it.
        let is_behind = |waiter: &Waiter| {
            let first = core.first_delayed_aside(waiter.ticket.group().index);
            waiter.is_new_hold() && first.is_some_and(|first| first.number < waiter.number)
        };
        let fits = self.share_in_the_way(core, demand).is_none();
        if fits || self.waits_for_nothing(core, demand) {
            return demand.waiter.is_some_and(is_behind);
        }
        true
    }

    /// What is in use, and how much counts, where a share of a cap or of the budget is in a new demand's way.
    fn share_in_the_way(&self, core: &Core, demand: Demand<'_>) -> Option<(u64, u64)> {
        let ticket = demand.ticket;
        let share = core.share();
        if let Some(budget) = core.config.budget {
            let (in_use, counts) = (core.total_live(), share_of(budget, share));
            if in_use.saturating_add(ticket.bytes()) > counts {
                return Some((in_use, counts));
            }
        }
        let in_use = core.group(ticket.group().index).shared.load().sum();
        let over = core.is_over_share(ticket, in_use.saturating_add(ticket.bytes()));
        let formula = core.pressed(ticket.formula().resolve(core.budget));
        over.then(|| (in_use, self.capacity_of(core, formula).unwrap_or(0)))
    }

    /// Whether no work is left whose end a demand could wait for: it is the first in its line, and no active guard of the
    /// line lives; of a hold no guard at all. Leaked guards are no work.
    fn waits_for_nothing(&self, core: &Core, demand: Demand<'_>) -> bool {
        let ticket = demand.ticket;
        let index = ticket.group().index;
        let is_first = match demand.waiter {
            Some(waiter) if core.is_aside(waiter) => {
                let first = core.first_set_aside(index);
                self.is_line_empty(core, index)
                    && first.is_some_and(|first| first.number == waiter.number)
            }
            Some(waiter) => self.first_in_line(core, index) == Some(waiter.key()),
            // It is judged before it waits only if it is the first.
            None => true,
        };
        is_first
            && core.line_of(index).all(|state| {
                let word = state.shared.load();
                if ticket.is_hold() {
                    state.guards(word) == 0
                } else {
                    state.shared.active(word) <= state.holds.leaked_active()
                }
            })
    }

    /// Notes that a waiter is delayed: its patience begins, if it has not begun before. It wakes to learn when that ends.
    pub(super) fn delay(&self, core: &mut Locked<'_>, waiter: &Waiter) {
        let mut until = waiter.delayed_until.lock();
        if until.is_none() {
            *until = self.clock.now().checked_add(core.config.pressure_patience);
            drop(until);
            core.wake(waiter.waker.clone());
        }
    }

    /// Sets a waiter aside, in no line as yet, that the pressure alone delays.
    pub(super) fn set_aside_delayed(&self, core: &mut Locked<'_>, waiter: &Arc<Waiter>) {
        core.set_aside(Arc::clone(waiter), self.clock.now());
        self.note_delayed_aside(core, waiter);
    }

    /// Notes of a waiter that is set aside that the pressure alone keeps it there.
    pub(super) fn note_delayed_aside(&self, core: &mut Locked<'_>, waiter: &Waiter) {
        let group = waiter.ticket.group();
        // Before it is judged again, by whoever pumps next: a release after this looks.
        group.set_flag();
        let state = core.group_mut(group.index);
        state.delayed.insert(waiter.number);
        self.delay(core, waiter);
    }

    /// Takes the first that the pressure has set aside back into its line, if it delays it no more.
    pub(super) fn take_back_delayed(&self, core: &mut Locked<'_>, index: usize) {
        let Some(waiter) = core.first_delayed_aside(index).cloned() else {
            return;
        };
        if self.is_delayed(core, waiter.demand()) {
            return;
        }
        core.keep([&waiter]);
        core.take_waiter(&waiter);
        let key = next_key() | NEW;
        // Relaxed: under the manager's lock.
        waiter.key.store(key, Ordering::Relaxed);
        core.enqueue(Arc::clone(&waiter), self.clock.now());
        waiter.ticket.group().set_flag();
        core.returned.push(waiter);
    }

    /// Examines a waiter's line, since its patience is over.
    pub(super) fn end_patience(&self, waiter: &Waiter) {
        let mut core = self.lock();
        if waiter.outcome.lock().is_none() {
            self.examine_line(&mut core, waiter.ticket.group().index);
        }
    }

    /// Goes by another pressure from here on. The caller examines the queues, which opens the routes again.
    pub(super) fn press(&self, pressure: f64) {
        let mut core = self.lock();
        let (from, share) = (core.level(), core.share());
        core.pressure = pressure;
        let to = core.level();
        if from == to {
            return;
        }
        if core.share() < share {
            // As for new settings: what was added before is in the words, and what is added later finds a closed cover.
            core.close_routes();
            for state in core.live_groups() {
                state.shared.read();
            }
        }
        core.figures.publish(&core);
        self.emit(
            &mut core,
            EventKind::PressureChanged { from, to },
            None,
            |_| {},
        );
    }

    /// Why a demand waits that the pressure delays.
    pub(super) fn delayed_by(&self, core: &Core, demand: Demand<'_>) -> Option<WaitReason> {
        let aside = demand.waiter.filter(|waiter| core.is_aside(waiter));
        if aside.is_some_and(|waiter| !core.is_delayed_aside(waiter)) {
            return None;
        }
        let in_use = core.group(demand.ticket.group().index).shared.load().sum();
        let with = in_use.saturating_add(demand.ticket.bytes());
        let full = self.capacity(core, demand.ticket);
        if full.is_some_and(|capacity| with > capacity) || !self.is_delayed(core, demand) {
            return None;
        }
        let (in_use, counts) = self.share_in_the_way(core, demand)?;
        Some(WaitReason::Delayed {
            level: core.level(),
            in_use,
            counts,
        })
    }
}
