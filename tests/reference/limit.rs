//! R2 to R11 in the model: which limit is called for, and which calls of the setter follow.

use crate::model::Model;
use crate::policies::Rule;
use crate::words::{Mode, Refusal, Told, Uncovered};
use std::time::Duration;

/// MLX, and what was done to it.
#[derive(Debug, Clone)]
pub(crate) struct Setter {
    /// The limit in force, whoever set it.
    pub(crate) limit: u64,
    /// Each call: the limit asked for, and whether it succeeded.
    pub(crate) calls: Vec<(u64, bool)>,
    pub(crate) failing: bool,
    pub(crate) fail_next: usize,
    /// The numbers, from 1, of calls that fail.
    pub(crate) fail_calls: Vec<usize>,
}

impl Setter {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            calls: Vec::new(),
            failing: false,
            fail_next: 0,
            fail_calls: Vec::new(),
        }
    }

    /// The previous limit, or nothing if the call fails.
    fn call(&mut self, limit: u64) -> Option<u64> {
        let number = self.calls.len() + 1;
        let fails = self.fail_next > 0 || self.failing || self.fail_calls.contains(&number);
        self.fail_next = self.fail_next.saturating_sub(1);
        self.calls.push((limit, !fails));
        if fails {
            return None;
        }
        Some(std::mem::replace(&mut self.limit, limit))
    }

    pub(crate) fn failures(&self) -> usize {
        self.calls.iter().filter(|(_, applied)| !applied).count()
    }
}

/// From the first driving guard until the baseline is back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) baseline: u64,
    /// It is MLX's own answer, or the configured override.
    captured: bool,
    /// Everything counted was covered once.
    ready: bool,
    /// When the last driving guard went, once somebody has looked.
    undriven_since: Option<Duration>,
    /// It does not linger, or has.
    ends_now: bool,
}

/// The shrink that the cooldown holds back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeldBack {
    since: Option<Duration>,
    /// Until when.
    until: Option<Duration>,
}

/// R7: at the latest so many cooldowns after it was first held back, a shrink happens.
const COOLDOWNS: u32 = 8;

/// What the rules demand next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Raise {
        limit: u64,
        clamped: bool,
    },
    Lower {
        limit: u64,
        clamped: bool,
    },
    Restore(u64),
    /// The epoch ends, and nothing needs setting back.
    Forget,
}

impl Model {
    fn is_wired(&self) -> bool {
        self.settings.mode == Mode::Wired
    }

    /// Whether each limit that counts as applied was set by a call.
    pub(crate) fn calls_the_setter_only(&self) -> bool {
        !self.was_unwired && self.is_wired()
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.live.values().any(|live| live.kind.is_driving())
    }

    /// The limit that counts as in force.
    pub(crate) fn in_force(&self) -> u64 {
        let assumed = self.settings.baseline_override.unwrap_or(0);
        self.applied.unwrap_or(assumed)
    }

    pub(crate) fn baseline(&self) -> u64 {
        match &self.epoch {
            Some(epoch) => epoch.baseline,
            None => self
                .settings
                .baseline_override
                .unwrap_or_else(|| self.in_force()),
        }
    }

    /// R10: the ceiling bounds demands, and does not lower below a baseline above it.
    fn bound(&self) -> u64 {
        if !self.is_wired() {
            return u64::MAX;
        }
        let baseline = self.epoch.map_or(0, |epoch| epoch.baseline);
        self.settings
            .ceiling()
            .max(baseline.min(self.settings.maximum()))
    }

    /// R10: what is set for what is called for.
    fn limit_for(&self, desired: u64) -> u64 {
        let bound = self.bound();
        if self.is_wired() && bound > self.settings.ceiling() {
            return bound;
        }
        desired.min(bound)
    }

    /// What a group of these sizes calls for.
    pub(crate) fn called_for_by(&self, group: &str, sizes: &[u64]) -> u64 {
        let rule = self.speakers[group];
        let (device, extra) = (self.settings.device(), self.world.extra);
        rule.limit(self.baseline(), device, extra, sizes)
    }

    /// R2, while somebody drives.
    fn desired(&self) -> u64 {
        let groups = self.live.values().map(|live| live.group);
        groups
            .map(|group| self.called_for_by(group, &self.sizes(group)))
            .max()
            .unwrap_or_else(|| self.baseline())
    }

    /// What the live guards call for, driving or not, as a snapshot tells it.
    pub(crate) fn called_for(&self) -> u64 {
        if self.is_driven() {
            self.desired()
        } else {
            self.baseline()
        }
    }

