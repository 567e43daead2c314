//! Memory at points in time.

use crate::ffi::MemoryCounters;
use crate::manager::inner::Inner;
use std::time::Instant;

/// The state of memory at a moment. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Sample {
    /// When, on the manager's clock.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::instant"))]
    pub time: Instant,
    /// The limit that was applied last.
    pub applied: u64,
    /// The sizes of the live guards together.
    pub demand: u64,
    /// What they may be together: the budget over all groups, or the cap of the only group that lives.
    pub cap: Option<u64>,
    /// How many acquires wait.
    pub waiting: u64,
    /// MLX's counters, where there are any.
    pub memory: Option<MemoryCounters>,
}

impl Inner {
    /// A sample with the counters that were read just before.
    pub(super) fn sample(&self, memory: Option<MemoryCounters>) -> Sample {
        let core = self.lock();
        let mut live = core
            .listed_groups()
            .filter(|state| state.is_live(state.shared.load()) || !state.queue.is_empty());
        let only = live.next().filter(|_| live.next().is_none());
        let only_cap = only.and_then(|state| self.capacity_of(&core, state.resolved));
        Sample {
            time: self.clock.now(),
            applied: core.in_force(),
            demand: core.total_live(),
            cap: core.config.budget.or(only_cap),
            waiting: core.waiters(),
            memory,
        }
    }
}

/// Samples in bounded space: when it is full, every other one goes, and from then on every other one comes.
#[derive(Debug, Default)]
pub(super) struct Samples {
    kept: Vec<Sample>,
    /// The last one that was not kept: the end of a recording is always shown.
    last: Option<Sample>,
    /// One in 2 to the power of this is kept.
    thinned: u32,
    seen: u64,
}

impl Samples {
    const MOST: usize = 1 << 14;

    pub(super) fn push(&mut self, sample: Sample) {
        self.last = Some(sample);
        if self.seen.is_multiple_of(1 << self.thinned) {
            self.last = None;
            self.kept.push(sample);
        }
        self.seen += 1;
        if self.kept.len() == Self::MOST {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.thinned += 1;
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Sample> {
        self.kept.extend(self.last);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn samples_are_thinned_evenly_and_the_last_is_kept() {
        let start = Instant::now();
        let mut samples = Samples::default();
        let count = 5 * Samples::MOST as u64 + 7;
        for n in 0..count {
            samples.push(Sample {
                time: start + Duration::from_millis(n),
                applied: n,
                demand: 0,
                cap: None,
                waiting: 0,
                memory: None,
            });
        }
        let kept = samples.into_vec();
        assert!(kept.len() <= Samples::MOST);
        assert_eq!(
            (kept[0].applied, kept[kept.len() - 1].applied),
            (0, count - 1)
        );
        let steps: Vec<u64> = kept
            .windows(2)
            .map(|two| two[1].applied - two[0].applied)
            .collect();
        assert!(
            steps[..steps.len() - 1].iter().all(|step| *step == 8),
            "{:?}",
            &steps[..4]
        );
    }
}
