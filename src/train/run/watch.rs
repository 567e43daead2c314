//! What is kept from step to step, and what follows from it.

use super::carried::Carried;
use super::governor::{Governor, Observation};
use super::growth::{Growth, GrowthCause};
use super::limits::caught;
use super::report::StepReport;
use super::series::{Lows, Rise, Series};
use crate::ffi::{Backend, DeviceKind, MemoryCounters};
use std::time::{Duration, Instant};

/// Live arrays that rise by less a step are none: results that a program notes, such as losses.
const LEAST_LIVE: u64 = 4 << 10;
/// Of memory beside MLX, which comes and goes in larger pieces.
const LEAST_OUTSIDE: u64 = 64 << 10;
/// And it has risen by so much in all, or by what a step needs for a while, where that is more: what MLX frees may stay in
/// the process's heap.
const LEAST_OUTSIDE_RISE: u64 = 4 << 20;
/// But larger pieces go back to the system at once.
const LARGEST_IN_HEAP: u64 = 64 << 20;

/// The figures of a run, under its lock. Constant space.
#[derive(Debug)]
pub(super) struct Watch {
    kind: DeviceKind,
    pub(super) budget: Option<u64>,
    pub(super) cache_limit: Option<u64>,
    outside_every: Duration,
    /// How often the budget is measured, where it is measured at all, and when it was last.
    budget_every: Option<Duration>,
    budget_measured: Instant,
    steps: u64,
    counters: MemoryCounters,
    counted: bool,
    /// The peaks of steps that run, in no order.
    running: Vec<Option<u64>>,
    pub(super) peak: u64,
    pub(super) peak_between: u64,
    reported: Instant,
    outside: Option<u64>,
    outside_read: Option<Instant>,
    live: Series,
    live_lows: (Lows, Series),
    cache: Series,
    beside: Series,
    pub(super) governor: Governor,
    pub(super) carried: Carried,
    growing: Option<Growing>,
}

/// A growth that goes on.
#[derive(Debug, Clone, Copy)]
struct Growing {
    cause: GrowthCause,
    rise: Rise,
    step: u64,
    /// At which step it is told, or told again.
    tell_at: u64,
}

/// A step that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    place: usize,
    active: u64,
    at: Instant,
}

impl Watch {
    pub(super) fn new(
        kind: DeviceKind,
        budget: Option<u64>,
        cache_limit: Option<u64>,
        (outside_every, budget_every): (Duration, Option<Duration>),
        counters: MemoryCounters,
    ) -> Self {
        Self {
            kind,
            budget,
            cache_limit,
            outside_every,
            budget_every,
            budget_measured: Instant::now(),
            steps: 0,
            counters,
            counted: true,
            running: Vec::new(),
            peak: 0,
            peak_between: 0,
            reported: Instant::now(),
            outside: None,
            outside_read: None,
            live: Series::default(),
            live_lows: Default::default(),
            cache: Series::default(),
            beside: Series::default(),
            governor: Governor::default(),
            carried: Carried::default(),
            growing: None,
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// A step begins.
    pub(super) fn begin(&mut self, backend: &dyn Backend) -> Begun {
        let peak = self.read(backend);
        if self.running.iter().all(Option::is_none) {
            self.peak_between = self.peak_between.max(peak);
        }
        let free = self.running.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.running.push(None);
            self.running.len() - 1
        });
        let active = self.counters.active;
        self.running[place] = Some(active);
        Begun {
            place,
            active,
            at: Instant::now(),
        }
    }

    /// A step failed: there is nothing to tell of it.
    pub(super) fn abandon(&mut self, begun: Begun) {
        self.running[begun.place] = None;
    }

    /// A step has ended: one that was begun, or what came since the last report.
    pub(super) fn end(&mut self, begun: Option<Begun>, backend: &dyn Backend) -> StepReport {
        let before = begun.map_or(self.counters.active, |begun| begun.active);
        let mut peak = self.read(backend);
        if let Some(begun) = begun {
            peak = self.running[begun.place].take().unwrap_or(peak);
        }
        let now = Instant::now();
        let since = begun.map_or(self.reported, |begun| begun.at);
        self.reported = now;
        self.steps += 1;
        self.peak = self.peak.max(peak);
        self.read_outside(backend, now);
        let observed = Observation {
            step: self.steps,
            peak,
            active: self.counters.active,
            cache: self.counters.cache,
            budget: self.budget,
            now,
        };
        if self.counted {
            self.note_growth(&observed);
        }
        StepReport {
            step: self.steps,
            peak,
            active: observed.active,
            above_start: peak.checked_sub(before),
            cache: observed.cache,
            cache_limit: self.cache_limit,
            cleared: 0,
            outside: self.outside,
            budget: self.budget,
            elapsed: now.saturating_duration_since(since),
            growth: self.news(),
            counted: self.counted,
        }
    }

    /// Whether it is time to measure the budget again, after a step that was told just now.
    pub(super) fn is_budget_due(&mut self) -> bool {
        let since = self
            .reported
            .saturating_duration_since(self.budget_measured);
        let is_due = self.budget_every.is_some_and(|every| since >= every);
        if is_due {
            self.budget_measured = self.reported;
        }
        is_due
    }

