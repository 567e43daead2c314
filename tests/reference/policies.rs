//! The policies of the scripts: each once as the library sees it and once as plain arithmetic.

use mlx_wired::{
    BudgetPolicy, Context, FixedPolicy, MaxPolicy, PeakPolicy, Policy, PolicyId, Sizes, SumPolicy,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a capped sum is capped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cap {
    Nothing,
    Device,
    Bytes(u64),
}

/// A policy as arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Sum {
        base: u64,
        cap: Cap,
    },
    Max,
    Peak,
    Fixed(u64),
    /// Admits up to 50 bytes while a gate outside is open; calls for something extra from outside.
    Gated,
    /// Admits so many guards; calls for the two largest.
    Few(u64),
    /// The same group as `Few`; calls for the sum.
    Many(u64),
    /// Admits while there is little pressure and little live in all groups.
    Calm,
    /// Never refuses; calls for twice the largest.
    Free,
}

/// The state outside that policies depend on, as the model keeps it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct World {
    pub(crate) gate_open: bool,
    pub(crate) extra: u64,
    pub(crate) pressure: f64,
}

impl World {
    pub(crate) const FRIENDLY: Self = Self {
        gate_open: true,
        extra: 0,
        pressure: 0.0,
    };
}

/// What an admission is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judging {
    /// The configured override, else 0.
    pub(crate) baseline: u64,
    /// What the device can hold.
    pub(crate) device: u64,
    /// Over all groups.
    pub(crate) total_live: u64,
    pub(crate) world: World,
}

pub(crate) const GATED_CAP: u64 = 50;
pub(crate) const CALM_TOTAL: u64 = 90;

/// The entries of the menu that [`group`], [`rule`] and [`policy`] know.
pub(crate) const ALL: &[usize] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
];
/// Those that are no policies of the user's own.
pub(crate) const BUILT_IN: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 18, 19];

/// Which group the menu's entry belongs to: entries of one name share their guards.
pub(crate) fn group(entry: usize) -> &'static str {
    [
        "uncapped",
        "capped",
        "device",
        "max",
        "peak",
        "fixed 30",
        "fixed 120",
        "shared",
        "shared",
        "shared",
        "gated",
        "few",
        "few",
        "calm",
        "free",
        "shared max",
        "uncapped",
        "capped",
        "capped",
        "max",
    ][entry]
}

pub(crate) fn rule(entry: usize) -> Rule {
    let sum = |base, cap| Rule::Sum { base, cap };
    match entry {
        0 | 16 => sum(0, Cap::Nothing),
        1 | 17 | 18 => sum(0, Cap::Bytes(60)),
        2 => sum(0, Cap::Device),
        3 | 15 | 19 => Rule::Max,
        4 => Rule::Peak,
        5 => Rule::Fixed(30),
        6 => Rule::Fixed(120),
        7 => sum(5, Cap::Bytes(50)),
        8 => sum(10, Cap::Bytes(80)),
        9 => sum(0, Cap::Bytes(40)),
        10 => Rule::Gated,
        11 => Rule::Few(2),
        12 => Rule::Many(4),
        13 => Rule::Calm,
        14 => Rule::Free,
        _ => panic!("no such entry"),
    }
}

/// How many active guards its group may have with a new one (R32).
pub(crate) fn most(entry: usize) -> Option<u64> {
    match entry {
        16 | 18 => Some(2),
        17 | 19 => Some(1),
        _ => None,
    }
}

impl Rule {
    /// Whether it is the user's own.
    pub(crate) fn is_custom(self) -> bool {
        !matches!(
            self,
            Self::Sum { .. } | Self::Max | Self::Peak | Self::Fixed(_)
        )
    }

    /// The limit that a group of these sizes calls for.
    pub(crate) fn limit(self, baseline: u64, device: u64, extra: u64, sizes: &[u64]) -> u64 {
        let sum = sizes
            .iter()
            .fold(0, |sum: u64, size| sum.saturating_add(*size));
        let largest = sizes.iter().max().copied().unwrap_or(0);
        match self {
            Self::Sum { base, cap } => {
                let limit = baseline.saturating_add(base).saturating_add(sum);
                match cap {
                    Cap::Nothing => limit,
                    Cap::Device => limit.min(device),
                    Cap::Bytes(cap) => limit.min(cap),
                }
            }
            Self::Max => baseline.saturating_add(largest),
            Self::Peak => baseline.max(largest),
            Self::Fixed(bytes) => bytes,
            Self::Gated => baseline.saturating_add(sum).saturating_add(extra),
            Self::Few(_) => {
                let mut sorted = sizes.to_vec();
                sorted.sort_unstable();
                let two = sorted.iter().rev().take(2);
                two.fold(baseline, |sum, size| sum.saturating_add(*size))
            }
            Self::Many(_) | Self::Calm => baseline.saturating_add(sum),
            Self::Free => largest.saturating_mul(2),
        }
    }

