//! The tables, for people and for machines.

use crate::Failure;
use crate::checkpoint::Comparison;
use crate::run::Outcome;
use crate::sweep::Sweep;
use mlx_wired::ffi;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Sizes in bytes, times in seconds of the processor but for `wall`.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) device: Option<String>,
    pub(crate) parameters: u64,
    pub(crate) checkpointing: Comparison,
    pub(crate) fit: Vec<FitRow>,
    pub(crate) sweep: Sweep,
    pub(crate) tickets: Vec<TicketRow>,
    pub(crate) budget: u64,
    pub(crate) peak: u64,
    pub(crate) first_loss: f64,
    pub(crate) last_loss: f64,
    pub(crate) evaluations: Vec<(usize, f64)>,
    pub(crate) samples: Vec<(usize, String)>,
    pub(crate) wall: f64,
}

/// What was chosen for a budget. The rates are those of the sweep: of the choice, and of the best plan within the budget.
#[derive(Debug, Serialize)]
pub(crate) struct FitRow {
    pub(crate) budget: u64,
    pub(crate) batch: usize,
    pub(crate) first: usize,
    pub(crate) accumulate: usize,
    pub(crate) probes: usize,
    /// Of the choice, as measured.
    pub(crate) peak: u64,
    /// The highest that fitting went.
    pub(crate) highest_probe: u64,
    pub(crate) rows_per_s: f64,
    pub(crate) best_rows_per_s: f64,
}

/// A ticket, and the most that such work took when it ran alone.
#[derive(Debug, Serialize)]
pub(crate) struct TicketRow {
    pub(crate) label: &'static str,
    pub(crate) ticket: u64,
    pub(crate) peak: u64,
}

impl Report {
    pub(crate) fn new(
        sweep: Sweep,
        checkpointing: Comparison,
        fit: Vec<FitRow>,
        outcome: Outcome,
        wall: f64,
    ) -> Self {
        let loss = |loss: Option<&f64>| loss.copied().unwrap_or(f64::NAN);
        Self {
            device: ffi::device().name.clone(),
            parameters: sweep.parameters,
            checkpointing,
            fit,
            sweep,
            tickets: outcome.tickets,
            budget: outcome.budget,
            peak: outcome.summary.peak,
            first_loss: loss(outcome.losses.first()),
            last_loss: loss(outcome.losses.last()),
            evaluations: outcome.evaluations,
            samples: outcome.samples,
            wall,
        }
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// Fails if something took more than it asked for.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if let Some(row) = self
            .fit
            .iter()
            .find(|row| row.peak.max(row.highest_probe) > row.budget)
        {
            return Err(format!("fitting into {} went over it", row.budget).into());
        }
        if let Some(row) = self.tickets.iter().find(|row| row.peak > row.ticket) {
            return Err(format!("{}: took more than its ticket", row.label).into());
        }
        match self.peak > self.budget {
            true => Err("MLX's peak went over the budget".into()),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10} {:>10} {:>10}", "work", "ticket", "took")?;
        for row in &self.tickets {
            writeln!(
                f,
                "{:>10} {:>10} {:>10}",
                row.label,
                Mb(row.ticket),
                Mb(row.peak)
            )?;
        }
        writeln!(
            f,
            "{:>10} {:>10} {:>10}",
            "all",
            Mb(self.budget),
            Mb(self.peak)
        )?;
        writeln!(
            f,
            "\nloss of a letter: {:.3} at first, {:.3} at last",
            self.first_loss, self.last_loss
        )?;
        for (update, loss) in &self.evaluations {
            writeln!(
                f,
                "  {loss:.3} in the text it has not seen, after {update} updates"
            )?;
        }
        if let Some((update, sample)) = self.samples.last() {
            writeln!(f, "\nafter {update} updates it writes:\n{sample}")?;
        }
        writeln!(f, "\n{:.0} s in all", self.wall)
    }
}

/// What was fitted into each budget, of a network of so many blocks.
pub(crate) struct FitTable<'a> {
    pub(crate) rows: &'a [FitRow],
    pub(crate) blocks: usize,
}

impl fmt::Display for FitTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>10} {:>28} {:>7} {:>10} {:>10} {:>8} {:>8}",
            "fit", "rows x passes, recomputed", "probes", "peak", "highest", "rows/s", "best"
        )?;
        for row in self.rows {
            let plan = format!(
                "{} x {}, {} of {}",
                row.batch, row.accumulate, row.first, self.blocks
            );
            writeln!(
                f,
                "{:>10} {plan:>28} {:>7} {:>10} {:>10} {:>8.1} {:>8.1}",
                Mb(row.budget),
                row.probes,
                Mb(row.peak),
                Mb(row.highest_probe),
                row.rows_per_s,
                row.best_rows_per_s
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (blocks, rows) = (self.blocks, self.rows);
        writeln!(
            f,
            "{:<26} {:>10} {:>10} {:>8} {:>22}",
            format!("{blocks} blocks, {rows} rows"),
            "peak",
            "reverse",
            "time",
            "gradients differ by"
        )?;
        let percent = |part: f64| format!("{:+.0} %", 100.0 * part);
        let saved = |peak: u64, plain: u64| percent(peak as f64 / plain as f64 - 1.0);
        writeln!(
            f,
            "{:<26} {:>10} {:>10}",
            "all kept",
            Mb(self.plain_peak),
            Mb(self.plain_peak_reverse)
        )?;
        for (name, peak, reverse, time, differs) in [
            (
                "mlx_checkpoint",
                self.mlx_peak,
                self.mlx_peak_reverse,
                self.mlx_extra_time,
                self.mlx_max_gradient_difference,
            ),
            (
                "ordered",
                self.ordered_peak,
                self.ordered_peak_reverse,
                self.extra_time,
                self.max_gradient_difference,
            ),
        ] {
            writeln!(
                f,
                "{name:<26} {:>10} {:>10} {:>8} {differs:>22}",
                Mb(peak),
                Mb(reverse),
                percent(time)
            )?;
            let (peak, reverse) = (
                saved(peak, self.plain_peak),
                saved(reverse, self.plain_peak_reverse),
            );
            writeln!(f, "{:<26} {peak:>10} {reverse:>10}", "")?;
        }
        Ok(())
    }
}

/// Of a million bytes.
struct Mb(u64);

impl fmt::Display for Mb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} MB", self.0 as f64 / 1e6))
    }
}
