//! R33a in the model: what the pressure delays, and for how long.

use crate::model::Model;
use crate::policies::{Cap, Judging, Rule};
use crate::words::{Mode, Request, Waiter};
use mlx_wired::{Kind, PressureLevel};
use std::time::Duration;

/// Quarters of the caps, by the level.
pub(crate) type Shares = [u64; 4];

/// The pressure that stands for a level.
pub(crate) const PRESSURES: [f64; 4] = [0.1, 0.3, 0.6, 0.9];

impl Model {
    pub(crate) fn level(&self) -> PressureLevel {
        match self.world.pressure {
            it if it < 0.25 => PressureLevel::Normal,
            it if it < 0.5 => PressureLevel::Warning,
            it if it < 0.75 => PressureLevel::Urgent,
            _ => PressureLevel::Critical,
        }
    }

    /// How many quarters of caps and budget count for new demands.
    pub(crate) fn quarters(&self) -> u64 {
        let shares = self.settings.elastic;
        shares.map_or(4, |shares| shares[self.level() as usize])
    }

    pub(crate) fn share_of(&self, bytes: u64) -> u64 {
        bytes * self.quarters() / 4
    }

    /// Whether a new demand fits by the share of the caps.
    fn fits_the_share(&self, request: &Request) -> bool {
        let (live, device) = (&request.live, self.settings.device());
        let total: u64 = self.live.values().map(|live| live.bytes).sum();
        let budget = self.settings.budget.map(|budget| self.share_of(budget));
        if budget.is_some_and(|budget| total.saturating_add(live.bytes) > budget) {
            return false;
        }
        let cap = match live.rule {
            Rule::Sum {
                cap: Cap::Device, ..
            } => device,
            Rule::Sum {
                cap: Cap::Bytes(cap),
                ..
            } => cap,
            // The share of other rules is no other.
            _ => return true,
        };
        let Rule::Sum { base, .. } = live.rule else {
            return true;
        };
        let pressed = Rule::Sum {
            base,
            cap: Cap::Bytes(self.share_of(cap)),
        };
        let now = Judging {
            baseline: self.admission_baseline(),
            device,
            total_live: total,
            world: self.world,
        };
        pressed.admits(&now, &self.sizes(live.group), live.bytes)
    }

    /// Whether no work is left whose end it could wait for: it is the first, and no active guard of its line lives; of a hold
    /// none at all.
    fn waits_for_nothing(&self, request: &Request, waiter: Option<&Waiter>) -> bool {
        let group = request.live.group;
        let of_line = |it: &&Waiter| self.same_line(it.request.live.group, group);
        let in_line = self.line.iter().find(of_line);
        let is_it = |first: Option<&Waiter>| {
            waiter.is_some_and(|waiter| first.is_some_and(|it| it.arrival == waiter.arrival))
        };
        let is_first = match waiter {
            Some(it) if it.aside => in_line.is_none() && is_it(self.aside.iter().find(of_line)),
            Some(_) => is_it(in_line),
            None => true,
        };
        let mut live = self.live.values();
        let works = live.any(|live| {
            let counts = request.live.is_hold() || (live.kind == Kind::Active && !live.leaked);
            counts && self.same_line(live.group, group)
        });
        is_first && !works
    }

    /// Whether the pressure delays a new demand that fits in full.
    pub(crate) fn is_delayed(&self, request: &Request, waiter: Option<&Waiter>) -> bool {
        let settings = &self.settings;
        let knows_none = request.grows || settings.mode == Mode::Off;
        if self.quarters() == 4 || knows_none || settings.patience.is_zero() {
            return false;
        }
        let until = waiter.and_then(|waiter| {
            let behind = self.delayed_since.get(&self.wait_of(waiter));
            let behind = behind.map(|since| self.end_of(waiter, *since));
            waiter.delayed_until.or(behind)
        });
        if until.is_some_and(|until| self.now >= until) {
            return false;
        }
        if !self.fits_the_share(request) && !self.waits_for_nothing(request, waiter) {
            return true;
        }
        // A demand for a hold passes none that came before it.
        let passes = |waiter: &Waiter| {
            let mut aside = self.aside.iter();
            let first = aside
                .find(|it| it.delayed && self.same_line(it.request.live.group, request.live.group));
            waiter.is_new_hold() && first.is_some_and(|first| first.arrival < waiter.arrival)
        };
        waiter.is_some_and(passes)
    }

