//! What an execution is about: its settings, its groups, and how its threads are to behave.

use crate::claim::Form;
use crate::oracle::Oracle;
use crate::world::quiet;
use mlx_wired::{Config, OnApplyFailure, WireMode};
use shuttle::rand::{Rng, thread_rng};
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// True so many times in a hundred.
pub(super) fn chance(percent: u32) -> bool {
    thread_rng().gen_ratio(percent, 100)
}

pub(super) fn below(bound: usize) -> usize {
    thread_rng().gen_range(0..bound)
}

pub(super) fn pick<T: Copy>(from: &[T]) -> T {
    from[below(from.len())]
}

/// The settings that may change at any time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    pub(super) ratio: f64,
    cooldown: Duration,
    linger: Duration,
    overtaking: u64,
    pub(super) housekeeping: bool,
    stall_after: Option<Duration>,
}

impl Tuning {
    /// `all`: each by itself, else at most one of them is other than usual.
    pub(super) fn random(all: bool) -> Self {
        let one = below(6);
        let has = |setting| if all { chance(33) } else { one == setting };
        let second = |on: bool| if on { SECOND } else { Duration::ZERO };
        let overtakes = has(2);
        Self {
            ratio: pick(&[0.0, 0.0, 0.25, 0.5]),
            cooldown: second(has(0) || one == 1),
            linger: second(has(3)),
            overtaking: if overtakes { pick(&[1, 2]) } else { 0 },
            housekeeping: chance(50),
            stall_after: (all && chance(10)).then_some(SECOND),
        }
    }

    pub(super) fn of(self, config: Config) -> Config {
        config
            .shrink_threshold_ratio(self.ratio)
            .shrink_cooldown(self.cooldown)
            .linger(self.linger)
            .overtaking(self.overtaking)
            .housekeeping(self.housekeeping)
            .stall_after(self.stall_after)
    }
}

/// What a policy that is not built in does besides.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quirks {
    pub(super) wants_sizes: bool,
    pub(super) panics: bool,
    /// Releases what others have laid down.
    pub(super) releases: bool,
    /// Calls the manager when it is destroyed.
    pub(super) calls_back: bool,
}

/// A group, and the policies that may speak for it.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) forms: Vec<Form>,
    pub(super) quirks: Quirks,
}

