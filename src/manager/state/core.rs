//! The state under the manager's lock.

use crate::arbiter::Basis;
use crate::config::Config;
use crate::event::Journal;
use crate::holders::thread_name;
use crate::manager::state::delay::DelayedSince;
use crate::manager::state::demand::Demand;
use crate::manager::state::figures::{Bounds, Figures};
use crate::manager::state::group::Group;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::groups::Groups;
use crate::manager::state::pending_work::PendingWork;
use crate::manager::state::settings::Measurement;
use crate::manager::state::stall::Stall;
use crate::manager::state::uncovered::CallState;
use crate::manager::state::uncovered::Uncovered;
use crate::manager::state::wait_times::WaitRecord;
use crate::manager::state::waiter::Waiter;
use crate::manager::state::word::Word;
use crate::mode::WireMode;
use crate::snapshot::Stats;
use crate::sync::{Arc, Ordering, ThreadId, thread_id};
use crate::time::Waker;
use crate::trace::Kept;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Everything that one lock protects. No user code runs, and nothing sleeps, while it is held.
pub(crate) struct Core {
    pub(crate) config: Config,
    /// Counts the changes of the settings, and of the device's budget.
    pub(crate) settings_version: u64,
    /// The configured mode, with the environment's say.
    pub(crate) mode: WireMode,
    /// The device has wired memory.
    pub(crate) supported: bool,
    /// The highest limit that is ever set for a demand; `u64::MAX` where there is no wired memory.
    pub(crate) ceiling: u64,
    /// The highest limit that MLX accepts.
    pub(crate) maximum: u64,
    /// What a policy capped by the device may hold.
    pub(crate) device_budget: Option<u64>,
    /// What is told of the state without the lock.
    pub(crate) figures: Arc<Figures>,
    /// What the device can hold, before margin and reserve, as it was measured last.
    pub(crate) measured: Measurement,
    /// How many measurements have begun.
    pub(crate) measurements: u64,
    pub(crate) groups: Groups,
    /// A session runs. A thread that needs one sleeps, or leaves it to the running one, which decides
    /// again after each call.
    pub(crate) busy: bool,
    /// The last session has left a raise to a thread that waits for it, which runs the next one unless another does.
    pub(crate) left_over: bool,
    /// The limit that MLX was last successfully set to.
    pub(crate) applied: u64,
    /// Live guards that were grown.
    pub(crate) grown: u64,
    /// Some set has succeeded, so `applied` is MLX's and not an assumption.
    pub(crate) known: bool,
    /// What the limit is certain not to fall below while the lock is free; `None` while the epoch ends or is not ready
    /// yet, and after a raise was left over.
    pub(crate) guaranteed: Option<u64>,
    /// What the last session published, while nothing has closed it: which releases look.
    pub(crate) standing: Option<Published>,
    pub(crate) epoch: Epoch,
    pub(crate) pending_work: PendingWork,
    pub(crate) last_change: Option<Instant>,
    /// Admitted demands that the limit does not cover yet.
    pub(crate) uncovered: BTreeMap<u64, Uncovered>,
    /// How many waiters all queues have.
    pub(crate) queued: u64,
    /// How many waiters are set aside in all groups.
    pub(crate) set_aside_count: u64,
    /// How many waiters, in the queue or set aside, hold something or grow it.
    pub(crate) waiting_with_guards: u64,
    /// Since when no waiter of any group was admitted.
    pub(crate) stall: Option<Stall>,
    /// Since when the pressure delays waiters of the scope of all groups, where there is one.
    pub(crate) delayed_since: DelayedSince,
    /// The live bytes of all groups were above the ceiling when they were last looked at.
    pub(crate) above_ceiling: bool,
    /// Threads that sleep until the running session has called the setter or ends.
    pub(crate) sleepers: usize,
    pub(crate) closed: bool,
    /// The last handle is gone: no linger.
    pub(crate) abandoned: bool,
    /// Users' values that were replaced: their destructors may call back, so they run without the lock.
    pub(crate) replaced: Vec<Replaced>,
    pub(crate) pressure: f64,
    pub(crate) housekeeper: Option<Waker>,
    /// The last attempt to start the housekeeping thread failed.
    pub(crate) housekeeping_failed: bool,
    /// Keeps a manager without owners until its restore has succeeded: the next manager would take the limit in force for
    /// its own baseline.
    pub(crate) kept: Option<Arc<dyn Any + Send + Sync>>,
    /// Groups whose queue and limit a thread has left to itself to examine, and which thread.
    pub(crate) deferred: Vec<(ThreadId, Arc<Group>)>,
    /// Waiters that have come back into the queue, to be looked at for deadlocks.
    pub(crate) returned: Vec<Arc<Waiter>>,
    /// Waiters may have come into a deadlock.
    pub(crate) may_deadlock: bool,
    /// The waits in deadlocks with a deadline in them that were told of.
    pub(crate) reported_deadlocks: BTreeSet<u64>,
    pub(crate) stats: Stats,
    pub(crate) wait_times: WaitRecord,
    /// Told to `tracing` when the lock is free.
    pub(crate) traced: Kept,
    /// What subscribers have yet to be handed.
    pub(crate) journal: Journal,
    /// See [`EventKind::SynchronizationSkipped`](crate::EventKind::SynchronizationSkipped).
    pub(crate) reported_skipping: bool,
    /// The limit was computed by this transition; an event is due.
    pub(crate) limit_event_due: bool,
    /// Counts how often the lock was taken, for
    /// [`Locked::was_disturbed`](crate::manager::inner::locked::Locked::was_disturbed).
    pub(crate) times_locked: u64,
}

