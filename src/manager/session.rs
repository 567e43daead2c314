//! Sessions: the one place that decides about the limit and calls the setter.

use super::config::{OnApplyFailure, WireMode};
use super::core::{Cover, Failure, Locked, Published};
use super::group::{Group, Reads};
use super::word::Word;
use super::{Inner, user_code};
use crate::Error;
use crate::event::EventKind;
use crate::ffi::BackendError;
use crate::policy::formula::Basis;
use crate::policy::{Context, Sizes};
use crate::sync::{Arc, Ordering};
use crate::ticket::Ticket;
use std::time::{Duration, Instant};

/// After how many cooldowns a shrink that was held back happens even if the limit grew meanwhile.
const COOLDOWNS_UNTIL_FORCED: u32 = 8;

/// `duration` after `at`; a duration beyond the clock's range counts as 30 years.
fn after(at: Instant, duration: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    at + duration.min(FOR_EVER)
}

/// What a session does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The limit stays.
    Keep,
    /// The epoch ends with nothing to set.
    Close,
    Raise {
        limit: u64,
        wanted: u64,
    },
    Lower {
        limit: u64,
        wanted: u64,
    },
    /// Set the baseline back.
    End {
        limit: u64,
    },
}

/// Which kinds of call this session may still make: a kind that failed is not tried again.
#[derive(Debug, Clone, Copy)]
struct May {
    raise: bool,
    lower: bool,
}

/// The words, read by read-modify-writes after the covers were closed.
type View = Vec<(usize, Word)>;

impl Inner {
    /// Decides and sets until nothing is to be done. The caller has found `busy` clear and set it.
    pub(crate) fn session(&self, core: &mut Locked<'_>) {
        debug_assert!(core.busy);
        let mut may = May {
            raise: true,
            lower: true,
        };
        core.tell_computed = true;
        loop {
            self.ask_policies(core);
            let view = self.close_and_read(core);
            let now = self.clock.now();
            match self.decide(core, &view, may, now) {
                Step::Keep => {
                    let limit = core.epoch_limit();
                    let published = self.publish(core, &view, limit);
                    if self.settled(core, published, may, now) {
                        core.standing = core.epoch_limit().map(|_| published);
                        break;
                    }
                }
                Step::Close => self.close_epoch(core),
                Step::Raise { limit, wanted } => {
                    let covered = core.epoch_limit();
                    self.publish(core, &view, covered);
                    may.raise &= self.set(core, limit, Some(wanted), true);
                }
                Step::Lower { limit, wanted } => {
                    core.owed.shrink_at = None;
                    core.owed.shrink_since = None;
                    self.publish(core, &view, Some(limit));
                    may.lower &= self.set(core, limit, Some(wanted), false);
                }
                Step::End { limit } => {
                    if self.set(core, limit, None, false) {
                        self.emit(core, EventKind::BaselineRestored, None, |event| {
                            event.applied = Some(limit)
                        });
                        self.close_epoch(core);
                    } else {
                        may.lower = false;
                    }
                }
            }
        }
        if core.owed.retry_at.is_some() && !self.is_wanting(core) {
            core.owed.succeeded();
        }
        core.busy = false;
        core.wake_sleepers();
        self.schedule(core);
        self.revisit(core);
    }

    /// Whether a call that failed is still called for.
    fn is_wanting(&self, core: &mut Locked<'_>) -> bool {
        let view: View = core
            .live_groups()
            .map(|state| (state.shared.index, state.shared.load()))
            .collect();
        let may = May {
            raise: true,
            lower: true,
        };
        let now = self.clock.now();
        self.decide(core, &view, may, now) != Step::Keep
    }

    /// Runs a session unless one runs: that one decides again after its call.
    pub(crate) fn settle(&self, core: &mut Locked<'_>) {
        if core.busy {
            return;
        }
        if user_code::is_inside(self.address()) {
            // Others wait for the policy that called: what is due is done after it.
            let group = core.live_groups().next().map(|state| state.shared.clone());
            core.revisit.extend(group);
            return;
        }
        core.busy = true;
        self.session(core);
    }

