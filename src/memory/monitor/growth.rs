//! Memory that grows while a program runs.

use super::reading::Reading;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many readings make one low: work comes and goes within them.
const READINGS: u32 = 10;
/// So many lows in a row must rise.
const LOWS: usize = 6;
/// And by so much in all, or by a hundredth of what there was.
const LEAST: u64 = 16 << 20;

/// Memory that grows: the least of each ten readings has risen six times in a row. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Growth {
    /// What grows.
    pub what: Grows,
    /// By how much in all.
    pub bytes: u64,
    /// In which time.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub within: Duration,
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Grows {
    /// Live arrays.
    Arrays,
    /// What the process uses beside MLX's arrays and its cache.
    Outside,
}

impl Growth {
    /// Bytes a second, in whole bytes; 0 if the clock stood still.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        let seconds = self.within.as_secs_f64();
        if seconds > 0.0 {
            (self.bytes as f64 / seconds) as u64
        } else {
            0
        }
    }

    /// In which time so many bytes are used up at that rate; `None` if that cannot be told.
    #[must_use]
    pub fn lasts(&self, left: u64) -> Option<Duration> {
        let rate = self.per_second();
        left.checked_div(rate).map(Duration::from_secs)
    }
}

#[derive(Debug, Default)]
pub(super) struct Lows {
    arrays: Series,
    outside: Series,
}

impl Lows {
    pub(super) fn push(&mut self, reading: &Reading) {
        self.arrays.push(reading.time, Some(reading.active));
        let within = reading.active.saturating_add(reading.cache);
        let outside = reading.footprint.and_then(|it| it.checked_sub(within));
        self.outside.push(reading.time, outside);
    }

    /// Live arrays first: what they keep may be outside MLX, too.
    pub(super) fn growth(&self) -> Option<Growth> {
        let of = |series: &Series, what| {
            let (bytes, within) = series.rise()?;
            Some(Growth {
                what,
                bytes,
                within,
            })
        };
        of(&self.arrays, Grows::Arrays).or_else(|| of(&self.outside, Grows::Outside))
    }
}

#[derive(Debug, Default)]
struct Series {
    low: Option<u64>,
    readings: u32,
    lows: VecDeque<(Instant, u64)>,
}

impl Series {
    fn push(&mut self, time: Instant, bytes: Option<u64>) {
        self.low = self.low.into_iter().chain(bytes).min();
        self.readings += 1;
        if self.readings < READINGS {
            return;
        }
        self.readings = 0;
        let Some(low) = self.low.take() else {
            self.lows.clear();
            return;
        };
        if self.lows.len() > LOWS {
            self.lows.pop_front();
        }
        self.lows.push_back((time, low));
    }

    fn rise(&self) -> Option<(u64, Duration)> {
        if self.lows.len() <= LOWS {
            return None;
        }
        let rises = self.lows.iter().zip(self.lows.iter().skip(1));
        let (first, last) = (self.lows.front()?, self.lows.back()?);
        let bytes = last.1.saturating_sub(first.1);
        let is_growth =
            rises.into_iter().all(|(a, b)| b.1 > a.1) && bytes >= LEAST.max(first.1 / 100);
        is_growth.then(|| (bytes, last.0.saturating_duration_since(first.0)))
    }
}