/// From the first driving guard until the baseline is back.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) open: bool,
    pub(crate) baseline: u64,
    /// The baseline is MLX's answer, or the configured override.
    pub(crate) captured: bool,
    /// Everything counted has been covered once: only then may covers be published.
    pub(crate) ready: bool,
}

/// Which groups' releases a session has told to look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Published {
    /// Its last driving guard may end the epoch.
    pub(crate) anchor: Option<usize>,
    /// Its releases may make a shrink due.
    pub(crate) leader: Option<usize>,
    /// What the leader must call for more than; else a shrink is due.
    pub(crate) shrink_to: Option<u64>,
}

impl Core {
    pub(crate) fn group(&self, index: usize) -> &GroupState {
        self.groups.get(index)
    }

    pub(crate) fn group_mut(&mut self, index: usize) -> &mut GroupState {
        self.groups.get_mut(index)
    }

    /// Forgets the groups that no ticket uses any more.
    pub(crate) fn forget_groups(&mut self) {
        let forgotten = self.groups.forget_unused();
        self.figures
            .forget(forgotten.iter().map(|unused| &unused.key));
        let is_gone = |index| forgotten.iter().any(|it| Some(it.shared.index) == index);
        // Other groups may soon have their indices.
        self.standing = self
            .standing
            .filter(|it| !is_gone(it.leader) && !is_gone(it.anchor));
        let policies = forgotten.into_iter().map(|unused| unused.policy);
        self.replaced.extend(policies);
    }

    pub(crate) fn make_group(&mut self, state: GroupState) -> usize {
        let index = self.groups.add(state);
        let state = self.groups.get(index);
        self.figures.add(&state.key, &state.shared);
        index
    }

    /// Publishes what bounds the groups, for those that look without the lock.
    pub(crate) fn publish_figures(&self) {
        self.figures.publish(Bounds {
            baseline: self.admission_baseline(),
            device: self.device_budget,
            budget: self.config.budget,
            share: self.share(),
            admits_all: self.mode == WireMode::Uncoordinated,
        });
    }

    /// Looks up the device's cap again, after the settings have changed.
    pub(crate) fn resolve_formulas(&mut self) {
        let budget = self.device_budget;
        self.publish_figures();
        for state in self.groups.all_mut() {
            state.resolved = state.formula.resolve(budget);
            state.version += 1;
        }
    }

    /// Notes a wait that ended with a guard.
    pub(crate) fn note_wait(&mut self, waited: Duration) {
        self.stats.note_wait(waited);
        self.wait_times.record(waited);
    }

    /// The listed groups: all that have guards or waiters, and some that have neither.
    pub(crate) fn listed_groups(&self) -> impl Iterator<Item = &GroupState> {
        self.groups.listed()
    }

    /// The baseline that admission counts with: never MLX's own.
    pub(crate) fn admission_baseline(&self) -> u64 {
        self.config.baseline_override.unwrap_or(0)
    }

    /// The baseline that the limit counts with.
    pub(crate) fn baseline(&self) -> u64 {
        if self.epoch.open {
            self.epoch.baseline
        } else {
            self.config.baseline_override.unwrap_or(self.in_force())
        }
    }

    pub(crate) fn total_live(&self) -> u64 {
        self.listed_groups().fold(0, |sum, group| {
            sum.saturating_add(group.shared.load().sum())
        })
    }

    /// Live guards of every kind.
    pub(crate) fn live(&self) -> u64 {
        self.listed_groups()
            .map(|group| group.shared.load().driving() + group.reservations)
            .sum()
    }

    /// Whether the setter is called at all.
    pub(crate) fn is_wired(&self) -> bool {
        self.supported && self.mode == WireMode::Auto
    }

    /// The limit for what is called for: at most the ceiling; a baseline above that stays as it is.
    pub(crate) fn limit_for(&self, wanted: u64) -> u64 {
        let bound = self.bound();
        if self.is_wired() && bound > self.ceiling {
            bound
        } else {
            wanted.min(bound)
        }
    }