    /// Asks each custom policy whose group has changed for its limit, without the lock.
    fn ask_policies(&self, core: &mut Locked<'_>) {
        loop {
            self.open_epoch_if_driven(core);
            let baseline = core.epoch.baseline;
            if !core.epoch.open {
                return;
            }
            let changed = core.live_groups().find(|state| state.must_ask(baseline));
            // Keeps the group's place while the policy is asked: its last guard may go meanwhile.
            let Some(group) = changed.map(|state| state.shared.clone()) else {
                return;
            };
            self.ask_policy(core, &group, None);
        }
    }

    /// Asks a custom policy for its group's limit if the group has changed, without the lock. `ticket`: whose
    /// transition it is.
    pub(super) fn ask_policy(&self, core: &mut Locked<'_>, group: &Group, ticket: Option<&Ticket>) {
        let baseline = core.epoch.baseline;
        let state = core.group(group.index);
        if !state.must_ask(baseline) {
            return;
        }
        let version = state.version;
        let mut kept = None;
        let policy = state.speaker(ticket, &mut kept);
        let wants_sizes = state.wants_sizes;
        let word = state.shared.load();
        let count = word.driving() + state.reservations;
        let max = state.largest();
        let each = if wants_sizes {
            core.group_mut(group.index).each_size()
        } else {
            Vec::new()
        };
        let context = self.context(core, baseline);
        let answer = core.unlocked(|| {
            let live = Sizes {
                count,
                sum: word.sum(),
                max,
                each: &each,
            };
            user_code::call(self.address(), || policy.limit(&context, &live))
        });
        let limit = answer.unwrap_or_else(|message| {
            self.emit(core, EventKind::PolicyPanicked(message), None, |_| {});
            baseline.saturating_add(word.sum())
        });
        let state = core.group_mut(group.index);
        state.give_back(each);
        state.answered = Some((version, baseline, limit));
    }

    /// What a policy is told.
    pub(crate) fn context(&self, core: &super::core::Core, baseline: u64) -> Context {
        Context {
            baseline,
            ceiling: (core.ceiling != u64::MAX).then_some(core.ceiling),
            budget: core.budget,
            total_live: core.total_live(),
            memory_size: self.device.memory_size,
            mode: core.mode,
            pressure: core.pressure,
        }
    }

    /// Closes the covers, then reads each word by a read-modify-write. Whoever adds a demand after
    /// that read sees the closed cover; whoever added before it is in what was read.
    fn close_and_read(&self, core: &mut Locked<'_>) -> View {
        core.close_covers();
        core.guaranteed = None;
        core.standing = None;
        core.live_groups()
            .map(|state| (state.shared.index, state.shared.read()))
            .collect()
    }

    fn open_epoch_if_driven(&self, core: &mut Locked<'_>) {
        if core
            .live_groups()
            .any(|state| state.shared.load().driving() > 0)
        {
            self.open_epoch(core);
        }
    }

    /// Begins an epoch unless one is open.
    pub(crate) fn open_epoch(&self, core: &mut Locked<'_>) {
        if core.epoch.open {
            return;
        }
        let baseline = core.baseline();
        core.epoch.number += 1;
        core.epoch.open = true;
        core.epoch.baseline = baseline;
        core.epoch.captured = core.config.baseline_override.is_some();
        core.epoch.ready = false;
        // A statistic for guards; a driving guard's epoch cannot end before it.
        self.epoch.store(core.epoch.number, Ordering::Relaxed);
        self.emit(core, EventKind::BaselineCaptured, None, |event| {
            event.applied = Some(baseline)
        });
    }

    fn close_epoch(&self, core: &mut Locked<'_>) {
        core.epoch.open = false;
        core.epoch.ready = false;
        core.guaranteed = None;
        core.owed.shrink_at = None;
        core.owed.shrink_since = None;
        core.owed.begin_linger_anew();
        core.owed.succeeded();
    }

