//! Size classes against time.

use super::{Interval, Recording, What};
use std::time::Duration;

/// How many bytes the guards of each size class held, against time.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeatMap {
    /// How long a column is.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub column: Duration,
    /// The size classes that occur, the smallest first: each up to and including that many bytes, a power of two.
    pub classes: Vec<u64>,
    /// For each class the mean of the bytes held, column by column.
    pub rows: Vec<Vec<f64>>,
}

impl Recording {
    /// The bytes held by guards of each size class, in `columns` columns of equal length (at least 1).
    #[must_use]
    pub fn heat_map(&self, columns: usize) -> HeatMap {
        self.heat_map_of(&self.intervals(), columns)
    }

    pub(super) fn heat_map_of(&self, intervals: &[Interval], columns: usize) -> HeatMap {
        let columns = columns.max(1);
        let width = self.duration().as_secs_f64() / columns as f64;
        let guards = || intervals.iter().filter(|it| it.what == What::Guard);
        let mut classes: Vec<u64> = guards().map(|guard| class_of(guard.bytes)).collect();
        classes.sort_unstable();
        classes.dedup();
        let mut rows = vec![vec![0.0; columns]; classes.len()];
        for guard in guards().filter(|_| width > 0.0) {
            let class = class_of(guard.bytes);
            let Ok(row) = classes.binary_search(&class) else {
                continue;
            };
            let (from, to) = (guard.from.as_secs_f64(), guard.to.as_secs_f64());
            let first = ((from / width) as usize).min(columns - 1);
            let last = ((to / width) as usize).min(columns - 1);
            for (column, cell) in rows[row].iter_mut().enumerate().take(last + 1).skip(first) {
                let begin = column as f64 * width;
                let within = to.min(begin + width) - from.max(begin);
                *cell += guard.bytes as f64 * (within / width).max(0.0);
            }
        }
        HeatMap {
            column: Duration::try_from_secs_f64(width).unwrap_or_default(),
            classes,
            rows,
        }
    }
}

/// The smallest power of two that is not smaller.
fn class_of(bytes: u64) -> u64 {
    bytes.checked_next_power_of_two().unwrap_or(u64::MAX)
}