    /// What the limit is clamped to: the ceiling, or a baseline above it, which no acquire may lower.
    pub(crate) fn bound(&self) -> u64 {
        if !self.is_wired() {
            return u64::MAX;
        }
        let baseline = if self.epoch.open {
            self.epoch.baseline
        } else {
            0
        };
        self.ceiling.max(baseline.min(self.maximum))
    }

    /// The limit that counts as in force: before the first set, what the configuration says it is.
    pub(crate) fn in_force(&self) -> u64 {
        if self.known {
            self.applied
        } else {
            self.config.baseline_override.unwrap_or(0)
        }
    }

    /// What the open epoch has covered: the applied limit, once everything counted was covered.
    pub(crate) fn epoch_limit(&self) -> Option<u64> {
        (self.epoch.open && self.epoch.ready).then_some(self.applied)
    }

    /// Whether a thread does pending work when it is due.
    pub(crate) fn has_housekeeping(&self) -> bool {
        self.config.housekeeping && !self.housekeeping_failed
    }

    /// Enters an admitted demand that the limit does not cover yet in the list of those that a call is to cover.
    pub(crate) fn await_cover(&mut self, key: u64, demand: Demand<'_>) {
        let (thread, thread_name) = match demand.waiter {
            Some(waiter) => (waiter.thread, waiter.thread_name.clone()),
            None => (thread_id(), thread_name()),
        };
        let uncovered = Uncovered {
            request: demand.request.clone(),
            from: demand.from.cloned(),
            pin: demand.pin,
            thread,
            thread_name,
            call: CallState::Needed,
        };
        self.uncovered.insert(key, uncovered);
    }

    /// Tells the demands that the present call was to cover what became of it. Returns them.
    pub(crate) fn resolve_called(&mut self, call: CallState) -> Vec<Uncovered> {
        let called = self.uncovered.values_mut();
        called
            .filter(|uncovered| matches!(uncovered.call, CallState::Called))
            .map(|uncovered| {
                uncovered.call = call.clone();
                uncovered.clone()
            })
            .collect()
    }

    /// Whether `limit`, if there is one, covers what a group calls for when its word is `word`, with a guard of `size`.
    pub(crate) fn covers(
        &self,
        limit: Option<u64>,
        state: &GroupState,
        word: Word,
        size: u64,
    ) -> bool {
        let Some(limit) = limit else {
            return false;
        };
        if state.must_ask(self.epoch.baseline) {
            return false;
        }
        if limit >= self.bound() {
            return true;
        }
        if state.custom() {
            return state.limit(word, self.epoch.baseline) <= limit;
        }
        let basis = match state.resolved.basis() {
            Basis::Sum => word.sum(),
            Basis::Largest => size,
        };
        basis < state.resolved.covered(self.epoch.baseline, limit)
    }

    /// What the limit is rounded to while a guard that was grown lives (R28); 1 for exactly.
    fn growth_step(&self) -> u64 {
        if self.grown > 0 {
            self.step_of_grown()
        } else {
            1
        }
    }

    /// What the limit is rounded to if a guard that was grown lives.
    pub(crate) fn step_of_grown(&self) -> u64 {
        let default = if self.is_wired() {
            self.ceiling / 64
        } else {
            0
        };
        let step = self.config.growth_step.unwrap_or(default);
        step.max(1)
    }

    /// What is called for, with a step to grow into.
    pub(crate) fn rounded(&self, wanted: u64) -> u64 {
        let step = self.growth_step();
        let up = wanted.div_ceil(step).saturating_mul(step);
        up.min(self.ceiling).max(wanted)
    }

    /// The most that may be called for if a shrink is to be due.
    pub(crate) fn shrink_to(&self) -> Option<u64> {
        let to = self.applied.checked_sub(self.shrink_step())?;
        // What is called for counts as rounded up.
        let step = self.growth_step();
        Some(if to < self.ceiling {
            to / step * step
        } else {
            to
        })
    }

    /// How far below the applied limit the need must be before the limit is lowered.
    pub(crate) fn shrink_step(&self) -> u64 {
        let by_ratio = (self.applied as f64 * self.config.shrink_threshold_ratio).ceil() as u64;
        by_ratio
            .min(self.config.shrink_threshold_bytes.unwrap_or(u64::MAX))
            .max(1)
    }

    pub(crate) fn close_covers(&self) {
        for group in self.listed_groups() {
            // Relaxed: the read-modify-write of the word that follows publishes it to every later acquirer.
            group.shared.gates.cover.store(0, Ordering::Relaxed);
        }
    }

    /// Makes every acquire and release look under the lock.
    pub(crate) fn close_gates(&mut self) {
        self.standing = None;
        for group in self.listed_groups() {
            group.shared.gates.close();
        }
    }
}

/// See [`Core::replaced`].
pub(crate) type Replaced = Arc<dyn crate::arbiter::Arbiter>;

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("busy", &self.busy)
            .field("applied", &self.applied)
            .field("epoch", &self.epoch)
            .field("pending_work", &self.pending_work)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}