    /// In how long the shrink, and the restore, that wait for their time will be due.
    pub(crate) fn owed(&self) -> (Option<Duration>, Option<Duration>) {
        let shrink = self.held_back.until.map(|at| at.saturating_sub(self.now));
        let lingers = |epoch: Epoch| epoch.undriven_since.filter(|_| !epoch.ends_now);
        let restore = self.epoch.and_then(lingers);
        let restore = restore.map(|since| (since + self.settings.linger).saturating_sub(self.now));
        (shrink, restore)
    }

    fn next_step(&mut self) -> Step {
        if !self.is_driven() {
            return self.next_step_undriven();
        }
        if self.epoch.is_none() {
            self.epochs += 1;
            self.epoch = Some(Epoch {
                number: self.epochs,
                baseline: self.baseline(),
                captured: self.settings.baseline_override.is_some(),
                ready: false,
                undriven_since: None,
                ends_now: false,
            });
        }
        let epoch = self.epoch.as_mut().expect("just begun");
        epoch.undriven_since = None;
        epoch.ends_now = false;
        let desired = self.desired();
        let limit = self.limit_for(desired);
        let clamped = desired > limit;
        let applied = self.applied.unwrap_or(0);
        // Nobody knows whether MLX has the override.
        let unknown = self.applied.is_none() && self.settings.baseline_override > Some(0);
        if limit > applied || unknown {
            // More is called for than there is: no shrink is owed, whether or not the raise succeeds.
            self.held_back.until = None;
            return Step::Raise { limit, clamped };
        }
        self.epoch.as_mut().expect("begun").ready = true;
        let step = self.next_shrink(desired, limit, applied);
        if step == Step::Nothing && applied > self.bound() {
            // R33: a lower ceiling is applied at once.
            self.held_back = HeldBack::default();
            let limit = self.bound();
            let clamped = desired > limit;
            return Step::Lower { limit, clamped };
        }
        step
    }

    /// R7.
    fn next_shrink(&mut self, desired: u64, limit: u64, applied: u64) -> Step {
        let cooldown = self.settings.cooldown;
        self.held_back.until = None;
        if applied - limit < self.smallest_drop(applied) {
            let since = self.held_back.since;
            self.held_back.since = since.filter(|since| self.now < *since + COOLDOWNS * cooldown);
            return Step::Nothing;
        }
        let since = *self.held_back.since.get_or_insert(self.now);
        let cool = self.last_change.map_or(self.now, |at| at + cooldown);
        let until = cool.min(since + COOLDOWNS * cooldown);
        if self.now < until {
            self.held_back.until = Some(until);
            return Step::Nothing;
        }
        self.held_back.since = None;
        let clamped = desired > limit;
        Step::Lower { limit, clamped }
    }

    /// R7: either threshold suffices.
    fn smallest_drop(&self, applied: u64) -> u64 {
        let by_ratio = (applied * self.settings.ratio).div_ceil(100);
        let by_bytes = self.settings.threshold.unwrap_or(u64::MAX);
        by_ratio.min(by_bytes).max(1)
    }

    fn next_step_undriven(&mut self) -> Step {
        self.held_back.until = None;
        let Some(mut epoch) = self.epoch else {
            return Step::Nothing;
        };
        // A reservation raises nothing by itself.
        epoch.ready &= self.limit_for(self.desired()) <= self.applied.unwrap_or(0);
        self.epoch = Some(epoch);
        let limit = epoch.baseline.min(self.settings.maximum());
        if self.applied.is_none_or(|applied| applied == limit) {
            return Step::Forget;
        }
        let since = *epoch.undriven_since.get_or_insert(self.now);
        let lingers = !self.closed && !epoch.ends_now && self.applied <= Some(self.bound());
        let over = self.now >= since + self.settings.linger;
        // A restore that fails does not linger again.
        epoch.ends_now |= over || !lingers;
        self.epoch = Some(epoch);
        if !epoch.ends_now {
            return Step::Nothing;
        }
        Step::Restore(limit)
    }

    /// A lingering epoch ends at once.
    pub(crate) fn end_linger(&mut self) {
        if let Some(epoch) = &mut self.epoch {
            epoch.ends_now = true;
        }
        self.settle_all();
    }

    fn end_epoch(&mut self) {
        self.epoch = None;
        self.held_back = HeldBack::default();
    }

    /// Calls the setter. Whether it succeeded.
    fn set(&mut self, limit: u64, clamped: bool) -> bool {
        if self.is_wired() {
            let Some(previous) = self.setter.call(limit) else {
                return false;
            };
            // R6.
            if self.applied.is_some_and(|applied| applied != previous) {
                self.counts.foreign_changes += 1;
            }
            if let Some(epoch) = &mut self.epoch
                && !epoch.captured
            {
                epoch.captured = true;
                epoch.baseline = previous;
            }
        }
        self.counts.clamped += u64::from(clamped);
        self.applied = Some(limit);
        self.last_change = Some(self.now);
        true
    }

