//! What each source used in total.

use super::{Interval, Recording, What};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// What the guards of one name from one location used together.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SourceTotal {
    /// The tickets' name, or their policy's label.
    pub name: Arc<str>,
    /// Where they were acquired, if that was recorded.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::place::optional"))]
    pub place: Option<&'static Location<'static>>,
    /// How many guards there were; one that was resized counts again.
    pub guards: u64,
    /// The largest, in bytes.
    pub largest: u64,
    /// The most bytes that they held at once.
    pub most: u64,
    /// How long they lived, together.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub held: Duration,
    /// Bytes times the seconds that they were held.
    pub byte_seconds: f64,
    /// How many waits there were.
    pub waits: u64,
    /// How long they waited, together.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub waited: Duration,
    /// The longest wait.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub longest_wait: Duration,
    /// How many waits ended without admission.
    pub given_up: u64,
}

impl SourceTotal {
    fn new(interval: &Interval) -> Self {
        Self {
            name: interval.name().into(),
            place: interval.place,
            guards: 0,
            largest: 0,
            most: 0,
            held: Duration::ZERO,
            byte_seconds: 0.0,
            waits: 0,
            waited: Duration::ZERO,
            longest_wait: Duration::ZERO,
            given_up: 0,
        }
    }

    fn add(&mut self, interval: &Interval) {
        let time = interval.duration();
        match interval.what {
            What::Guard => {
                self.guards += 1;
                self.largest = self.largest.max(interval.bytes);
                self.held += time;
                self.byte_seconds += interval.bytes as f64 * time.as_secs_f64();
            }
            What::Wait => {
                self.waits += 1;
                self.waited += time;
                self.longest_wait = self.longest_wait.max(time);
                self.given_up += u64::from(interval.end.is_refusal());
            }
        }
    }
}

impl Recording {
    /// What each source used in total, those first that held most bytes for longest.
    #[must_use]
    pub fn totals(&self) -> Vec<SourceTotal> {
        self.totals_of(&self.intervals())
    }

    pub(super) fn totals_of(&self, intervals: &[Interval]) -> Vec<SourceTotal> {
        let mut sources: HashMap<(&str, Option<&Location<'_>>), Vec<&Interval>> = HashMap::new();
        for interval in intervals {
            let source = (interval.name(), interval.place);
            sources.entry(source).or_default().push(interval);
        }
        let mut totals: Vec<SourceTotal> = sources
            .into_values()
            .map(|intervals| {
                let mut total = SourceTotal::new(intervals[0]);
                intervals.iter().for_each(|interval| total.add(interval));
                total.most = most_at_once(&intervals);
                total
            })
            .collect();
        totals.sort_by(|a, b| {
            let used = b.byte_seconds.total_cmp(&a.byte_seconds);
            used.then_with(|| a.name.cmp(&b.name))
                .then_with(|| a.place.cmp(&b.place))
        });
        totals
    }
}

/// What happens to what is held, in the order in which it counts at one moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Ends,
    /// Begins and ends.
    Passes,
    Begins,
}

/// The most bytes that guards held at once.
fn most_at_once(intervals: &[&Interval]) -> u64 {
    // What ends at a moment is gone before what begins then; what took no time is between them.
    let mut changes: Vec<(Duration, Change, u64)> = Vec::new();
    for guard in intervals.iter().filter(|it| it.what == What::Guard) {
        if guard.duration().is_zero() {
            changes.push((guard.from, Change::Passes, guard.bytes));
        } else {
            changes.push((guard.from, Change::Begins, guard.bytes));
            changes.push((guard.to, Change::Ends, guard.bytes));
        }
    }
    changes.sort_unstable();
    let (mut now, mut most) = (0_u64, 0);
    for (_, change, bytes) in changes {
        let with = now.saturating_add(bytes);
        match change {
            Change::Ends => now = now.saturating_sub(bytes),
            Change::Passes => most = most.max(with),
            Change::Begins => (now, most) = (with, most.max(with)),
        }
    }
    most
}
