//! One poll: read, judge, empty what can be lost, judge again, tell, give back.

use super::hysteresis::Judged;
use super::inner::Inner;
use super::lines::Side;
use super::source::{Reading, Source};
use super::told::{Change, SourceEvent, SourceState};
use super::trace;
use super::turn::Round;
use crate::PressureLevel;
use crate::memory::reactions::Ask;
use crate::memory::reactions::registry::contained;
use std::sync::Arc;
use std::time::Instant;

/// A source's name, and what it says.
type Said = (Arc<str>, Reading);

impl Round {
    pub(super) fn watch(&mut self, inner: &Inner) {
        for slot in &mut self.slots {
            slot.source.watch(&inner.waker);
        }
    }

    pub(super) fn states(&self) -> Vec<SourceState> {
        self.slots.iter().map(|slot| slot.state.clone()).collect()
    }

    pub(super) fn poll(&mut self, inner: &Inner) {
        inner.count(|stats| stats.polls += 1);
        let now = inner.clock.now();
        self.read(inner, now);
        let (mut judged, mut said) = (self.judge(), self.loudest());
        if judged.entered > self.hysteresis.level()
            && let Some(again) = self.judge_again(inner, now)
        {
            (judged, said) = (again, self.loudest());
        }
        if let Some(from) = self.hysteresis.step(judged, now) {
            self.change(inner, from, said, now);
        }
        self.set_manager_pressure(inner);
        let level = self.hysteresis.level();
        if level > PressureLevel::Normal && judged.entered >= level {
            self.call_givers(inner, level, now);
        }
        inner.publish(self.states());
    }

    /// The end: pressure that is not read any more is none.
    pub(super) fn end(&mut self, inner: &Inner) {
        self.slots
            .iter_mut()
            .for_each(|slot| slot.state.reading = None);
        if let Some(from) = self.hysteresis.end() {
            self.change(inner, from, None, inner.clock.now());
        }
        self.set_manager_pressure(inner);
    }

    fn read(&mut self, inner: &Inner, now: Instant) {
        let mut events = Vec::new();
        for slot in &mut self.slots {
            // The error's text is the program's, too.
            let read = contained(|| slot.source.read(now).map_err(|error| told(&*error)));
            let read = read.unwrap_or_else(|| {
                inner.count(|stats| stats.panics += 1);
                Err("it panicked".to_owned())
            });
            let (reading, problem) = match read {
                Ok(reading) => (reading, None),
                Err(problem) => (None, Some(problem)),
            };
            let state = &mut slot.state;
            if state.problem.is_some() != problem.is_some() {
                events.push(SourceEvent {
                    name: state.name.clone(),
                    problem: problem.clone(),
                });
            }
            (state.reading, state.problem) = (reading, problem);
        }
        inner.publish(self.states());
        for event in events {
            trace::source(&event);
            if event.problem.is_some() {
                inner.count(|stats| stats.sources_lost += 1);
            }
            let panics = inner.registries.sources.call_each(|f| f(&event));
            inner.count(|stats| stats.panics += panics);
        }
    }

    fn judge(&self) -> Judged {
        let highest = |side| self.levels(side).map(|(level, _)| level).max();
        Judged {
            entered: highest(Side::Enter).unwrap_or_default(),
            held: highest(Side::Leave).unwrap_or_default(),
            spoke: self.readings().next().is_some(),
        }
    }

    fn readings(&self) -> impl Iterator<Item = (&Arc<str>, &Reading)> {
        let slots = self.slots.iter();
        slots.filter_map(|slot| Some((&slot.state.name, slot.state.reading.as_ref()?)))
    }

    /// What each source says, by one of the two lines of each level.
    fn levels(&self, side: Side) -> impl Iterator<Item = (PressureLevel, (&Arc<str>, &Reading))> {
        let is_short =
            move |reading: &Reading| self.lines.of_use(reading, side) > PressureLevel::Normal;
        let is_any_short = self.readings().any(|(_, reading)| is_short(reading));
        let is_use_known = self
            .readings()
            .any(|(_, reading)| reading.get_used().is_some())
            && self.slots.iter().all(|slot| slot.state.problem.is_none());
        self.readings().map(move |(name, reading)| {
            let counts = match reading.get_used() {
                Some(_) => is_short(reading),
                None => is_any_short || !is_use_known,
            };
            let share = reading.get_stalled().filter(|_| counts);
            let by_stalls = share.map(|share| self.lines.of_stalls(share, side));
            let by_use = self.lines.of_use(reading, side);
            let own = reading.get_level().unwrap_or_default();
            let level = by_use.max(own).max(by_stalls.unwrap_or_default());
            (level, (name, reading))
        })
    }

