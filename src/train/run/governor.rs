//! The governor of MLX's cache: its limit follows what the last steps needed for a while.
//!
//! A step frees what it needed for a while, and the next one takes that from the cache. So the cache is worth about what one
//! step needs, twice that where shapes differ; more only takes memory from other work. To set the limit waits for the work
//! of all threads on MLX's CPU build, so it is set seldom, and only when it is wrong by much.

use std::time::{Duration, Instant};

/// How many steps are looked at before the first decision.
const WARM_UP: u64 = 3;
/// How many steps lie between two decisions, at least.
const STEPS: u64 = 16;
/// And how much time.
const TIME: Duration = Duration::from_millis(500);
/// Below this a cache saves nothing.
const LEAST: u64 = 16 << 20;

/// What is to be done about the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing.
    Keep,
    /// Set its limit.
    Limit(u64),
    /// Memory is short: empty it, and set its limit.
    Clear(u64),
}

/// What a step showed. Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    pub(super) step: u64,
    pub(super) peak: u64,
    pub(super) active: u64,
    pub(super) cache: u64,
    pub(super) budget: Option<u64>,
    pub(super) now: Instant,
}

/// Follows the steps.
#[derive(Debug, Default)]
pub(super) struct Governor {
    /// The largest of the last steps: of late, and before.
    needs: (u64, u64),
    peaks: (u64, u64),
    counted: u64,
    decided: Option<(u64, Instant)>,
}

impl Governor {
    /// What the last steps needed for a while, at most.
    pub(super) fn need(&self) -> u64 {
        self.needs.0.max(self.needs.1)
    }

    pub(super) fn peak(&self) -> u64 {
        self.peaks.0.max(self.peaks.1)
    }

    /// Takes a step in.
    pub(super) fn note(&mut self, observed: &Observation) {
        if self.counted == STEPS {
            self.needs = (0, self.needs.0);
            self.peaks = (0, self.peaks.0);
            self.counted = 0;
        }
        self.counted += 1;
        self.needs.0 = self.needs.0.max(observed.peak - observed.active);
        self.peaks.0 = self.peaks.0.max(observed.peak);
    }

    /// Decides about a cache whose limit is `limit` now.
    pub(super) fn decide(&mut self, observed: &Observation, limit: u64) -> Decision {
        if observed.step < WARM_UP || !self.is_due(observed) {
            return Decision::Keep;
        }
        // What is left of the budget at the peak of the last steps.
        let room = observed
            .budget
            .map_or(u64::MAX, |budget| budget.saturating_sub(self.peak()));
        let want = self.need().saturating_mul(2).max(LEAST).min(room);
        let is_short = observed.budget.is_some_and(|budget| {
            let used = observed.active.saturating_add(observed.cache);
            used > budget - budget / 16
        });
        let decision = if is_short && observed.cache > 0 {
            Decision::Clear(want.min(limit))
        } else if want > limit.saturating_add(limit / 4) || want < limit / 2 {
            Decision::Limit(want)
        } else {
            Decision::Keep
        };
        if decision != Decision::Keep {
            self.decided = Some((observed.step, observed.now));
        }
        decision
    }

    fn is_due(&self, observed: &Observation) -> bool {
        self.decided.is_none_or(|(step, time)| {
            observed.step - step >= STEPS && observed.now.saturating_duration_since(time) >= TIME
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Plays steps a second apart on a budget, and returns the decisions that were not to keep the limit.
    fn play(budget: u64, limit: u64, steps: &[(u64, u64, u64)]) -> Vec<(u64, Decision)> {
        let (mut governor, begin) = (Governor::default(), Instant::now());
        let mut limit = limit * MIB;
        let mut decisions = Vec::new();
        for (step, (peak, active, cache)) in (1..).zip(steps) {
            let observed = Observation {
                step,
                peak: peak * MIB,
                active: active * MIB,
                cache: cache * MIB,
                budget: Some(budget * MIB),
                now: begin + Duration::from_secs(step),
            };
            governor.note(&observed);
            match governor.decide(&observed, limit) {
                Decision::Keep => {}
                decision @ (Decision::Limit(to) | Decision::Clear(to)) => {
                    limit = to;
                    decisions.push((step, decision));
                }
            }
        }
        decisions
    }

    #[test]
    fn the_limit_becomes_twice_what_a_step_needs_and_then_stays() {
        let steps = [(300, 200, 30); 500];
        assert_eq!(play(4096, 32, &steps), [(3, Decision::Limit(200 * MIB))]);
        // From MLX's default on Metal, which is no limit to speak of.
        assert_eq!(
            play(4096, 1 << 24, &steps),
            [(3, Decision::Limit(200 * MIB))]
        );
        // It was right already, or nearly.
        assert_eq!(play(4096, 190, &steps), []);
    }

    #[test]
    fn batches_of_different_sizes_do_not_move_it() {
        let steps: Vec<_> = (0..500)
            .map(|n| (220 + 40 * (n * 7 % 5), 200, 30))
            .collect();
        assert_eq!(play(4096, 32, &steps).len(), 1);
    }

    #[test]
    fn it_follows_larger_steps_and_slowly_smaller_ones() {
        let steps: Vec<_> = (0..200)
            .map(|n| {
                (
                    200 + if n < 50 {
                        100
                    } else if n < 100 {
                        300
                    } else {
                        20
                    },
                    200,
                    30,
                )
            })
            .collect();
        let decisions = play(4096, 32, &steps);
        let limits: Vec<u64> = decisions
            .iter()
            .map(|(_, decision)| match decision {
                Decision::Limit(to) => to / MIB,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(limits, [200, 600, 40]);
        assert_eq!(decisions[1].0, 51, "larger ones at once");
        assert!(
            decisions[2].0 > 116,
            "smaller ones when the larger are forgotten"
        );
    }

    #[test]
    fn it_never_takes_what_the_peak_needs() {
        assert_eq!(
            play(350, 32, &[(300, 100, 30); 100]),
            [(3, Decision::Limit(50 * MIB))]
        );
        assert_eq!(
            play(200, 32, &[(300, 100, 30); 100]),
            [(3, Decision::Limit(0))]
        );
    }

    #[test]
    fn where_memory_is_short_the_cache_is_emptied_but_not_each_step() {
        let decisions = play(1000, 1000, &[(700, 600, 380); 100]);
        assert_eq!(decisions[0], (3, Decision::Clear(200 * MIB)));
        let steps: Vec<u64> = decisions.iter().map(|(step, _)| *step).collect();
        assert!(
            steps.windows(2).all(|two| two[1] - two[0] >= STEPS),
            "{steps:?}"
        );
    }
}