    /// What tells its line from others.
    fn line_of(&self, group: &'static str) -> &'static str {
        if self.settings.budget.is_some() {
            "all"
        } else {
            group
        }
    }

    /// Among those in line, or those for holds, which the pressure sets aside.
    fn wait_of(&self, waiter: &Waiter) -> (&'static str, bool) {
        let line = self.line_of(waiter.request.live.group);
        (line, waiter.is_new_hold())
    }

    fn end_of(&self, waiter: &Waiter, since: Duration) -> Duration {
        since.max(waiter.since) + self.settings.patience
    }

    /// Its patience begins: with that of those before it, which delayed it, too.
    pub(crate) fn delay(&mut self, waiter: &mut Waiter) {
        let wait = self.wait_of(waiter);
        let since = *self.delayed_since.entry(wait).or_insert(self.now);
        let until = self.end_of(waiter, since);
        waiter.delayed_until.get_or_insert(until);
    }

    /// No pressure delays the first in line.
    pub(crate) fn note_first_waits(&mut self, group: &'static str) {
        let line = self.line_of(group);
        self.delayed_since.remove(&(line, false));
    }

    /// What delays nobody any more, began at no time.
    pub(crate) fn note_undelayed(&mut self, group: &'static str) {
        let line = self.line_of(group);
        let mut in_line = self.line.iter();
        if !in_line.any(|it| self.same_line(it.request.live.group, group)) {
            self.delayed_since.remove(&(line, false));
        }
        let mut aside = self.aside.iter();
        if !aside.any(|it| it.delayed && self.same_line(it.request.live.group, group)) {
            self.delayed_since.remove(&(line, true));
        }
    }

    /// The first that the pressure has set aside in a line, if it delays it no more.
    fn to_take_back(&self, group: &'static str) -> Option<u64> {
        let mut aside = self.aside.iter();
        let first = aside.find(|it| it.delayed && self.same_line(it.request.live.group, group))?;
        (!self.is_delayed(&first.request, Some(first))).then_some(first.arrival)
    }

    pub(crate) fn is_to_take_back(&self, group: &'static str) -> bool {
        self.to_take_back(group).is_some()
    }

    pub(crate) fn take_back_delayed(&mut self, group: &'static str) {
        if let Some(arrival) = self.to_take_back(group) {
            self.take_back(arrival);
        }
    }

    /// Back into line, if it fits beside the holds still.
    fn take_back(&mut self, arrival: u64) {
        let mut aside = self.aside.iter();
        let waiter = aside.find(|it| it.arrival == arrival).expect("it is aside");
        let group = waiter.request.live.group;
        // All of them are judged as one.
        self.judge_one_again(arrival, false);
        if !self.aside.iter().any(|it| it.arrival == arrival) {
            self.unjudged.insert(group);
        }
    }

    /// When patience ends next, after now.
    pub(crate) fn next_end_of_patience(&self) -> Option<Duration> {
        let ends = self.waiters().filter_map(|waiter| waiter.delayed_until);
        ends.filter(|at| *at > self.now).min()
    }

    fn whose_patience_ends(&self, at: Duration) -> impl Iterator<Item = &Waiter> {
        let waiters = self.waiters();
        waiters.filter(move |waiter| waiter.delayed_until == Some(at))
    }

    /// Whether threads of several lines wake at once, or one whose time is over with one whose patience is: which comes first
    /// is nobody's promise.
    pub(crate) fn is_ambiguous(&self, at: Duration) -> bool {
        let line = |waiter: &Waiter| self.line_of(waiter.request.live.group);
        let mut lines: Vec<_> = self.whose_patience_ends(at).map(line).collect();
        let ends_too = !lines.is_empty() && self.waiters().any(|it| it.deadline() == Some(at));
        lines.sort_unstable();
        lines.dedup();
        lines.len() > 1 || ends_too
    }

    /// Those whose patience ends now examine their line. Whether one waits on.
    pub(crate) fn end_patience(&mut self) -> bool {
        let ended: Vec<u64> = self
            .whose_patience_ends(self.now)
            .map(|waiter| waiter.arrival)
            .collect();
        let mut waits_on = false;
        for arrival in ended {
            let find = |model: &Self| {
                let mut waiters = model.waiters();
                let waiter = waiters.find(|waiter| waiter.arrival == arrival)?;
                Some((waiter.request.live.group, waiter.delayed))
            };
            let Some((group, _)) = find(self) else {
                continue;
            };
            self.examine(group);
            if let Some((_, true)) = find(self) {
                self.take_back(arrival);
                self.examine(group);
            }
            waits_on |= find(self).is_some();
        }
        if !self.uncovered.is_empty() {
            self.settle_all();
        }
        waits_on
    }
}