    /// What follows from a transition, and from those whom it lets go on.
    pub(crate) fn settle_all(&mut self) {
        self.settle();
        while !self.uncovered.is_empty() {
            // Admitted after a failed call: theirs is the next transition.
            self.settle();
        }
    }

    /// One transition: until nothing is left to do. A kind of call that failed is not tried again (R11).
    fn settle(&mut self) {
        let (mut may_raise, mut may_lower) = (true, true);
        loop {
            match self.next_step() {
                Step::Raise { limit, clamped } if may_raise => {
                    if !self.set(limit, clamped) {
                        may_raise = false;
                        self.fail_uncovered(limit);
                    }
                }
                Step::Lower { limit, clamped } if may_lower => may_lower = self.set(limit, clamped),
                Step::Restore(limit) if may_lower => {
                    may_lower = self.set(limit, false);
                    if may_lower {
                        self.end_epoch();
                    }
                }
                Step::Forget => self.end_epoch(),
                // Whatever was admitted since must make its own call.
                Step::Raise { .. } => return,
                _ => break,
            }
        }
        for uncovered in std::mem::take(&mut self.uncovered) {
            self.go_on(uncovered);
        }
    }

    /// R11: whom the failed call was to cover fails with it, or proceeds unwired; the queue is examined again.
    fn fail_uncovered(&mut self, limit: u64) {
        let uncovered = std::mem::take(&mut self.uncovered);
        let stays = |it: &Uncovered| {
            self.settings.proceed
                || it.shrinks
                || it.covered
                || self.is_covered(it.guard)
                || self.is_in_force_for(it.guard)
        };
        let (staying, failed): (Vec<_>, Vec<_>) = uncovered.into_iter().partition(stays);
        for uncovered in staying {
            self.go_on(uncovered);
        }
        let mut groups = Vec::new();
        for uncovered in failed {
            let live = self.live.remove(&uncovered.guard).expect("admitted");
            groups.push(live.group);
            self.note_hold(&live);
            if let Some(before) = uncovered.before {
                self.speakers.insert(before.group, before.rule);
                self.live.insert(uncovered.guard, before);
            }
            self.finish(uncovered.actor, Err(Refusal::SetLimit { limit }));
        }
        for group in groups {
            self.examine(group);
        }
    }

    /// Whether the limit covers what its own group calls for, whatever the others call for.
    pub(crate) fn is_covered(&self, guard: u64) -> bool {
        let live = &self.live[&guard];
        if self.epoch.is_none() && !live.kind.is_driving() {
            return true;
        }
        let sizes = match self.speakers[live.group] {
            Rule::Max | Rule::Peak => vec![live.bytes],
            _ => self.sizes(live.group),
        };
        let needed = self.called_for_by(live.group, &sizes).min(self.bound());
        let was_ready = self.epoch.is_some_and(|epoch| epoch.ready);
        was_ready && needed <= self.applied.unwrap_or(0)
    }

    /// Whether a call of this epoch that succeeded has covered a guard, though another is still called for: by the baseline,
    /// or by others. Only where the reservations are covered, too.
    fn is_in_force_for(&self, guard: u64) -> bool {
        let captured = self.epoch.is_some_and(|epoch| epoch.captured);
        let Some(applied) = self.applied.filter(|_| captured) else {
            return false;
        };
        let mut reserved = self.live.values().filter(|live| !live.kind.is_driving());
        let covers = |group: &str| {
            self.called_for_by(group, &self.sizes(group))
                .min(self.bound())
                <= applied
        };
        reserved.all(|live| covers(live.group)) && covers(self.live[&guard].group)
    }

    /// A guard is given.
    fn go_on(&mut self, uncovered: Uncovered) {
        let waited = uncovered.waited.unwrap_or_default();
        self.counts.longest_wait = self.counts.longest_wait.max(waited);
        self.counts.total_wait += waited;
        self.counts.granted_waits += u64::from(uncovered.waited.is_some());
        let live = &self.live[&uncovered.guard];
        // A waiter that is covered goes on at once, whatever becomes of the others; who needs a call is told of the
        // baseline that it found, and of the policy that speaks then.
        let at_once = uncovered.covered && uncovered.waited.is_some();
        let wanted = if at_once {
            uncovered.wanted
        } else {
            self.called_for_by(live.group, &uncovered.sizes)
        };
        let in_force = self.applied.unwrap_or(0) >= wanted.min(self.bound());
        let told = Told {
            bytes: live.bytes,
            wanted,
            epoch: self.epoch.map_or(0, |epoch| epoch.number),
            wired: self.is_wired() && self.epoch.is_some() && in_force,
            waited,
        };
        self.finish(uncovered.actor, Ok(told));
    }
}
