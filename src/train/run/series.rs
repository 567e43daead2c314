//! Whether a figure rises from step to step, and does not merely move about.
//!
//! A leak adds about the same to each step. So a rise is a streak: every value is above the one before by at least a
//! floor, no increment is many times another, and together they are more than the figure moved about before. Values that
//! only vary, as with batches of different sizes, rise seven times in a row now and then, and are still where they have
//! been.

/// How many rises in a row are one.
const STREAK: u32 = 7;
/// So many of them are its beginning: of what varies beside the figure, one value alone says little.
const BEGINNING: u32 = 3;
/// How much larger than the smallest increment of a streak the largest may be.
const UNEVEN: u64 = 8;
/// How many values are remembered, at least; twice as many at most.
const REMEMBERED: u32 = 64;
/// The first steps make what stays, such as the optimizer's state: that is no moving about.
const WARM_UP: u64 = 2;

/// A figure over the steps. Constant space.
#[derive(Debug, Default)]
pub(super) struct Series {
    last: Option<Point>,
    /// Before the streak's first rise.
    start: Point,
    /// The value after the streak's [`BEGINNING`], or after as much of it as there was.
    begun: u64,
    streak: u32,
    smallest: u64,
    largest: u64,
    /// Between what values it moved about: of late, and before.
    ranges: (Range, Range),
    counted: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Point {
    step: u64,
    value: u64,
    beside: u64,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    low: u64,
    high: u64,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            low: u64::MAX,
            high: 0,
        }
    }
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
    /// What the other figure was in the rise's beginning, at most.
    pub(super) beside: u64,
    /// By how much it has risen since that beginning was over.
    pub(super) bytes_later: u64,
}

impl Series {
    /// Takes the value after a step, and of another figure that is told with a rise. An increment below `floor` is none.
    pub(super) fn push(&mut self, step: u64, value: u64, beside: u64, floor: u64) -> Option<Rise> {
        let point = Point {
            step,
            value,
            beside,
        };
        let Some(last) = self.last.replace(point) else {
            self.remember(point);
            return None;
        };
        let increment = value.checked_sub(last.value);
        let Some(increment) = increment.filter(|more| *more >= floor.max(1)) else {
            // Where a rise has ended belongs to what it moved about, too.
            self.streak = 0;
            self.remember(last);
            self.remember(point);
            return None;
        };
        let smallest = self.smallest.min(increment);
        let largest = self.largest.max(increment);
        if self.streak > 0 && largest / UNEVEN <= smallest {
            (self.smallest, self.largest) = (smallest, largest);
            self.streak = self.streak.saturating_add(1);
        } else {
            self.remember(last);
            self.start = last;
            (self.smallest, self.largest) = (increment, increment);
            self.streak = 1;
        }
        if self.streak <= BEGINNING {
            self.start.beside = self.start.beside.max(beside);
            self.begun = value;
        }
        let bytes = value - self.start.value;
        (self.streak >= STREAK && bytes > self.range()).then_some(Rise {
            since: self.start.step,
            bytes,
            steps: step - self.start.step,
            beside: self.start.beside,
            bytes_later: value - self.begun,
        })
    }

    /// Forgets the streak, where the figure was not known.
    pub(super) fn interrupt(&mut self) {
        self.last = None;
        self.streak = 0;
    }

    fn remember(&mut self, point: Point) {
        if point.step <= WARM_UP {
            return;
        }
        if self.counted == REMEMBERED {
            self.ranges = (Range::default(), self.ranges.0);
            self.counted = 0;
        }
        self.counted += 1;
        let range = &mut self.ranges.0;
        range.low = range.low.min(point.value);
        range.high = range.high.max(point.value);
    }

    /// How far the figure has moved about.
    fn range(&self) -> u64 {
        let (late, before) = self.ranges;
        let high = late.high.max(before.high);
        high.saturating_sub(late.low.min(before.low))
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
            series.push(step, value, 0, 10).map(|rise| (step, rise))
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
        // As long as a streak and longer: once it was seen to fall.
        let ramp = (0..1000).map(|n| 100 * (n % 9));
        assert_eq!(told([0, 0, 0, 800].into_iter().chain(ramp)), None);
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
                .push(step, low, 0, 10)
                .map(|rise| (step, rise.bytes / rise.steps))
        });
        let (step, rate) = told.unwrap();
        assert!(step < 80 && (15..=25).contains(&rate), "{step}: {rate}");
    }
}
