//! How ratios are measured: interleaved in one process, each timing between two of BASE, and medians.
//!
//! A machine that others use too is noisy for minutes at a time. Two things timed in the same few milliseconds
//! meet the same noise, so each timing is divided by the BASE before and after it. Where those two differ from
//! the usual BASE the machine was disturbed at that moment: only the calmer half of the timings counts.

use std::hint;
use std::thread;

/// What one subject costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Multiples of the first subject's.
    pub(crate) ratio: f64,
    /// In the unit of the timings.
    pub(crate) time: f64,
}

/// A timing of one subject, and those of BASE on both sides.
struct Timing {
    own: f64,
    before: f64,
    after: f64,
}

impl Timing {
    /// How unlike the usual the machine was: 0 if not at all.
    fn disturbance(&self, usual: f64) -> f64 {
        (self.before / usual).ln().abs() + (self.after / usual).ln().abs()
    }

    fn ratio(&self) -> f64 {
        self.own / f64::midpoint(self.before, self.after)
    }
}

/// One set: compares `count` subjects with the first one, BASE, each timed in `rounds` rounds. `time` times the
/// subject of that index once.
pub(crate) fn interleave(
    count: usize,
    rounds: usize,
    mut time: impl FnMut(usize) -> f64,
) -> Vec<Cost> {
    let others = count - 1;
    let mut timings: Vec<Vec<Timing>> = (0..others).map(|_| Vec::with_capacity(rounds)).collect();
    let mut base = vec![time(0)];
    for round in 0..rounds {
        for place in 0..others {
            // No subject always comes after the same neighbour's mess.
            let index = (place + round) % others;
            let before = base[base.len() - 1];
            let own = time(index + 1);
            let after = time(0);
            base.push(after);
            timings[index].push(Timing { own, before, after });
        }
    }
    let usual = median(base);
    let of_base = Cost {
        ratio: 1.0,
        time: usual,
    };
    let of_others = timings
        .into_iter()
        .map(|timings| calm_median(timings, usual));
    [of_base].into_iter().chain(of_others).collect()
}

/// What counts of several sets: the median of each subject's medians.
pub(crate) fn over_sets(sets: &[Vec<Cost>]) -> Vec<Cost> {
    let subjects = sets.first().map_or(0, Vec::len);
    (0..subjects)
        .map(|index| Cost {
            ratio: median(sets.iter().map(|set| set[index].ratio)),
            time: median(sets.iter().map(|set| set[index].time)),
        })
        .collect()
}

/// The medians of the calmer half.
fn calm_median(mut timings: Vec<Timing>, usual: f64) -> Cost {
    let disturbance = |timing: &Timing| timing.disturbance(usual);
    timings.sort_by(|one, other| disturbance(one).total_cmp(&disturbance(other)));
    timings.truncate(timings.len().div_ceil(2));
    Cost {
        ratio: median(timings.iter().map(Timing::ratio)),
        time: median(timings.iter().map(|timing| timing.own)),
    }
}

/// The median; 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Spins, but lets others run now and then: another program may have the core that is waited for.
pub(crate) fn spin_until(mut condition: impl FnMut() -> bool) {
    let mut turns = 0_u32;
    while !condition() {
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(1 << 14) {
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
    }
}

/// How many threads can run at once here.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
