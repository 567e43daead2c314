//! What is told at the end, for people and for machines.

use crate::Failure;
use mlx_wired::PressureLevel;
use mlx_wired::memory::pool::PoolStats;
use mlx_wired::print::Bytes;
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;

#[derive(Serialize)]
pub(crate) struct Report {
    batches: u64,
    /// The share of buffers that were made of an idle block; null if there was none.
    hit_rate: Option<f64>,
    evicted_bytes: u64,
    /// How often a loader waited for a buffer.
    waits: u64,
    /// As the monitor reported them.
    levels: Vec<String>,
    /// By how much what was admitted, and what the pool held, was above its limit at the worst.
    over_budget_bytes: u64,
    peak_bytes: u64,
}

impl Report {
    pub(crate) fn new(
        batches: u64,
        stats: &PoolStats,
        levels: Vec<PressureLevel>,
        over_budget: u64,
    ) -> Self {
        let over_limit = stats.peak.saturating_sub(stats.limit);
        Self {
            batches,
            hit_rate: stats.hit_ratio(),
            evicted_bytes: stats.evicted_bytes,
            waits: stats.waits,
            levels: levels.iter().map(ToString::to_string).collect(),
            over_budget_bytes: over_budget.max(over_limit),
            peak_bytes: stats.peak,
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let problem = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        let mut file = File::create(path).map_err(|error| problem(&error))?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|error| problem(&error))?;
        writeln!(file).map_err(|error| problem(&error))?;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.hit_rate.map_or_else(
            || "no buffer".to_owned(),
            |rate| format!("{:.1} %", 100.0 * rate),
        );
        writeln!(f, "{:<21} {}", "batches", self.batches)?;
        writeln!(f, "{:<21} {percent}", "hit rate")?;
        writeln!(f, "{:<21} {}", "evicted", Bytes(self.evicted_bytes))?;
        writeln!(f, "{:<21} {}", "waits for a buffer", self.waits)?;
        writeln!(f, "{:<21} {}", "levels", self.levels.join(", "))?;
        writeln!(
            f,
            "{:<21} {}",
            "most held by the pool",
            Bytes(self.peak_bytes)
        )?;
        writeln!(
            f,
            "{:<21} {}",
            "over the budget",
            Bytes(self.over_budget_bytes)
        )
    }
}