    /// What says the most: of several the first.
    fn loudest(&self) -> Option<Said> {
        let mut loudest: Option<(PressureLevel, (&Arc<str>, &Reading))> = None;
        for said in self.levels(Side::Leave) {
            if loudest.is_none_or(|(level, _)| said.0 > level) {
                loudest = Some(said);
            }
        }
        loudest.map(|(_, (name, reading))| (name.clone(), *reading))
    }

    /// Over a line: empties what can be lost and reads again. Only that reading counts, unless the same was enough a moment
    /// ago and did not last: then none does.
    fn judge_again(&mut self, inner: &Inner, now: Instant) -> Option<Judged> {
        let registry = &inner.registries.drains;
        if registry.is_empty() {
            return None;
        }
        let mut bytes = 0_u64;
        let panics = registry.call_each(|drain| bytes = bytes.saturating_add(drain()));
        inner.count(|stats| {
            stats.panics += panics;
            stats.given_back = stats.given_back.saturating_add(bytes);
        });
        self.read(inner, now);
        let second = self.judge();
        let level = self.hysteresis.level();
        if second.entered > level {
            return Some(second);
        }
        let before = self.averted_at.replace(now);
        let calm_for = self.hysteresis.calm_for();
        if before.is_some_and(|before| now.saturating_duration_since(before) < calm_for) {
            return None;
        }
        inner.count(|stats| stats.averted += 1);
        Some(second)
    }

    fn change(&mut self, inner: &Inner, from: PressureLevel, source: Option<Said>, at: Instant) {
        let to = self.hysteresis.level();
        let change = Change {
            from,
            to,
            at,
            source,
        };
        inner.set_level(to);
        inner.count(|stats| match change.is_rise() {
            true => stats.rises += 1,
            false => stats.falls += 1,
        });
        trace::change(&change);
        let mut panics = 0;
        if to == PressureLevel::Critical && change.is_rise() {
            panics += inner.registries.first.call_each(|f| f(&change));
        }
        self.set_manager_pressure(inner);
        panics += inner.registries.listeners.call_each(|f| f(&change));
        inner.count(|stats| stats.panics += panics);
    }

    /// Sets the manager's pressure to the level's; again at the next poll if it refuses.
    fn set_manager_pressure(&mut self, inner: &Inner) {
        let level = self.hysteresis.level();
        let Some(manager) = inner.manager.as_ref().filter(|_| self.told != level) else {
            return;
        };
        let pressure = match level {
            PressureLevel::Normal => 0.0,
            PressureLevel::Warning => 0.25,
            PressureLevel::Urgent => 0.5,
            PressureLevel::Critical => 1.0,
        };
        match manager.set_pressure(pressure) {
            Ok(()) => self.told = level,
            Err(_) => inner.count(|stats| stats.refused += 1),
        }
    }

    /// Calls the giving reactions one after another, until memory is below the line at which the level is left.
    fn call_givers(&mut self, inner: &Inner, level: PressureLevel, now: Instant) {
        let registry = &inner.registries.givers;
        let (mut from, end) = (0, registry.end());
        while self.judge().held >= level
            && let Some(giver) = registry.next(from, end)
        {
            from = giver.number() + 1;
            let ask = Ask::new(level, self.wanted(level));
            let given = giver.call(|give| give(&ask));
            inner.count(|stats| match given {
                Some(bytes) => stats.given_back = stats.given_back.saturating_add(bytes),
                None => stats.panics += 1,
            });
            if given != Some(0) {
                self.read(inner, now);
            }
        }
    }

    /// How many bytes are missing, by the source that misses the most.
    fn wanted(&self, level: PressureLevel) -> Option<u64> {
        let missing = self
            .readings()
            .filter_map(|(_, reading)| self.lines.over(level, reading));
        missing.max()
    }
}

/// A problem as it may be kept and printed.
fn told(error: &(dyn std::error::Error + Send + Sync)) -> String {
    crate::print::Name::cut(&error.to_string(), 200).to_string()
}
