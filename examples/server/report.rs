//! The final table, for people and for machines.

use crate::Failure;
use crate::models::CATALOGUE;
use crate::options::Options;
use crate::server::{MIB, Server};
use crate::traffic::{CLIENTS, Outcome};
use mlx_wired::Stats;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Sizes in bytes, times in milliseconds.
#[derive(Serialize)]
pub(crate) struct Report {
    seconds: u64,
    clients: usize,
    cap: u64,
    served: u64,
    cut_short: u64,
    /// Turned away because the queue was full.
    refused_full: u64,
    gave_up: u64,
    loaded: u64,
    evicted: u64,
    steps: u64,
    steps_beside_loads: u64,
    /// How long those served waited for a model and memory.
    wait_p50_ms: f64,
    wait_p90_ms: f64,
    wait_p99_ms: f64,
    wait_longest_ms: f64,
    /// Acquires that waited, and how many of those gave up, by the manager's own count.
    acquires_waited: u64,
    acquires_gave_up: u64,
    setter_calls: u64,
    most_promised: u64,
    most_used: u64,
    over_cap_bytes: u64,
    /// What is still counted after the end.
    left_bytes: u64,
    stuck: usize,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        cap: u64,
        server: &Server,
        outcome: &Outcome,
        stats: &Stats,
    ) -> Self {
        let tally = &outcome.tally;
        let (promised, used) = (&server.account.promised, &server.account.used);
        let (loaded, evicted) = server.models.counts();
        let milliseconds = |microseconds: u64| microseconds as f64 / 1000.0;
        let wait = |quantile| milliseconds(tally.waits.value_at_quantile(quantile));
        Self {
            seconds: options.time.as_secs(),
            clients: CLIENTS,
            cap,
            served: tally.served,
            cut_short: tally.cut_short,
            refused_full: tally.refused_full,
            gave_up: tally.gave_up,
            loaded,
            evicted,
            steps: tally.steps,
            steps_beside_loads: tally.steps_beside_loads,
            wait_p50_ms: wait(0.5),
            wait_p90_ms: wait(0.9),
            wait_p99_ms: wait(0.99),
            wait_longest_ms: milliseconds(tally.waits.max()),
            acquires_waited: stats.waits,
            acquires_gave_up: stats.timeouts + stats.cancellations,
            setter_calls: stats.setter_calls,
            most_promised: promised.most(),
            most_used: used.most(),
            over_cap_bytes: promised.most().max(used.most()).saturating_sub(cap),
            left_bytes: promised.now() + used.now(),
            stuck: outcome.stuck,
        }
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// Fails if the server did wrong, or if the run shows nothing of what it is to show.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (what, count) in [
            ("threads did not end", self.stuck as u64),
            ("bytes were held that do not fit", self.over_cap_bytes),
            ("bytes are left after the end", self.left_bytes),
        ] {
            if count > 0 {
                return Err(format!("{count} {what}").into());
            }
        }
        for (what, count) in [
            ("served", self.served),
            ("refused", self.refused_full),
            ("evicted", self.evicted),
            ("given up", self.gave_up),
        ] {
            if count == 0 {
                return Err(format!("nothing was {what}").into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = CATALOGUE.map(|(name, bytes)| format!("{name} {}", Gib(bytes)));
        writeln!(
            f,
            "{} clients, {} s, {} for caches and models: {}\n",
            self.clients,
            self.seconds,
            Gib(self.cap),
            models.join(", "),
        )?;
        let served = format!(
            "{}, {} a second; {} cut short",
            self.served,
            self.served / self.seconds,
            self.cut_short
        );
        let steps = format!(
            "{}, {} of them while a model was being loaded",
            self.steps, self.steps_beside_loads
        );
        let waits = format!(
            "half {:.1} ms, 90 % {:.1} ms, 99 % {:.1} ms, longest {:.1} ms",
            self.wait_p50_ms, self.wait_p90_ms, self.wait_p99_ms, self.wait_longest_ms
        );
        let acquires = format!(
            "{}, {} of them in vain",
            self.acquires_waited, self.acquires_gave_up
        );
        let most = format!(
            "{} promised, {} used",
            Gib(self.most_promised),
            Gib(self.most_used)
        );
        for (name, value) in [
            ("served", served),
            ("refused, queue full", self.refused_full.to_string()),
            ("gave up", self.gave_up.to_string()),
            (
                "models",
                format!("{} loaded, {} evicted", self.loaded, self.evicted),
            ),
            ("steps", steps),
            ("waits of those served", waits),
            ("acquires that waited", acquires),
            ("setter calls", self.setter_calls.to_string()),
            ("most at once", most),
            ("over the cap", format!("{} bytes", self.over_cap_bytes)),
            ("stuck threads", self.stuck.to_string()),
        ] {
            writeln!(f, "{name:<21} {value}")?;
        }
        Ok(())
    }
}

struct Gib(u64);

impl fmt::Display for Gib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} GiB", self.0 as f64 / (1024 * MIB) as f64)
    }
}
