//! Every plan there is to choose from, run as it stands: what `fit` is held against. A program of your own has no sweep.

use crate::Failure;
use crate::options::Setting;
use crate::progress::Bars;
use crate::train::Trainer;
use cpu_time::ProcessTime;
use mlx_wired::ffi;
use mlx_wired::train::Plan;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// A plan's peak in bytes, all included, and the rows of a second of processor time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) batch: usize,
    /// How many blocks are recomputed, from the first on.
    pub(crate) first: usize,
    pub(crate) accumulate: usize,
    pub(crate) peak: u64,
    pub(crate) rows_per_s: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sweep {
    pub(crate) parameters: u64,
    pub(crate) rows: usize,
    pub(crate) plans: Vec<Row>,
}

impl Sweep {
    pub(crate) fn run(
        setting: &Setting,
        trainer: &mut Trainer,
        bars: &Bars,
    ) -> Result<Self, Failure> {
        let plans: Vec<Plan> = setting.plans().collect();
        let line = bars.line("sweep", plans.len() as u64);
        let mut rows = Vec::new();
        for plan in plans {
            line.set_message(plan.to_string());
            trainer.start_again()?;
            ffi::reset_peak_memory()?;
            let mut fastest = Duration::MAX;
            // The first makes the optimizer's state.
            for update in 0..=setting.swept_updates {
                let began = ProcessTime::now();
                trainer.step(plan)?;
                if update > 0 {
                    fastest = fastest.min(began.elapsed());
                }
            }
            rows.push(Row {
                batch: plan.batch,
                first: plan.first,
                accumulate: plan.accumulate,
                peak: ffi::memory_counters()?.peak(),
                rows_per_s: setting.rows as f64 / fastest.as_secs_f64(),
            });
            line.inc(1);
        }
        trainer.start_again()?;
        Ok(Self {
            parameters: trainer.parameters(),
            rows: setting.rows,
            plans: rows,
        })
    }

    /// The rows a second of the best that stays within `budget`.
    pub(crate) fn best(&self, budget: u64) -> Option<f64> {
        let within = self.plans.iter().filter(|row| row.peak <= budget);
        within.map(|row| row.rows_per_s).reduce(f64::max)
    }

    pub(crate) fn row(&self, plan: Plan) -> Option<&Row> {
        self.plans
            .iter()
            .find(|row| (row.batch, row.first) == (plan.batch, plan.first))
    }

    /// One that was written before, for the same network and the same plans.
    pub(crate) fn read(file: &Path, setting: &Setting, trainer: &Trainer) -> Result<Self, Failure> {
        let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read(file).map_err(|error| problem(&error))?;
        let sweep: Self = serde_json::from_slice(&text).map_err(|error| problem(&error))?;
        let is_whole = setting.plans().all(|plan| sweep.row(plan).is_some());
        if (sweep.parameters, sweep.rows, is_whole) == (trainer.parameters(), setting.rows, true) {
            return Ok(sweep);
        }
        Err(problem(&"a sweep of another network, or of other plans").into())
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()).into())
    }
}
