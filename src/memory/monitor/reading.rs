//! What memory is at a moment.

use super::caught::caught;
use super::source::Source;
use crate::ffi::{BackendError, MemoryCounters};
use crate::print::Bytes;
use crate::{PressureLevel, Snapshot};
use std::fmt;
use std::time::Instant;

/// What memory is at a moment. Sizes in bytes. No figure is made up: what is not known is `None`.
///
/// Prints as one line:
///
/// ```text
/// warning  3.10 GiB of 4.00 GiB (78 %)  active 3.00 GiB  cache 410 MiB  uncounted 102 MiB  footprint 3.61 GiB
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reading {
    /// When, on the monitor's clock.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::instant"))]
    pub time: Instant,
    /// Live arrays, as MLX counts them.
    pub active: u64,
    /// Freed buffers that MLX keeps for reuse. They are not in `active`.
    pub cache: u64,
    /// The most that was live since MLX's record was reset last; never less than `active`.
    pub peak: u64,
    /// MLX's memory limit: above it, evaluation waits for running work.
    pub memory_limit: u64,
    /// What the process uses of the machine's memory ([`Backend::footprint`](crate::ffi::Backend::footprint)); `None` if
    /// the system does not tell.
    pub footprint: Option<u64>,
    /// The wired limit that was applied last.
    pub limit: u64,
    /// What there is: [stated](super::MonitorBuilder::budget), or else measured by the manager; `None` if neither.
    pub budget: Option<u64>,
    /// What the program has [registered](super::Monitor::uncounted).
    pub uncounted: u64,
    /// What is compared with the budget. Never the cache, which can be given back at once.
    ///
    /// With the manager's budget, which is for admitted work: `active` and `uncounted`. With a stated budget, which is for
    /// all that the process uses: the same, or the footprint without the cache where that is more and where MLX computes in
    /// the process's memory (Metal, CPU).
    pub used: u64,
    /// `used` of the budget; above 1 where that is exceeded. `None` without a budget; never NaN, never infinite.
    pub fraction: Option<f64>,
    /// The level of `fraction`, by the monitor's thresholds; normal without a budget.
    pub level: PressureLevel,
    /// The level that the manager was [told](crate::Manager::set_pressure) last, whatever this reading says.
    pub pressure: PressureLevel,
}

impl Reading {
    /// The worse of the two levels.
    #[must_use]
    pub fn worst(&self) -> PressureLevel {
        self.level.max(self.pressure)
    }

    /// What is left of the budget; `None` without one.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.budget.map(|budget| budget.saturating_sub(self.used))
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.level, Bytes(self.used))?;
        if let (Some(budget), Some(fraction)) = (self.budget, self.fraction) {
            write!(f, " of {} ({:.0} %)", Bytes(budget), 100.0 * fraction)?;
        }
        let (active, cache) = (Bytes(self.active), Bytes(self.cache));
        write!(f, "  active {active}  cache {cache}")?;
        if self.uncounted > 0 {
            write!(f, "  uncounted {}", Bytes(self.uncounted))?;
        }
        if let Some(footprint) = self.footprint {
            write!(f, "  footprint {}", Bytes(footprint))?;
        }
        if self.pressure > PressureLevel::Normal {
            write!(f, "  pressure {}", self.pressure)?;
        }
        Ok(())
    }
}

/// A reading, and the state of the manager that goes with it.
#[derive(Debug)]
pub(super) struct Look {
    /// If MLX's counters could be read.
    pub(super) reading: Result<Reading, BackendError>,
    pub(super) snapshot: Snapshot,
}

impl Look {
    pub(super) fn read(source: &Source) -> Self {
        let snapshot = source.manager.snapshot();
        let backend = source.manager.backend();
        let reading =
            caught(|| backend.memory()).map(|counters| read(source, &snapshot, &counters));
        Self { reading, snapshot }
    }
}

fn read(source: &Source, snapshot: &Snapshot, counters: &MemoryCounters) -> Reading {
    let footprint = source.footprint();
    let uncounted = source.uncounted.bytes();
    let counted = counters.active.saturating_add(uncounted);
    let (budget, used) = match source.budget {
        Some(stated) => {
            let kept = footprint.filter(|_| !source.is_apart()).unwrap_or(0);
            let kept = kept.saturating_sub(counters.cache);
            (Some(stated), counted.max(kept))
        }
        None => (measured_budget(snapshot), counted),
    };
    // A budget of nothing is exceeded by the first byte, and by a finite share.
    let fraction = budget.map(|budget| used as f64 / budget.max(1) as f64);
    let level = fraction.map_or(PressureLevel::Normal, |it| source.thresholds.level(it));
    Reading {
        time: source.clock.now(),
        active: counters.active,
        cache: counters.cache,
        peak: counters.peak(),
        memory_limit: counters.memory_limit,
        footprint,
        limit: snapshot.applied,
        budget,
        uncounted,
        used,
        fraction,
        level,
        pressure: snapshot.level,
    }
}

/// What admitted work may hold, as the manager measured it last.
fn measured_budget(snapshot: &Snapshot) -> Option<u64> {
    let of_all_groups = snapshot.budget;
    of_all_groups
        .into_iter()
        .chain(snapshot.device_budget)
        .min()
}
