//! Whether a figure rises from step to step, and does not merely move about.
//!
//! A leak adds about the same to each step. So a rise is a streak: every value is above the one before by at least a
//! floor, no increment is many times another, and the streak has left behind whatever was seen before it. Values that
//! only vary, as with batches of different sizes, rise seven times in a row once in forty thousand times, and are then
//! where they have been before.

/// How many rises in a row are one.
const STREAK: u32 = 7;
/// How much larger than the smallest increment of a streak the largest may be.
const UNEVEN: u64 = 8;
/// How many values are remembered, at least; twice as many at most.
const REMEMBERED: u32 = 64;

/// A figure over the steps. Constant space.
#[derive(Debug, Default)]
pub(super) struct Series {
    last: Option<(u64, u64)>,
    /// The value before the streak's first rise, and its step.
    start: (u64, u64),
    streak: u32,
    smallest: u64,
    largest: u64,
    /// The highest values that were in no streak: of late, and before.
    highs: (u64, u64),
    counted: u32,
}

/// A figure that rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rise {
    /// The step after which it was still where it was before.
    pub(super) since: u64,
    /// By how much it has risen since then.
    pub(super) bytes: u64,
    /// In so many steps.
    pub(super) steps: u64,
}

impl Series {
    /// Takes the value after a step. An increment below `floor` is none.
    pub(super) fn push(&mut self, step: u64, value: u64, floor: u64) -> Option<Rise> {
        let Some((last_step, last)) = self.last.replace((step, value)) else {
            self.remember(value);
            return None;
        };
        let increment = value.checked_sub(last).filter(|more| *more >= floor.max(1));
        let Some(increment) = increment else {
            self.streak = 0;
            self.remember(value);
            return None;
        };
        let smallest = self.smallest.min(increment);
        let largest = self.largest.max(increment);
        if self.streak > 0 && largest / UNEVEN <= smallest {
            (self.smallest, self.largest) = (smallest, largest);
            self.streak = self.streak.saturating_add(1);
        } else {
            if self.streak > 0 {
                self.remember(last);
            }
            self.start = (last_step, last);
            (self.smallest, self.largest) = (increment, increment);
            self.streak = 1;
        }
        let (since, from) = self.start;
        let is_record = value > self.highs.0.max(self.highs.1);
        (self.streak >= STREAK && is_record).then(|| Rise {
            since,
            bytes: value - from,
            steps: step - since,
        })
    }

    /// Forgets the streak, where the figure was not known.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
        self.streak = 0;
    }

    fn remember(&mut self, value: u64) {
        if self.counted == REMEMBERED {
            self.highs = (0, self.highs.0);
            self.counted = 0;
        }
        self.counted += 1;
        self.highs.0 = self.highs.0.max(value);
    }
}

/// The least of each so many values: what is left of a figure when what moves about is taken off.
#[derive(Debug)]
pub(super) struct Lows {
    least: u64,
    counted: u32,
}

impl Lows {
    /// How many values one is the least of.
    pub(super) const OF: u32 = 8;

    pub(super) fn push(&mut self, value: u64) -> Option<u64> {
        self.least = self.least.min(value);
        self.counted += 1;
        (self.counted == Self::OF).then(|| std::mem::take(self).least)
    }
}

impl Default for Lows {
    fn default() -> Self {
        Self {
            least: u64::MAX,
            counted: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first step at which a rise is told.
    fn told(values: impl IntoIterator<Item = u64>) -> Option<(u64, Rise)> {
        let mut series = Series::default();
        let mut steps = 0..;
        values.into_iter().find_map(|value| {
            let step = steps.next()?;
            series.push(step, value, 10).map(|rise| (step, rise))
        })
    }

    #[test]
    fn a_steady_rise_is_told_after_seven_steps() {
        let (step, rise) = told((0..20).map(|n| 1000 + 10 * n)).unwrap();
        assert_eq!(step, 7);
        assert_eq!((rise.since, rise.bytes, rise.steps), (0, 70, 7));
    }

    #[test]
    fn a_rise_begins_where_the_flat_ends() {
        let (step, rise) = told((0..40).map(|n: u64| 1000 + 50 * n.saturating_sub(20))).unwrap();
        assert_eq!((step, rise.since), (27, 20));
    }

    #[test]
    fn less_than_the_floor_is_no_rise() {
        assert_eq!(told((0..1000).map(|n| 9 * n)), None);
    }

    #[test]
    fn what_only_varies_is_no_rise() {
        // A sawtooth whose ramps are as long as a streak and longer, and all but equal steps.
        assert_eq!(told((0..1000).map(|n| 100 * (n % 7))), None);
        let ramp = |n: u64| 100 * (n % 9);
        let first = told((0..1000).map(ramp)).map(|(step, _)| step);
        assert!(
            first.is_none_or(|step| step < 9),
            "only before it was seen to fall: {first:?}"
        );
        assert_eq!(told([800].into_iter().chain((0..1000).map(ramp))), None);
    }

    #[test]
    fn what_comes_at_once_is_no_rise() {
        // State that appears in the first steps.
        assert_eq!(
            told([0, 100, 5000, 9000].into_iter().chain([9001; 50])),
            None
        );
        // Doubling each time is no leak of the same each step.
        assert_eq!(told((0..12).map(|n| 10 << n)), None);
    }

    #[test]
    fn a_rise_in_what_varies_is_in_its_lows() {
        let noisy = (0..200_u64).map(|n| 20 * n + 977 * (n * n % 7));
        let (mut lows, mut series) = (Lows::default(), Series::default());
        let told = noisy.zip(0..).find_map(|(value, step)| {
            let low = lows.push(value)?;
            series
                .push(step, low, 10)
                .map(|rise| (step, rise.bytes / rise.steps))
        });
        let (step, rate) = told.unwrap();
        assert!(step < 80 && (15..=25).contains(&rate), "{step}: {rate}");
    }
}