impl Kind {
    fn random(unit: u64) -> Self {
        // Where only what the word can count may refuse.
        let kinds = if unit > 1 << 40 { 6 } else { 23 };
        let own = |extra, cap| Form::Own {
            extra: extra * unit,
            cap: cap * unit,
        };
        let mut quirks = Quirks {
            wants_sizes: chance(50),
            panics: false,
            releases: false,
            calls_back: chance(25),
        };
        let (group, forms) = match below(kinds) {
            0..=1 => ("sum", vec![Form::Sum]),
            2 => ("capped", vec![Form::Capped(8 * unit)]),
            3 => ("device", vec![Form::Device]),
            4..=5 => ("max", vec![Form::Max]),
            6 => ("peak", vec![Form::Peak]),
            7 => ("nine", vec![Form::Fixed(9 * unit)]),
            8..=10 => ("four", vec![Form::Fixed(4 * unit)]),
            11..=13 => {
                let forms = [
                    Form::Capped(10 * unit),
                    Form::Budget(6 * unit, 15 * unit),
                    Form::Budget(2 * unit, 9 * unit),
                ];
                ("mixed", forms.to_vec())
            }
            14..=16 => ("own", vec![own(4, 9)]),
            17..=18 => ("owns", vec![own(0, 8), own(5, 8)]),
            19 => {
                quirks.releases = true;
                ("releasing", vec![own(3, 8)])
            }
            20 => {
                quirks.panics = true;
                ("panicking", vec![own(4, 9)])
            }
            _ => ("zero", vec![Form::Fixed(0)]),
        };
        Self {
            group,
            forms,
            quirks,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) mode: WireMode,
    /// What sizes and limits are multiples of.
    pub(super) unit: u64,
    pub(super) sizes: Vec<u64>,
    /// MLX's limit at first.
    pub(super) initial: u64,
    pub(super) baseline_override: Option<u64>,
    pub(super) ceiling: u64,
    pub(super) budget: Option<u64>,
    pub(super) tuning: Tuning,
    pub(super) kinds: Vec<Kind>,
    pub(super) threads: usize,
    pub(super) operations: usize,
    /// How many calls fail, somewhere or one after the other.
    pub(super) failures: usize,
    pub(super) fails_on: bool,
    pub(super) proceeds: bool,
    synchronizes: bool,
    /// Settings change meanwhile.
    pub(super) configures: bool,
    /// Caps give way, and the pressure comes and goes. No patience ends: what is forgotten hangs.
    pub(super) is_elastic: bool,
    /// Somebody subscribes now and then.
    pub(super) subscribes: bool,
    /// There are reservations and residents. Without them the order of service is checked; with them a waiter may be set
    /// aside, and is passed then (R26a).
    pub(super) holds: bool,
    /// How many in a hundred are reservations.
    pub(super) reservations: u32,
    /// How many in a hundred holds are evictable, and want room.
    pub(super) evictable: u32,
    pub(super) roomy: u32,
    /// How many in a hundred wait for so long, or until they are cancelled.
    pub(super) bounded: u32,
    /// Guards are laid down for others to release.
    pub(super) lays_down: bool,
    /// Guards are acquired and released, and that is all.
    pub(super) only_comes_and_goes: bool,
}

impl Plan {
    /// `rich`: of every setting. Else of at most one that is unusual, so that what happens with that happens often.
    pub(super) fn random(rich: bool) -> Self {
        let one = below(12);
        let has = |number, percent| if rich { chance(percent) } else { one == number };
        let unit = pick(&[1, 1, 1, 1, 1, 1, 1, 3 << 30, 3 << 30, 1 << 42]);
        let sizes = if unit > 1 << 40 { 4 } else { 7 };
        let mode = match below(16) {
            0 if rich => WireMode::Never,
            1 if rich => WireMode::Uncoordinated,
            _ => WireMode::Auto,
        };
        let crowded = chance(30);
        let least = if crowded && sizes > 4 { 3 } else { 0 };
        let is_set = mode == WireMode::Auto && chance(33);
        let overridden = has(0, 40).then(|| pick(&[0, 3]) * unit);
        let mut plan = Self {
            mode,
            unit,
            sizes: (0..=below(3))
                .map(|_| (least + below(sizes - least)) as u64 * unit)
                .collect(),
            initial: if is_set { 5 * unit } else { 0 },
            baseline_override: overridden,
            ceiling: if has(1, 40) { 9 } else { 1000 } * unit,
            budget: has(2, 50).then(|| pick(&[8, 12]) * unit),
            tuning: Tuning::random(rich),
            kinds: (0..pick(&[1, 2, 2, 3]))
                .map(|_| Kind::random(unit))
                .collect(),
            threads: if crowded { 3 } else { pick(&[2, 2, 3]) },
            operations: pick(&[1, 1, 2, 3]),
            failures: if has(3, 50) || one == 4 {
                pick(&[1, 2])
            } else {
                0
            },
            fails_on: chance(50),
            proceeds: chance(40),
            synchronizes: chance(30),
            configures: has(5, 25),
            is_elastic: has(7, 33),
            subscribes: has(6, 25),
            holds: chance(70),
            reservations: pick(&[0, 0, 15, 50]),
            evictable: pick(&[0, 50, 100]),
            roomy: pick(&[0, 0, 50]),
            bounded: if crowded { 60 } else { 25 },
            lays_down: chance(70),
            only_comes_and_goes: chance(50),
        };
        // Asked once more, such a policy may change anything.
        plan.is_elastic &= !plan.is_moody();
        plan
    }

    pub(super) fn config(&self) -> Config {
        let failure = if self.proceeds {
            OnApplyFailure::Proceed
        } else {
            OnApplyFailure::Fail
        };
        self.tuning
            .of(quiet())
            .mode(self.mode)
            .budget(self.budget)
            .baseline_override(self.baseline_override)
            .on_apply_failure(failure)
            .elastic(self.is_elastic.then_some([1.0, 0.75, 0.5, 0.0]))
            .pressure_patience(Duration::MAX)
    }

    pub(super) fn oracle(&self) -> Oracle {
        let mut oracle = Oracle::new(self.initial, self.ceiling);
        if let Some(baseline) = self.baseline_override {
            oracle = oracle.overridden(baseline);
        }
        if self.synchronizes {
            oracle = oracle.synchronizing();
        }
        if self.proceeds {
            oracle.proceeds();
        }
        for kind in self.kinds.iter().filter(|kind| kind.quirks.panics) {
            oracle.may_panic(kind.group);
        }
        if self.mode != WireMode::Auto {
            oracle.unwired(self.mode == WireMode::Uncoordinated);
        }
        if self.mode != WireMode::Uncoordinated {
            oracle.set_budget(self.budget);
        }
        oracle
    }

    /// How often a waiter may be passed.
    pub(super) fn overtaking(&self) -> u64 {
        if self.holds {
            u64::MAX
        } else if self.configures {
            2
        } else {
            self.tuning.overtaking
        }
    }

    /// The most that a hold may want to be left.
    pub(super) fn largest_room(&self) -> u64 {
        let wanted = self.holds && self.roomy > 0;
        let sizes = self.sizes.iter().copied();
        sizes.max().filter(|_| wanted).unwrap_or(0)
    }

    pub(super) fn size(&self) -> u64 {
        self.sizes[below(self.sizes.len())]
    }

    /// Whether a policy that is asked twice may change anything.
    pub(super) fn is_moody(&self) -> bool {
        self.kinds
            .iter()
            .any(|kind| kind.quirks.panics || kind.quirks.releases)
    }
}