    fn decide(&self, core: &mut Locked<'_>, view: &View, may: May, now: Instant) -> Step {
        if !view.iter().any(|(_, word)| word.driving() > 0) {
            return self.decide_end(core, view, may, now);
        }
        self.open_epoch(core);
        core.owed.begin_linger_anew();
        let wanted = Self::called_for(core, view);
        if std::mem::take(&mut core.tell_computed) {
            self.emit(core, EventKind::LimitComputed, None, |event| {
                event.desired = Some(wanted)
            });
        }
        let limit = wanted.min(core.bound());
        // Nothing is known before the first set; an override may differ from what MLX has.
        let unknown = !core.known && core.config.baseline_override.is_some_and(|bytes| bytes > 0);
        if limit > core.applied || unknown {
            return if may.raise {
                Step::Raise { limit, wanted }
            } else {
                Step::Keep
            };
        }
        core.epoch.ready = true;
        if core.applied - limit < core.shrink_step() || !may.lower {
            core.owed.shrink_at = None;
            self.forget_stale_shrink(core, now);
            return Step::Keep;
        }
        self.decide_shrink(core, limit, wanted, now)
    }

    /// The limit that everything counted calls for, driving or not.
    fn called_for(core: &Locked<'_>, view: &View) -> u64 {
        let baseline = core.epoch.baseline;
        view.iter()
            .map(|(index, word)| (core.group(*index), *word))
            .filter(|(state, word)| state.is_live(*word))
            .map(|(state, word)| state.limit(word, baseline))
            .max()
            .unwrap_or(baseline)
    }

    /// A shrink is large enough: now, or when the cooldown is over?
    fn decide_shrink(&self, core: &mut Locked<'_>, limit: u64, wanted: u64, now: Instant) -> Step {
        let cooldown = core.config.shrink_cooldown;
        let cool_at = core
            .last_change
            .map_or(now, |change| after(change, cooldown));
        let since = *core.owed.shrink_since.get_or_insert(now);
        let forced_at = after(since, cooldown.saturating_mul(COOLDOWNS_UNTIL_FORCED));
        let at = cool_at.min(forced_at);
        if now < at {
            core.owed.shrink_at = Some(at);
            return Step::Keep;
        }
        Step::Lower { limit, wanted }
    }

    /// A shrink that was held back, and is not wanted when it would be forced, is no longer owed.
    fn forget_stale_shrink(&self, core: &mut Locked<'_>, now: Instant) {
        let patience = core
            .config
            .shrink_cooldown
            .saturating_mul(COOLDOWNS_UNTIL_FORCED);
        let since = core.owed.shrink_since;
        core.owed.shrink_since = since.filter(|since| now < after(*since, patience));
    }

    /// No driving guard lives.
    fn decide_end(&self, core: &mut Locked<'_>, view: &View, may: May, now: Instant) -> Step {
        core.owed.shrink_at = None;
        if !core.epoch.open {
            return Step::Keep;
        }
        if Self::called_for(core, view).min(core.bound()) > core.applied {
            // A reservation that nobody drives raises nothing, but the next driving guard must.
            core.epoch.ready = false;
        }
        // MLX refuses more than its own maximum, even if somebody has told us a higher baseline.
        let limit = core.epoch.baseline.min(core.maximum);
        if core.applied == limit || !core.known {
            return Step::Close;
        }
        let lingers = !core.closed && !core.abandoned && !core.owed.lingered;
        if lingers && core.config.linger > Duration::ZERO {
            let linger = core.config.linger;
            let at = *core.owed.end_at.get_or_insert(after(now, linger));
            if now < at {
                return Step::Keep;
            }
        }
        core.owed.end_at = None;
        // A restore that fails is tried again without lingering again.
        core.owed.lingered = true;
        if may.lower {
            Step::End { limit }
        } else {
            Step::Keep
        }
    }

