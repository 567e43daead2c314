//! What a step's memory was, as numbers and as a line.

use super::growth::Growth;
use crate::print::Bytes;
use std::fmt;
use std::time::Duration;

/// What was seen after a step. Sizes in bytes.
///
/// Prints as a line, in one unit, and a second one if memory [grows](Self::growth):
///
/// ```text
/// step 120  peak 3.1 of 4.0 GiB  active 2.0  cache 0.4  outside 0.3
/// live arrays grow 4.20 MiB a step since step 31; "ema" was never evaluated: evaluate it each step (fits 190 more steps)
/// ```
///
/// [`line`](Self::line) is the first alone, for a progress bar.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The number of the step, from 1.
    pub step: u64,
    /// The most live arrays while it ran; with [`Run::after_eval`](super::Run::after_eval), since the last report. With
    /// other steps at the same time, theirs are in it.
    pub peak: u64,
    /// Live arrays after it.
    pub active: u64,
    /// How far the peak was above what was live before it, which is what a ticket has to cover. `None` if it was below:
    /// memory was freed that was there before.
    pub above_start: Option<u64>,
    /// Freed buffers that MLX keeps after it. They are in no other figure here.
    pub cache: u64,
    /// The limit of that cache, if it is known.
    pub cache_limit: Option<u64>,
    /// How many bytes of the cache were freed after this step, since memory was short; 0 in all others.
    pub cleared: u64,
    /// What the process uses beside MLX's arrays and its cache, when it was last read: after the steps of which each is at
    /// least [so long](super::RunBuilder::outside_every) after the one before. `None` if the system does not tell, or tells
    /// less than MLX counts.
    pub outside: Option<u64>,
    /// What the run has for all, if that is known.
    pub budget: Option<u64>,
    /// The time that it took; with [`Run::after_eval`](super::Run::after_eval), since the last report.
    pub elapsed: Duration,
    /// Memory that grows from step to step: told when it is found, and again each time that it has gone on for twice as
    /// long. [`Run::growth`](super::Run::growth) tells it at any time.
    pub growth: Option<Growth>,
    /// Whether MLX's counters could be read. If not, peak, active and cache are those of the step before.
    pub counted: bool,
}

impl StepReport {
    /// The first line alone.
    pub fn line(&self) -> impl fmt::Display + '_ {
        Line(self)
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line(self).fmt(f)?;
        match &self.growth {
            Some(growth) => write!(f, "\n{growth}"),
            None => Ok(()),
        }
    }
}

struct Line<'a>(&'a StepReport);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let unit = Unit::of(report.peak.max(report.budget.unwrap_or(0)));
        let Unit { name, .. } = unit;
        write!(f, "step {}  peak {}", report.step, unit.number(report.peak))?;
        if let Some(budget) = report.budget {
            write!(f, " of {}", unit.number(budget))?;
        }
        let (active, cache) = (unit.number(report.active), unit.number(report.cache));
        write!(f, " {name}  active {active}  cache {cache}")?;
        if let Some(outside) = report.outside {
            write!(f, "  outside {}", unit.number(outside))?;
        }
        if report.cleared > 0 {
            write!(
                f,
                "  cleared {} of the cache: memory is short",
                unit.number(report.cleared)
            )?;
        }
        if !report.counted {
            f.write_str("  (not counted)")?;
        }
        Ok(())
    }
}

/// The unit of a whole line.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    bytes: f64,
}

impl Unit {
    fn of(largest: u64) -> Self {
        let (name, shift) = if largest >= 1 << 30 {
            ("GiB", 30)
        } else {
            ("MiB", 20)
        };
        let bytes = (1_u64 << shift) as f64;
        Self { name, bytes }
    }

    fn number(self, bytes: u64) -> impl fmt::Display {
        // `{:.1}` of a number alone: a format string of its own would need a type.
        Tenths(bytes as f64 / self.bytes)
    }
}

struct Tenths(f64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

/// What a whole run showed. Sizes in bytes.
///
/// Prints as `400 steps, peak 3.10 GiB`, and `, 3.60 GiB between steps` where that was more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunSummary {
    /// How many steps were reported.
    pub steps: u64,
    /// The largest peak of a step.
    pub peak: u64,
    /// The largest peak between steps: of validation and checkpoints. With [`Run::after_eval`](super::Run::after_eval)
    /// alone there is no between, and they are in the peak of the step after.
    pub peak_between: u64,
}

impl fmt::Display for RunSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps, peak {}", self.steps, Bytes(self.peak))?;
        match self.peak_between > self.peak {
            true => write!(f, ", {} between steps", Bytes(self.peak_between)),
            false => Ok(()),
        }
    }
}
