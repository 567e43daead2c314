//! Values against time, for charts and counters.

use super::{Interval, Recording, What};
use crate::EventKind;
use std::collections::HashMap;
use std::time::Duration;

/// A value that holds from each time on until the next.
pub(super) type Steps = Vec<(Duration, u64)>;

/// How many names have a series of their own; the others share one. As many as the page has colours for.
pub(super) const NAMES: usize = 14;
/// What those are called together.
const OTHERS: &str = "other";

/// What all guards hold, by name.
#[derive(Debug)]
pub(super) struct Demand {
    /// Those that hold most bytes for longest come first; "other" is last.
    pub(super) names: Vec<String>,
    /// How many names "other" stands for; if none, it is not among the names.
    pub(super) others: usize,
    /// At each time, what each name holds.
    pub(super) changes: Vec<(Duration, Vec<u64>)>,
}

impl Demand {
    pub(super) fn new(intervals: &[Interval]) -> Self {
        let guards = || intervals.iter().filter(|it| it.what == What::Guard);
        let mut weights: HashMap<&str, f64> = HashMap::new();
        for guard in guards() {
            let weight = guard.bytes as f64 * guard.duration().as_secs_f64();
            *weights.entry(guard.name()).or_default() += weight;
        }
        let mut by_weight: Vec<(&str, f64)> = weights.into_iter().collect();
        by_weight.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let others = by_weight.len().saturating_sub(NAMES);
        let has_others = others > 0;
        // One series of a name.
        by_weight.retain(|(name, _)| !has_others || *name != OTHERS);
        let mut names: Vec<String> = by_weight
            .iter()
            .take(NAMES)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let index = |name: &str| {
            let found = by_weight.iter().take(NAMES).position(|it| it.0 == name);
            found.unwrap_or(NAMES)
        };
        // What took no time is held at no time.
        let mut single: Vec<(Duration, bool, usize, u64)> = guards()
            .filter(|guard| guard.from < guard.to)
            .flat_map(|guard| {
                let series = index(guard.name());
                [
                    (guard.from, true, series, guard.bytes),
                    (guard.to, false, series, guard.bytes),
                ]
            })
            .collect();
        single.sort_unstable();
        if has_others {
            names.push(OTHERS.to_owned());
        }
        let mut now = vec![0_u64; names.len()];
        let mut changes: Vec<(Duration, Vec<u64>)> = Vec::new();
        for (time, begins, series, bytes) in single {
            now[series] = if begins {
                now[series].saturating_add(bytes)
            } else {
                now[series].saturating_sub(bytes)
            };
            match changes.last_mut() {
                Some((last, values)) if *last == time => values.clone_from(&now),
                _ => changes.push((time, now.clone())),
            }
        }
        Self {
            names,
            others,
            changes,
        }
    }

    /// For each column the state in which most was held in all.
    pub(super) fn columns(&self, grid: Grid) -> Vec<Vec<u64>> {
        let total = |values: &[u64]| values.iter().fold(0_u64, |sum, x| sum.saturating_add(*x));
        let mut columns = vec![vec![0; self.names.len()]; grid.columns];
        let mut now = vec![0; self.names.len()];
        let mut next = 0;
        for (index, column) in columns.iter_mut().enumerate() {
            column.clone_from(&now);
            while let Some((time, values)) = self.changes.get(next)
                && grid.column_of(*time) <= index
            {
                now.clone_from(values);
                if total(values) > total(column) {
                    column.clone_from(values);
                }
                next += 1;
            }
        }
        columns
    }
}

/// A duration in columns of equal length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) columns: usize,
    pub(super) seconds: f64,
}

impl Grid {
    pub(super) fn new(columns: usize, duration: Duration) -> Self {
        Self {
            columns: columns.max(1),
            seconds: duration.as_secs_f64().max(1e-9),
        }
    }

    pub(super) fn column_of(self, time: Duration) -> usize {
        let part = time.as_secs_f64() / self.seconds;
        ((part * self.columns as f64) as usize).min(self.columns - 1)
    }

    /// When a column begins, in seconds.
    pub(super) fn begin(self, column: usize) -> f64 {
        self.seconds * column as f64 / self.columns as f64
    }

    /// For each column the highest value in it; none before the first.
    pub(super) fn highest(self, steps: &[(Duration, u64)]) -> Vec<Option<u64>> {
        let mut now = None;
        let mut next = 0;
        (0..self.columns)
            .map(|index| {
                let mut highest = now;
                while let Some((time, value)) = steps.get(next)
                    && self.column_of(*time) <= index
                {
                    now = Some(*value);
                    highest = highest.max(now);
                    next += 1;
                }
                highest
            })
            .collect()
    }
}

impl Recording {
    /// The limit in force.
    pub(super) fn limit(&self) -> Steps {
        let mut steps: Steps = Vec::new();
        if self.dropped == 0 {
            steps.push((Duration::ZERO, self.at_start.applied));
        }
        let from_events = self.events.iter().filter_map(|event| {
            let applied = match event.kind {
                EventKind::BaselineRestored => Some(event.baseline),
                _ => event.applied,
            };
            Some((self.after_begin(event.time), applied?))
        });
        // Where events are missing. What is told of the same moment has come after it.
        steps.extend(self.samples_of(|sample| Some(sample.applied)));
        steps.extend(from_events);
        steps.sort_by_key(|(time, _)| *time);
        steps.dedup_by_key(|(_, value)| *value);
        steps
    }

    /// How many acquires wait.
    pub(super) fn waiting(intervals: &[Interval]) -> Steps {
        let mut changes: Vec<(Duration, i64)> = intervals
            .iter()
            .filter(|it| it.what == What::Wait)
            .flat_map(|wait| [(wait.from, 1), (wait.to, -1)])
            .collect();
        changes.sort_unstable();
        let mut now = 0_i64;
        let mut steps: Steps = vec![(Duration::ZERO, 0)];
        for (time, change) in changes {
            now += change;
            let value = u64::try_from(now).unwrap_or(0);
            match steps.last_mut() {
                Some((last, latest)) if *last == time => *latest = value,
                _ => steps.push((time, value)),
            }
        }
        steps
    }

    /// Something of each sample that has it.
    pub(super) fn samples_of(&self, value: impl Fn(&super::Sample) -> Option<u64>) -> Steps {
        let begin = self.begin();
        self.samples
            .iter()
            .filter(|sample| sample.time >= begin)
            .filter_map(|sample| Some((self.after_begin(sample.time), value(sample)?)))
            .collect()
    }

    /// What the live guards might have been together, where that was one number.
    pub(super) fn cap(&self) -> Option<u64> {
        self.samples.iter().rev().find_map(|sample| sample.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_column_shows_the_highest_and_keeps_the_last() {
        let grid = Grid::new(4, 4 * SECOND);
        let steps = [(SECOND, 5), (SECOND + SECOND / 2, 9), (SECOND * 7 / 4, 2)];
        assert_eq!(grid.highest(&steps), [None, Some(9), Some(2), Some(2)]);
        assert_eq!(grid.column_of(100 * SECOND), 3);
    }

    #[test]
    fn a_stack_is_a_state_that_was() {
        let demand = Demand {
            names: vec!["a".to_owned(), "b".to_owned()],
            others: 0,
            changes: vec![
                (Duration::ZERO, vec![4, 0]),
                (SECOND / 2, vec![0, 3]),
                (2 * SECOND, vec![1, 1]),
            ],
        };
        let columns = demand.columns(Grid::new(3, 3 * SECOND));
        // Not 4 and 3: they were not held together.
        assert_eq!(columns, [[4, 0], [0, 3], [0, 3]]);
    }
}