    /// Publishes what the fast path may decide by itself while the limit is at least `limit`.
    fn publish(&self, core: &mut Locked<'_>, view: &View, limit: Option<u64>) -> Published {
        core.guaranteed = limit;
        if core.routes_closed(self) {
            core.close_routes();
            return Published::default();
        }
        let baseline = core.epoch.baseline;
        let admission_baseline = core.admission_baseline();
        let covers_all = limit.is_some_and(|limit| limit >= core.bound());
        let shrink_to = core.applied.checked_sub(core.shrink_step());
        let published = Published {
            anchor: view
                .iter()
                .find(|(_, word)| word.driving() > 0)
                .map(|(index, _)| *index),
            holder: self.shrink_holder(core, view, shrink_to),
            shrink_to,
        };
        let asks = if core.is_wired() { Reads::ASKS } else { 0 };
        for state in core.live_groups() {
            let reads = &state.shared.reads;
            let index = Some(state.shared.index);
            if state.custom() || state.mixed {
                reads.admit.store(0, Ordering::Release);
                reads.cover.store(0, Ordering::Release);
                reads.flags.store(Reads::ALWAYS | asks, Ordering::Release);
                continue;
            }
            let formula = state.resolved;
            let cover = match limit {
                None => 0,
                Some(_) if covers_all => u64::MAX,
                Some(limit) => formula.covered(baseline, limit),
            };
            let floor = match (shrink_to, formula.basis()) {
                (Some(to), _) if published.holder == index => formula.covered(baseline, to),
                (_, Basis::Sum) => 0,
                (_, Basis::Largest) => u64::MAX,
            };
            let admit = match (core.mode, core.config.budget) {
                (WireMode::Off, _) => u64::MAX,
                // The budget is of all groups together: only the lock knows.
                (_, Some(_)) => 0,
                (_, None) => formula.admitted(admission_baseline),
            };
            // Whoever read an `admit` before it was lowered, and is let in by it, must not pass here.
            let cover = cover.min(admit);
            let always = if core.config.budget.is_some() {
                Reads::ALWAYS
            } else {
                0
            };
            // The holder's last release looks too: with it goes all that the group calls for.
            let watches = published.anchor.is_none()
                || published.anchor == index
                || published.holder == index;
            let elsewhere = if watches {
                0
            } else {
                Reads::ANCHORED_ELSEWHERE
            };
            reads.admit.store(admit, Ordering::Release);
            reads.floor.store(floor, Ordering::Release);
            reads
                .flags
                .store(elsewhere | asks | always, Ordering::Release);
            reads.cover.store(cover, Ordering::Release);
        }
        published
    }

    /// The one group whose releases look for a shrink: the one that calls for the most. While it calls for
    /// more than `shrink_to`, no release elsewhere can make a shrink due.
    fn shrink_holder(
        &self,
        core: &Locked<'_>,
        view: &View,
        shrink_to: Option<u64>,
    ) -> Option<usize> {
        let to = shrink_to?;
        if !core.epoch.open || core.owed.shrink_at.is_some() {
            return None;
        }
        view.iter()
            .map(|(index, word)| (core.group(*index), *word))
            .filter(|(state, word)| state.is_live(*word))
            .map(|(state, word)| (state.limit(word, core.epoch.baseline), state.shared.index))
            .max()
            .filter(|(limit, _)| *limit > to)
            .map(|(_, index)| index)
    }

    /// Whether what was published still stands now that everybody who left before seeing it is read.
    fn settled(&self, core: &mut Locked<'_>, published: Published, may: May, now: Instant) -> bool {
        let view: View = core
            .live_groups()
            .map(|state| (state.shared.index, state.shared.read()))
            .collect();
        let word = |index: usize| {
            view.iter()
                .find(|(other, _)| *other == index)
                .map_or(Word::default(), |(_, word)| *word)
        };
        let anchored = published
            .anchor
            .is_none_or(|index| word(index).driving() > 0);
        let to = core.applied.checked_sub(core.shrink_step());
        let held = published.holder.is_none_or(|index| {
            let (state, word) = (core.group(index), word(index));
            state.is_live(word) && to.is_some_and(|to| state.limit(word, core.epoch.baseline) > to)
        });
        // A raise is the concern of whoever needs it, who finds the cover too small and comes here.
        let step = self.decide(core, &view, may, now);
        anchored && held && matches!(step, Step::Keep | Step::Raise { .. })
    }

