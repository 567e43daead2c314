//! The final table, for people and for machines.

use crate::Failure;
use crate::data::Wines;
use crate::measure::Measured;
use crate::network::NETWORKS;
use crate::options::Options;
use crate::sweep::{Outcome, Trained};
use mlx_wired::ffi;
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Sizes in bytes, times in seconds, accuracies from 0 to 1.
#[derive(Serialize)]
pub(crate) struct Report {
    device: Option<String>,
    tickets: bool,
    rows: usize,
    /// What naming the commonest class every time achieves.
    commonest: f64,
    folds: usize,
    epochs: usize,
    threads: usize,
    networks: Vec<Row>,
    budget: u64,
    reserved: u64,
    mlx_peak: u64,
    /// The most that guards held at once; without tickets, what they would have.
    most_held: u64,
    most_folds_at_once: u64,
    waits: u64,
    waited: f64,
    longest_wait: f64,
    setter_calls: u64,
    wall: f64,
}

#[derive(Serialize)]
struct Row {
    network: &'static str,
    correct: usize,
    accuracy: f64,
    /// The standard deviation over the folds.
    deviation: f64,
    fold_peak: u64,
    ticket: u64,
    waits: usize,
    waited: f64,
    longest_wait: f64,
    seconds_per_fold: f64,
}

impl Report {
    pub(crate) fn new(
        wines: &Wines,
        measured: &Measured,
        outcome: &Outcome,
        options: &Options,
    ) -> Self {
        let networks: Vec<Row> = (0..NETWORKS.len())
            .map(|network| Row::new(network, measured, outcome))
            .collect();
        let stats = outcome.stats.unwrap_or_default();
        Self {
            device: ffi::device().name.clone(),
            tickets: options.tickets,
            rows: wines.count(),
            commonest: wines.commonest(),
            folds: options.folds,
            epochs: options.epochs,
            threads: options.threads,
            networks,
            budget: measured.budget,
            reserved: measured.reserved,
            mlx_peak: outcome.peak,
            most_held: outcome.most_held,
            most_folds_at_once: outcome.most_folds,
            waits: stats.waits,
            waited: stats.total_wait.as_secs_f64(),
            longest_wait: stats.longest_wait.as_secs_f64(),
            setter_calls: stats.setter_calls,
            wall: outcome.wall.as_secs_f64(),
        }
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// Fails if the tickets did not keep MLX within the budget.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.tickets && self.mlx_peak > self.budget {
            return Err("MLX's peak went over the budget: the tickets were too small".into());
        }
        Ok(())
    }
}

impl Row {
    fn new(network: usize, measured: &Measured, outcome: &Outcome) -> Self {
        let of_network = |trained: &&Trained| trained.network == network;
        let folds: Vec<&Trained> = outcome.trained.iter().filter(of_network).collect();
        let count = folds.len() as f64;
        let correct = folds.iter().map(|fold| fold.correct).sum();
        let tested: usize = folds.iter().map(|fold| fold.tested).sum();
        let mean = folds.iter().map(|fold| fold.accuracy()).sum::<f64>() / count;
        let squares = folds.iter().map(|fold| (fold.accuracy() - mean).powi(2));
        let waits = folds.iter().map(|fold| fold.waited);
        let ran: Duration = folds.iter().map(|fold| fold.ran).sum();
        Self {
            network: NETWORKS[network].name,
            correct,
            accuracy: correct as f64 / tested as f64,
            deviation: (squares.sum::<f64>() / count).sqrt(),
            fold_peak: measured.peaks[network],
            ticket: measured.tickets[network],
            waits: waits.clone().filter(|waited| !waited.is_zero()).count(),
            waited: waits.clone().sum::<Duration>().as_secs_f64(),
            longest_wait: waits.max().unwrap_or_default().as_secs_f64(),
            seconds_per_fold: ran.as_secs_f64() / count,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} red wines in {} folds, {} epochs, {} threads, {} tickets; always the commonest class: {}\n",
            self.rows,
            self.folds,
            self.epochs,
            self.threads,
            if self.tickets { "with" } else { "without" },
            Percent(self.commonest),
        )?;
        writeln!(
            f,
            "hidden  accuracy         fold's peak      ticket  waits  longest wait  time per fold"
        )?;
        for row in &self.networks {
            writeln!(
                f,
                "{:<6}  {} +- {:4.1}  {:>12}  {:>10}  {:>5}  {:>10.2} s  {:>11.2} s",
                row.network,
                Percent(row.accuracy),
                100.0 * row.deviation,
                Mib(row.fold_peak).to_string(),
                self.if_tickets(Mib(row.ticket)),
                self.if_tickets(row.waits),
                row.longest_wait,
                row.seconds_per_fold,
            )?;
        }
        writeln!(f)?;
        let within = match (self.mlx_peak <= self.budget, self.tickets) {
            (true, _) => "within the budget".to_owned(),
            (false, _) => format!("OVER the budget by {}", Mib(self.mlx_peak - self.budget)),
        };
        let enforced = if self.tickets { "" } else { ", not enforced" };
        let mut line = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        line(
            "budget",
            format!(
                "{}, of which {} data and initial weights{enforced}",
                Mib(self.budget),
                Mib(self.reserved)
            ),
        )?;
        line("MLX's peak", format!("{}, {within}", Mib(self.mlx_peak)))?;
        line("most tickets at once", self.if_tickets(Mib(self.most_held)))?;
        line("most folds at once", self.most_folds_at_once.to_string())?;
        line(
            "waits",
            self.if_tickets(format!(
                "{}, the longest {:.2} s",
                self.waits, self.longest_wait
            )),
        )?;
        line("setter calls", self.if_tickets(self.setter_calls))?;
        line("wall time", format!("{:.1} s", self.wall))
    }
}

impl Report {
    fn if_tickets(&self, value: impl fmt::Display) -> String {
        if self.tickets {
            value.to_string()
        } else {
            "-".to_owned()
        }
    }
}

struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} %", 100.0 * self.0)
    }
}
