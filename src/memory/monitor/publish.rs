//! Figures for machines, through the crate `metrics`.
//!
//! They are published where a reading was taken for the monitor anyway, from counters that exist anyway.

pub(super) mod names;

use super::Monitor;
use super::publisher::{Published, Publisher};
use super::reading::{Look, Reading};
use super::shared::Shared;
use crate::memory::Error;
use crate::print::Name;
use crate::snapshot::{Group, WaitTimes};
use metrics::{
    Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use names::{FIGURES, FigureKind};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

impl Monitor {
    /// Publishes the figures now, to the recorder of the calling thread. The monitor's own thread does it at each interval, to
    /// the program's [global](metrics::set_global_recorder) one: install that before the monitor is started, for its
    /// descriptions; waits that were published to none are lost.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); then what can be told is published all the same.
    pub fn publish(&self) -> Result<(), Error> {
        self.shared.source.check()?;
        let look = self.shared.read_and_note();
        self.shared.publisher.publish(&self.shared, &look);
        look.reading?;
        Ok(())
    }
}

fn unit(name: &str) -> Option<Unit> {
    let name = name.trim_end_matches("_total");
    if name.ends_with("_bytes") {
        Some(Unit::Bytes)
    } else if name.ends_with("_seconds") {
        Some(Unit::Seconds)
    } else {
        None
    }
}

/// Exporters that add units to names find them there already.
fn describe() {
    for figure in FIGURES {
        let (name, text) = (figure.name, figure.text);
        match (figure.kind, unit(name)) {
            (FigureKind::Gauge, Some(unit)) => describe_gauge!(name, unit, text),
            (FigureKind::Gauge, None) => describe_gauge!(name, text),
            (FigureKind::Counter, Some(unit)) => describe_counter!(name, unit, text),
            (FigureKind::Counter, None) => describe_counter!(name, text),
            (FigureKind::Histogram, Some(unit)) => describe_histogram!(name, unit, text),
            (FigureKind::Histogram, None) => describe_histogram!(name, text),
        }
    }
}

impl Publisher {
    pub(super) fn new(names_groups: bool) -> Self {
        Self {
            names_groups,
            published: Mutex::default(),
        }
    }

    /// The first time, when the monitor is started.
    pub(super) fn begin(&self, shared: &Shared, look: &Look) {
        describe();
        self.publish(shared, look);
    }

    pub(super) fn publish(&self, shared: &Shared, look: &Look) {
        let snapshot = &look.snapshot;
        if let Ok(reading) = &look.reading {
            publish_reading(reading);
        }
        let statistics = shared.statistics();
        gauge!(names::PRESSURE_LEVEL).set(f64::from(snapshot.level as u8));
        gauge!(names::LIMIT).set(snapshot.applied as f64);
        gauge!(names::WAITING).set(snapshot.waiters.len() as f64);
        let oldest = snapshot.waiters.iter().map(|waiter| waiter.waited).max();
        gauge!(names::OLDEST_WAIT).set(oldest.unwrap_or_default());
        let stats = &snapshot.stats;
        for (result, count) in [
            ("admitted", stats.admissions),
            ("timed_out", stats.timeouts),
            ("cancelled", stats.cancellations),
        ] {
            counter!(names::ADMISSIONS, "result" => result).absolute(count);
        }
        counter!(names::SETTER_CALLS).absolute(stats.setter_calls);
        counter!(names::FAILURES).absolute(statistics.failures);
        let cleaned = &statistics.cleaned;
        counter!(names::RECLAIMED, "by" => "cache").absolute(cleaned.cache);
        counter!(names::RECLAIMED, "by" => "function").absolute(cleaned.functions);
        let watched = &shared.source.watched;
        let reactions = watched.reactions().unwrap_or_default();
        counter!(names::RECLAIMED, "by" => "reaction").absolute(reactions.given_back);
        for pool in watched.pools() {
            counter!(names::POOL_HITS, "pool" => pool.name.clone()).absolute(pool.hits);
            counter!(names::POOL_MISSES, "pool" => pool.name.clone()).absolute(pool.misses);
            gauge!(names::POOL_IN_USE, "pool" => pool.name.clone()).set(pool.in_use as f64);
            gauge!(names::POOL_IDLE, "pool" => pool.name).set(pool.idle as f64);
        }
        publish_info(shared);

        // A recorder is the program's: none is called with the lock held.
        let published = self.published.lock();
        let mut published = published.unwrap_or_else(PoisonError::into_inner);
        let groups = published.groups(&snapshot.groups, self.names_groups);
        let waits = published.waits(&snapshot.wait_times, stats.total_wait);
        drop(published);
        for (label, bytes) in groups {
            gauge!(names::ADMITTED, "group" => label).set(bytes as f64);
        }
        for (seconds, count) in waits {
            histogram!(names::WAIT).record_many(seconds, count);
        }
    }
}

impl Published {
    /// What the groups hold, by label; nothing, once, for those that have gone.
    fn groups(&mut self, groups: &[Group], has_names: bool) -> BTreeMap<String, u64> {
        let mut bytes = BTreeMap::<String, u64>::new();
        for group in groups {
            let label = if has_names {
                let name = group.name.as_ref().unwrap_or(&group.policy);
                Name::new(name).to_string()
            } else {
                group.number.to_string()
            };
            let of_label = bytes.entry(label).or_default();
            *of_label = of_label.saturating_add(group.bytes);
        }
        let live = bytes.keys().cloned().collect();
        for gone in std::mem::replace(&mut self.groups, live) {
            bytes.entry(gone).or_default();
        }
        bytes
    }
}

fn publish_reading(reading: &Reading) {
    let bytes = [
        (names::ACTIVE, Some(reading.active)),
        (names::CACHE, Some(reading.cache)),
        (names::PEAK, Some(reading.peak)),
        (names::FOOTPRINT, reading.footprint),
        (names::BUDGET, reading.budget),
        (names::UNCOUNTED, Some(reading.uncounted)),
        (names::USED, Some(reading.used)),
    ];
    for (name, bytes) in bytes {
        if let Some(bytes) = bytes {
            gauge!(name).set(bytes as f64);
        }
    }
    gauge!(names::LEVEL).set(f64::from(reading.level as u8));
}

fn publish_info(shared: &Shared) {
    let manager = &shared.source.manager;
    let mlx = super::caught::caught(|| Ok(manager.backend().version()));
    let mlx = mlx.ok().flatten().unwrap_or_else(|| "unknown".to_owned());
    let support = if manager.support().is_supported() {
        "yes"
    } else {
        "no"
    };
    let labels = vec![
        Label::from_static_parts("version", env!("CARGO_PKG_VERSION")),
        Label::new("mlx", mlx),
        Label::new("device", manager.device().kind.to_string().to_lowercase()),
        Label::from_static_parts("support", support),
    ];
    gauge!(names::INFO, labels).set(1.0);
}

impl Published {
    /// The waits since the last time, in seconds, and how many. The manager counts them in buckets that double, and sums them up
    /// exactly: each counts as the same share of its bucket, so that the sum is right.
    fn waits(&mut self, waits: &WaitTimes, total: Duration) -> Vec<(f64, usize)> {
        let new: Vec<(Duration, u64)> = waits
            .buckets
            .iter()
            .filter_map(|&(below, count)| {
                let before = self.waits.insert(below, count).unwrap_or(0);
                Some((below, count.saturating_sub(before))).filter(|it| it.1 > 0)
            })
            .collect();
        let waited = total.saturating_sub(self.waited).as_secs_f64();
        self.waited = total;
        let least: f64 = new
            .iter()
            .map(|it| it.1 as f64 * it.0.as_secs_f64() / 2.0)
            .sum();
        // The buckets are as wide as their lower bound.
        let share = if least > 0.0 {
            (waited / least - 1.0).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let waits = new.into_iter().map(|(below, count)| {
            let value = below.as_secs_f64() / 2.0 * (1.0 + share);
            (value, usize::try_from(count).unwrap_or(usize::MAX))
        });
        waits.collect()
    }
}