    /// Calls the setter without the lock. Returns whether it succeeded.
    fn set(&self, core: &mut Locked<'_>, limit: u64, wanted: Option<u64>, raise: bool) -> bool {
        for uncovered in core.uncovered.values_mut() {
            if matches!(uncovered.cover, Cover::Needed) {
                uncovered.cover = Cover::Called;
            }
        }
        let baseline = core.epoch.baseline;
        let wired = core.is_wired();
        let expected = core.applied;
        let answer = if wired {
            core.stats.setter_calls += 1;
            core.unlocked(|| {
                user_code::call(self.address(), || self.backend.set_wired_limit(limit))
                    .unwrap_or_else(|message| {
                        Err(BackendError::new(format!("set_wired_limit({limit})"))
                            .with_message(format!("panicked: {message}")))
                    })
            })
        } else {
            Ok(expected)
        };
        match answer {
            Ok(previous) => {
                self.succeeded(core, limit, previous);
                let clamped = wanted.filter(|wanted| *wanted > limit);
                self.emit(core, EventKind::LimitApplied, None, |event| {
                    event.desired = wanted.or(Some(limit));
                    event.applied = Some(limit);
                });
                if let Some(wanted) = clamped {
                    core.stats.clamped += 1;
                    let kind = EventKind::LimitClamped { ceiling: limit };
                    self.emit(core, kind, None, |event| event.desired = Some(wanted));
                }
                // Unless it was computed from another baseline, whoever the call was to cover need not wait for what
                // this session does next.
                if core.epoch.baseline == baseline {
                    core.called_are(Cover::Done);
                }
                core.wake_sleepers();
                true
            }
            Err(error) => {
                core.stats.setter_failures += 1;
                let kind = EventKind::LimitApplyFailed(error.to_string());
                let in_force = core.in_force();
                self.emit(core, kind, None, |event| {
                    event.desired = wanted.or(Some(limit));
                    event.applied = Some(in_force);
                });
                let now = self.clock.now();
                if raise {
                    self.fail_uncovered(core, limit, &error);
                } else {
                    core.called_are(Cover::Needed);
                }
                core.owed.failed(now);
                let number = core.stats.setter_failures;
                *self.last_failure.lock() = Some((
                    number,
                    Error::SetLimit {
                        limit,
                        source: error,
                    },
                ));
                false
            }
        }
    }

    fn succeeded(&self, core: &mut Locked<'_>, limit: u64, previous: u64) {
        if core.known && previous != core.applied {
            core.stats.foreign_changes += 1;
            let kind = EventKind::ForeignLimit {
                expected: core.applied,
                found: previous,
            };
            self.emit(core, kind, None, |_| {});
        }
        if !core.epoch.captured && core.is_wired() {
            core.epoch.captured = true;
            if core.epoch.baseline != previous {
                core.epoch.baseline = previous;
                self.emit(core, EventKind::BaselineCaptured, None, |event| {
                    event.applied = Some(previous)
                });
            }
        }
        core.applied = limit;
        core.known = true;
        core.last_change = Some(self.clock.now());
        core.owed.succeeded();
    }

    /// A raise failed: everybody it was to cover fails together, or proceeds unwired.
    fn fail_uncovered(&self, core: &mut Locked<'_>, limit: u64, error: &BackendError) {
        let proceed = core.config.on_apply_failure == OnApplyFailure::Proceed;
        let failed = core.called_are(Cover::Failed(Failure {
            limit,
            error: error.clone(),
            proceed,
        }));
        let mut groups = Vec::new();
        if !proceed {
            for (ticket, from) in failed {
                self.take_back(core, &ticket, from.as_ref());
                groups.push(ticket.group().clone());
            }
        }
        groups.dedup_by(|a, b| Arc::ptr_eq(a, b));
        for group in groups {
            self.pump(core, group.index);
        }
        core.wake_sleepers();
    }
}
