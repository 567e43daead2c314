//! The final table, for people and for machines.

use crate::Failure;
use crate::data::Wines;
use crate::network::NETWORKS;
use crate::options::Options;
use crate::sizes::Sizes;
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
    most_at_once: u64,
    waits: usize,
    waited: f64,
    longest_wait: f64,
    seconds_per_fold: f64,
}

impl Report {
    pub(crate) fn new(wines: &Wines, sizes: &Sizes, outcome: &Outcome, options: &Options) -> Self {
        let networks: Vec<Row> = (0..NETWORKS.len())
            .map(|network| Row::new(network, sizes, outcome))
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
            budget: sizes.budget,
            reserved: sizes.reserved,
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

    /// Fails if the tickets did not keep themselves and MLX within the budget.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.tickets && self.most_held > self.budget {
            return Err("more was admitted than the budget holds".into());
        }
        if self.tickets && self.mlx_peak > self.budget {
            return Err("MLX's peak went over the budget: the tickets were too small".into());
        }
        Ok(())
    }
}

impl Row {
    fn new(network: usize, sizes: &Sizes, outcome: &Outcome) -> Self {
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
            fold_peak: sizes.folds[network].above_start,
            ticket: sizes.folds[network].ticket_bytes(),
            most_at_once: outcome.most_of_network[network],
            waits: waits.clone().filter(|waited| !waited.is_zero()).count(),
            waited: waits.clone().sum::<Duration>().as_secs_f64(),
            longest_wait: waits.max().unwrap_or_default().as_secs_f64(),
            seconds_per_fold: ran.as_secs_f64() / count,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = if self.tickets { "with" } else { "WITHOUT" };
        writeln!(
            f,
            "{} red wines, {} folds, {} epochs, {} threads, {with} tickets",
            self.rows, self.folds, self.epochs, self.threads,
        )?;
        writeln!(
            f,
            "accuracy of always naming the commonest class: {}\n",
            Percent(self.commonest)
        )?;
        self.networks(f)?;
        writeln!(f)?;
        self.totals(f)
    }
}

impl Report {
    fn networks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "hidden  accuracy         fold alone      ticket  at once  waits   longest  per fold"
        )?;
        for row in &self.networks {
            let longest = match row.waits {
                0 => "-".to_owned(),
                _ => Seconds(row.longest_wait).to_string(),
            };
            writeln!(
                f,
                "{:<6}  {} ± {:4.2}  {:>11}  {:>10}  {:>7}  {:>5}  {:>8}  {:>8}",
                row.network,
                Percent(row.accuracy),
                100.0 * row.deviation,
                Mib(row.fold_peak).to_string(),
                self.if_tickets(Mib(row.ticket)),
                row.most_at_once,
                self.if_tickets(row.waits),
                longest,
                Seconds(row.seconds_per_fold).to_string(),
            )?;
        }
        Ok(())
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enforced = if self.tickets { "" } else { ", not enforced" };
        let budget = format!(
            "{}, data and initial weights {}{enforced}",
            Mib(self.budget),
            Mib(self.reserved)
        );
        let peak = match self.mlx_peak.checked_sub(self.budget) {
            None | Some(0) => format!("{}, within the budget", Mib(self.mlx_peak)),
            Some(over) => format!("{}, OVER the budget by {}", Mib(self.mlx_peak), Mib(over)),
        };
        let waits = format!("{}, longest {}", self.waits, Seconds(self.longest_wait));
        let support = ffi::device().support;
        let setter = format!("{} (wired memory is {support})", self.setter_calls);
        for (name, value) in [
            ("budget", budget),
            ("MLX's peak", peak),
            ("most held by tickets", self.if_tickets(Mib(self.most_held))),
            ("most folds at once", self.most_folds_at_once.to_string()),
            ("waits", self.if_tickets(waits)),
            ("setter calls", self.if_tickets(setter)),
            ("wall time", Seconds(self.wall).to_string()),
        ] {
            writeln!(f, "{name:<21} {value}")?;
        }
        Ok(())
    }

    fn if_tickets(&self, value: impl fmt::Display) -> String {
        if self.tickets {
            value.to_string()
        } else {
            "-".to_owned()
        }
    }
}

/// Bytes in MiB, with one digit after the point.
pub(crate) struct Mib(pub(crate) u64);

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

struct Seconds(f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s", self.0)
    }
}