    /// What the governor looks at.
    pub(super) fn observation(&self, report: &StepReport) -> Observation {
        Observation {
            step: report.step,
            peak: report.peak,
            active: report.active,
            cache: report.cache,
            budget: report.budget,
            now: self.reported,
        }
    }

    /// The growth that goes on.
    pub(super) fn growth(&self) -> Option<Growth> {
        let growing = self.growing.filter(|it| it.lasts(self.steps))?;
        let bytes_per_step = growing.rise.bytes / growing.rise.steps.max(1);
        let used = self.governor.peak().saturating_add(self.counters.cache);
        let left = self.budget.map(|budget| budget.saturating_sub(used));
        Some(Growth {
            cause: growing.cause,
            bytes_per_step,
            since: growing.rise.since,
            suspects: match growing.cause {
                GrowthCause::LiveArrays => self.carried.suspects(self.steps),
                GrowthCause::Cache | GrowthCause::Outside => Vec::new(),
            },
            fits: left.map(|left| left / bytes_per_step.max(1)),
        })
    }

    /// Reads the counters, and returns the peak since they were last read; all steps that run have it in theirs.
    fn read(&mut self, backend: &dyn Backend) -> u64 {
        let read = caught(|| backend.memory());
        self.counted = read.is_ok() && caught(|| backend.reset_peak_memory()).is_ok();
        let Ok(counters) = read else {
            return self.counters.peak();
        };
        let peak = counters.peak();
        self.counters = counters;
        for running in self.running.iter_mut().flatten() {
            *running = peak.max(*running);
        }
        peak
    }

    fn read_outside(&mut self, backend: &dyn Backend, now: Instant) {
        let last = self.outside_read;
        let is_due =
            last.is_none_or(|last| now.saturating_duration_since(last) >= self.outside_every);
        if !is_due {
            return;
        }
        self.outside_read = Some(now);
        let within = match self.kind {
            DeviceKind::Cuda => 0,
            DeviceKind::Metal | DeviceKind::Cpu => {
                self.counters.active.saturating_add(self.counters.cache)
            }
        };
        let footprint = caught(|| Ok(backend.footprint())).ok().flatten();
        self.outside = footprint.and_then(|bytes| bytes.checked_sub(within));
        match self.outside {
            None => self.beside.interrupt(),
            Some(outside) => {
                let rise = self.beside.push(self.steps, outside, 0, LEAST_OUTSIDE);
                let in_heap = self.governor.need().min(LARGEST_IN_HEAP);
                let least = in_heap.max(LEAST_OUTSIDE_RISE);
                let rise = rise.filter(|rise| rise.bytes >= least);
                self.note_rise(GrowthCause::Outside, rise);
            }
        }
    }

    /// Notes what grows.
    fn note_growth(&mut self, observed: &Observation) {
        self.governor.note(observed);
        let floor = LEAST_LIVE.max(observed.active >> 20);
        // Where what a step needs for a while rises, too, batches grow, and what is kept of the last one with them.
        let workspace = observed.peak - observed.active;
        let is_kept = |rise: &Rise| workspace.saturating_sub(rise.beside) < rise.bytes_later / 2;
        let rise = self
            .live
            .push(observed.step, observed.active, workspace, floor);
        self.note_rise(GrowthCause::LiveArrays, rise.filter(is_kept));
        if let Some(low) = self.live_lows.0.push(observed.active) {
            let rise = self.live_lows.1.push(observed.step, low, workspace, floor);
            self.note_rise(GrowthCause::LiveArrays, rise.filter(is_kept));
        }

        let need = self.governor.need();
        let rise = self
            .cache
            .push(observed.step, observed.cache, 0, (need / 4).max(LEAST_LIVE));
        // A cache that its limit keeps within the budget is of no harm, and one that the next step uses is none.
        let is_bounded = match (self.cache_limit, self.budget) {
            (Some(limit), Some(budget)) => limit.saturating_add(self.governor.peak()) <= budget,
            _ => false,
        };
        let rise = rise.filter(|_| !is_bounded && observed.cache / 2 > need);
        self.note_rise(GrowthCause::Cache, rise);
    }

    fn note_rise(&mut self, cause: GrowthCause, rise: Option<Rise>) {
        let Some(rise) = rise else {
            return;
        };
        let step = self.steps;
        match &mut self.growing {
            Some(growing)
                if growing.cause == cause
                    && (growing.lasts(step) || growing.rise.since == rise.since) =>
            {
                (growing.rise, growing.step) = (rise, step);
            }
            // Of two that go on, the one that came first is told until it ends.
            Some(growing) if growing.lasts(step) => {}
            growing => {
                *growing = Some(Growing {
                    cause,
                    rise,
                    step,
                    tell_at: step,
                });
            }
        }
    }

    /// The growth that goes on, if it is time to tell of it.
    fn news(&mut self) -> Option<Growth> {
        let step = self.steps;
        let growing = self.growing.as_mut().filter(|it| it.step == step)?;
        if step < growing.tell_at {
            return None;
        }
        growing.tell_at = step + growing.rise.steps;
        self.growth()
    }
}

impl Growing {
    /// Whether it goes on: it was seen within the time that the slower of its signs takes to come.
    fn lasts(&self, step: u64) -> bool {
        step <= self.step + 2 * u64::from(Lows::OF)
    }
}
