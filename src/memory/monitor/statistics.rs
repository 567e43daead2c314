//! What was seen and done since a monitor was started.

use super::cleanup::Cleaned;
use super::growth::{Growth, Lows};
use super::reading::Reading;
use crate::PressureLevel;
use std::time::{Duration, Instant};

/// What was seen and done since the monitor was started. Sizes in bytes.
///
/// Every reading counts: those of the monitor's thread, and those that the program took. None is NaN: what has not been seen
/// is `None`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// Readings.
    pub readings: u64,
    /// Readings that failed, since MLX's counters could not be read.
    pub failures: u64,
    /// Whether the last one failed.
    pub is_failing: bool,
    /// The last reading that did not fail.
    pub last: Reading,
    /// What was compared with the budget.
    pub used: Extent,
    /// Live arrays. MLX's own record of their peak is [`Reading::peak`]: readings miss what lies between them.
    pub active: Extent,
    /// MLX's cache.
    pub cache: Extent,
    /// What the process used, where the system tells.
    pub footprint: Option<Extent>,
    /// How often the level rose: from normal, or from a lower one.
    pub rises: u64,
    /// How often it fell.
    pub falls: u64,
    /// How long it was normal, warning, urgent and critical, from reading to reading.
    #[cfg_attr(feature = "serde", serde(serialize_with = "seconds"))]
    pub time_at: [Duration; 4],
    /// Registrations of bytes that MLX does not count, now.
    pub uncounted_live: u64,
    /// Registrations ever made.
    pub uncounted_registered: u64,
    /// Registrations taken off again.
    pub uncounted_released: u64,
    /// The largest of them.
    pub uncounted_largest: u64,
    /// Calls of [`force_cleanup`](super::Monitor::force_cleanup).
    pub cleanups: u64,
    /// What these gave back.
    pub cleaned: Cleaned,
    /// Memory that grows now.
    pub growth: Option<Growth>,
}

/// A figure over all readings. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Extent {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
    /// The mean, in whole bytes.
    pub mean: u64,
}

/// An [`Extent`] in the making.
#[derive(Debug, Clone, Copy)]
struct Seen {
    least: u64,
    most: u64,
    sum: u128,
    count: u64,
}

impl Seen {
    fn new(first: u64) -> Self {
        Self {
            least: first,
            most: first,
            sum: first.into(),
            count: 1,
        }
    }

    fn note(&mut self, bytes: u64) {
        self.least = self.least.min(bytes);
        self.most = self.most.max(bytes);
        self.sum += u128::from(bytes);
        self.count += 1;
    }

    fn extent(&self) -> Extent {
        let mean = self.sum / u128::from(self.count);
        Extent {
            least: self.least,
            most: self.most,
            mean: u64::try_from(mean).unwrap_or(u64::MAX),
        }
    }
}

/// [`Statistics`] in the making. Constant space.
#[derive(Debug)]
pub(super) struct Record {
    readings: u64,
    failures: u64,
    is_failing: bool,
    last: Reading,
    used: Seen,
    active: Seen,
    cache: Seen,
    footprint: Option<Seen>,
    rises: u64,
    falls: u64,
    time_at: [Duration; 4],
    cleanups: u64,
    cleaned: Cleaned,
    lows: Lows,
}

impl Record {
    pub(super) fn new(first: &Reading) -> Self {
        Self {
            readings: 1,
            failures: 0,
            is_failing: false,
            last: *first,
            used: Seen::new(first.used),
            active: Seen::new(first.active),
            cache: Seen::new(first.cache),
            footprint: first.footprint.map(Seen::new),
            rises: u64::from(first.level > PressureLevel::Normal),
            falls: 0,
            time_at: [Duration::ZERO; 4],
            cleanups: 0,
            cleaned: Cleaned::default(),
            lows: Lows::default(),
        }
    }

    pub(super) fn note(&mut self, reading: &Reading) {
        self.readings += 1;
        self.is_failing = false;
        self.used.note(reading.used);
        self.active.note(reading.active);
        self.cache.note(reading.cache);
        if let Some(bytes) = reading.footprint {
            match &mut self.footprint {
                Some(seen) => seen.note(bytes),
                None => self.footprint = Some(Seen::new(bytes)),
            }
        }
        let before = self.last.level;
        self.rises += u64::from(reading.level > before);
        self.falls += u64::from(reading.level < before);
        // Readings of two threads may come in the other order.
        let passed = reading.time.saturating_duration_since(self.last.time);
        let at = &mut self.time_at[before as usize];
        *at = at.saturating_add(passed);
        if reading.time >= self.last.time {
            self.last = *reading;
        }
    }

    /// A reading at the end of an interval, for what needs them evenly spaced.
    pub(super) fn tick(&mut self, reading: &Reading) {
        self.note(reading);
        self.lows.push(reading);
    }

    pub(super) fn fail(&mut self) {
        self.failures += 1;
        self.is_failing = true;
    }

    pub(super) fn cleaned(&mut self, cleaned: &Cleaned) {
        self.cleanups += 1;
        let all = &mut self.cleaned;
        all.cache = all.cache.saturating_add(cleaned.cache);
        all.functions = all.functions.saturating_add(cleaned.functions);
        all.panics = all.panics.saturating_add(cleaned.panics);
    }

    pub(super) fn statistics(
        &self,
        uncounted: super::uncounted::Counts,
        now: Instant,
    ) -> Statistics {
        let mut time_at = self.time_at;
        let since = now.saturating_duration_since(self.last.time);
        let at = &mut time_at[self.last.level as usize];
        *at = at.saturating_add(since);
        Statistics {
            readings: self.readings,
            failures: self.failures,
            is_failing: self.is_failing,
            last: self.last,
            used: self.used.extent(),
            active: self.active.extent(),
            cache: self.cache.extent(),
            footprint: self.footprint.as_ref().map(Seen::extent),
            rises: self.rises,
            falls: self.falls,
            time_at,
            uncounted_live: uncounted.live,
            uncounted_registered: uncounted.registered,
            uncounted_released: uncounted.registered - uncounted.live,
            uncounted_largest: uncounted.largest,
            cleanups: self.cleanups,
            cleaned: self.cleaned,
            growth: self.lows.growth(),
        }
    }
}

#[cfg(feature = "serde")]
fn seconds<S: serde::Serializer>(times: &[Duration; 4], to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&times.map(|time| time.as_secs_f64()), to)
}