    /// The most that the group may hold, if the rule is a built-in one that refuses.
    pub(crate) fn capacity(self, baseline: u64, device: u64) -> Option<u64> {
        let Self::Sum { base, cap } = self else {
            return None;
        };
        let cap = match cap {
            Cap::Nothing => return None,
            Cap::Device => device,
            Cap::Bytes(cap) => cap,
        };
        Some(cap.saturating_sub(baseline.saturating_add(base)))
    }

    /// Whether a demand of `new` bytes may join a group of these sizes.
    pub(crate) fn admits(self, now: &Judging, sizes: &[u64], new: u64) -> bool {
        let sum = sizes
            .iter()
            .fold(new, |sum, size| sum.saturating_add(*size));
        match self {
            Self::Sum { base, cap } => {
                let needed = now.baseline.saturating_add(base).saturating_add(sum);
                match cap {
                    Cap::Nothing => true,
                    Cap::Device => needed <= now.device,
                    Cap::Bytes(cap) => needed <= cap,
                }
            }
            Self::Gated => now.world.gate_open && sum <= GATED_CAP,
            Self::Few(most) | Self::Many(most) => (sizes.len() as u64) < most,
            Self::Calm => {
                let total = now.total_live.saturating_add(new);
                now.world.pressure < 0.5 && total <= CALM_TOTAL
            }
            Self::Max | Self::Peak | Self::Fixed(_) | Self::Free => true,
        }
    }

    /// Whether it could be admitted at the best of times.
    pub(crate) fn ever_admits(self, baseline: u64, device: u64, new: u64) -> bool {
        let best = Judging {
            baseline,
            device,
            total_live: 0,
            world: World::FRIENDLY,
        };
        self.admits(&best, &[], new)
    }
}

/// The state outside, as the library's policies read it.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) gate_open: AtomicBool,
    pub(crate) extra: AtomicU64,
}

/// A policy of the user's own, one of the last entries.
#[derive(Debug, Clone)]
struct Own {
    rule: Rule,
    outside: Arc<Outside>,
}

impl Policy for Own {
    fn id(&self) -> PolicyId {
        PolicyId::named(match self.rule {
            Rule::Few(_) | Rule::Many(_) => "few",
            Rule::Gated => "gated",
            Rule::Calm => "calm",
            _ => "free",
        })
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        match self.rule {
            Rule::Few(_) => {
                let two = live.each.iter().take(2);
                two.fold(context.baseline, |sum, size| sum.saturating_add(*size))
            }
            Rule::Free => live.max.saturating_mul(2),
            Rule::Gated => context
                .baseline
                .saturating_add(live.sum)
                .saturating_add(self.outside.extra.load(Ordering::SeqCst)),
            _ => context.baseline.saturating_add(live.sum),
        }
    }

    fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
        match self.rule {
            Rule::Few(most) | Rule::Many(most) => live.count < most,
            Rule::Gated => {
                self.outside.gate_open.load(Ordering::SeqCst)
                    && live.sum.saturating_add(new) <= GATED_CAP
            }
            Rule::Calm => {
                context.pressure < 0.5 && context.total_live.saturating_add(new) <= CALM_TOTAL
            }
            _ => true,
        }
    }

    fn can_ever_admit(&self, context: &Context, new: u64) -> bool {
        if self.rule == Rule::Gated {
            return new <= GATED_CAP;
        }
        let mut best = context.clone();
        best.total_live = 0;
        best.pressure = 0.0;
        self.can_admit(&best, &Sizes::EMPTY, new)
    }

    fn can_refuse(&self) -> bool {
        self.rule != Rule::Free
    }

    fn wants_sizes(&self) -> bool {
        matches!(self.rule, Rule::Few(_))
    }
}

/// The library's policy for a menu's entry.
pub(crate) fn policy(entry: usize, outside: &Arc<Outside>) -> Arc<dyn Policy> {
    let shared = || PolicyId::named("shared");
    match entry {
        0 => Arc::new(SumPolicy::uncapped()),
        1 => Arc::new(SumPolicy::capped(60)),
        2 => Arc::new(SumPolicy::new()),
        3 => Arc::new(MaxPolicy::new()),
        4 => Arc::new(PeakPolicy),
        5 => Arc::new(FixedPolicy::new(30)),
        6 => Arc::new(FixedPolicy::new(120)),
        7 => Arc::new(BudgetPolicy::new(5).with_cap(50).with_id(shared())),
        8 => Arc::new(BudgetPolicy::new(10).with_cap(80).with_id(shared())),
        9 => Arc::new(SumPolicy::capped(40).with_id(shared())),
        15 => Arc::new(MaxPolicy::new().with_id(shared())),
        16 => Arc::new(SumPolicy::uncapped().at_most(2)),
        17 => Arc::new(SumPolicy::capped(60).at_most(1)),
        18 => Arc::new(SumPolicy::capped(60).at_most(2)),
        19 => Arc::new(MaxPolicy::new().at_most(1)),
        _ => Arc::new(Own {
            rule: rule(entry),
            outside: outside.clone(),
        }),
    }
}
