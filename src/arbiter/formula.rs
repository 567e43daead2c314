//! The closed forms of the built-in policies, which the fast path can decide without calling them.

/// The argument of [`Policy::formula`](crate::Policy::formula), which only this crate can give.
///
/// ```compile_fail,E0061
/// use mlx_wired::{Policy, SumPolicy};
/// let _formula = SumPolicy::new().formula();
/// ```
///
/// ```compile_fail,E0603
/// use mlx_wired::policy::Sealed;
/// ```
///
/// ```compile_fail,E0053
/// use mlx_wired::{Context, Policy, PolicyId, Sizes};
///
/// struct Mine;
///
/// impl Policy for Mine {
///     fn id(&self) -> PolicyId {
///         PolicyId::named("mine")
///     }
///     fn limit(&self, _: &Context, _: &Sizes<'_>) -> u64 {
///         0
///     }
///     fn formula(&self, _: ()) {}
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Sealed(());

impl Sealed {
    pub(crate) const KEY: Self = Self(());
}

/// How the limit of a group follows from its live guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Formula {
    /// Only the policy's own methods know.
    Custom,
    /// baseline + base + sum, at most the cap; refuses what goes over it.
    Sum { base: u64, cap: Cap },
    /// baseline + max.
    Max,
    /// max(baseline, max).
    Peak,
    /// A constant.
    Fixed(u64),
}

/// The cap of a [`Formula::Sum`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cap {
    /// Never refuses.
    None,
    /// What the device can hold.
    Device,
    /// This many bytes.
    Bytes(u64),
}

/// What a closed form's limit grows with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    Sum,
    Largest,
}

/// A formula whose device cap has been looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    Custom,
    Sum { base: u64, cap: u64 },
    Max,
    Peak,
    Fixed(u64),
}

impl Formula {
    /// Fills in what the device can hold; an unknown budget is no cap.
    pub(crate) fn resolve(self, budget: Option<u64>) -> Resolved {
        match self {
            Self::Custom => Resolved::Custom,
            Self::Sum { base, cap } => Resolved::Sum {
                base,
                cap: match cap {
                    Cap::None => u64::MAX,
                    Cap::Device => budget.unwrap_or(u64::MAX),
                    Cap::Bytes(bytes) => bytes,
                },
            },
            Self::Max => Resolved::Max,
            Self::Peak => Resolved::Peak,
            Self::Fixed(bytes) => Resolved::Fixed(bytes),
        }
    }
}

impl Resolved {
    pub(crate) fn basis(self) -> Basis {
        match self {
            Self::Max | Self::Peak => Basis::Largest,
            Self::Custom | Self::Sum { .. } | Self::Fixed(_) => Basis::Sum,
        }
    }

    /// Whether it can refuse a demand.
    pub(crate) fn can_refuse(self) -> bool {
        matches!(self, Self::Sum { cap, .. } if cap != u64::MAX)
    }

    /// The limit for a basis of `x` bytes. Never called for [`Resolved::Custom`].
    pub(crate) fn limit(self, baseline: u64, x: u64) -> u64 {
        match self {
            Self::Custom => unreachable!("a custom policy computes its own limit"),
            Self::Sum { base, cap } => baseline.saturating_add(base).saturating_add(x).min(cap),
            Self::Max => baseline.saturating_add(x),
            Self::Peak => baseline.max(x),
            Self::Fixed(bytes) => bytes,
        }
    }

    /// One more than the largest basis whose limit is at most `limit`; 0 if there is none, and
    /// `u64::MAX` if every basis is covered.
    pub(crate) fn covered(self, baseline: u64, limit: u64) -> u64 {
        let room = |start: u64| limit.checked_sub(start).map_or(0, |x| x.saturating_add(1));
        match self {
            Self::Custom => 0,
            Self::Sum { cap, .. } if limit >= cap => u64::MAX,
            Self::Sum { base, .. } => room(baseline.saturating_add(base)),
            Self::Max => room(baseline),
            Self::Peak if limit < baseline => 0,
            Self::Peak => limit.saturating_add(1),
            Self::Fixed(bytes) if limit >= bytes => u64::MAX,
            Self::Fixed(_) => 0,
        }
    }

    /// One more than the largest sum that is admitted when the baseline counts as `baseline`; 0 if not even an
    /// empty demand is.
    pub(crate) fn admitted(self, baseline: u64) -> u64 {
        match self {
            Self::Sum { base, cap } if cap != u64::MAX => cap
                .checked_sub(baseline.saturating_add(base))
                .map_or(0, |room| room.saturating_add(1)),
            _ => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Resolved; 6] = [
        Resolved::Sum {
            base: 0,
            cap: u64::MAX,
        },
        Resolved::Sum { base: 3, cap: 20 },
        Resolved::Sum { base: 3, cap: 2 },
        Resolved::Max,
        Resolved::Peak,
        Resolved::Fixed(7),
    ];

    #[test]
    fn covered_is_the_inverse_of_limit() {
        for formula in ALL {
            for baseline in 0..12 {
                for limit in 0..40 {
                    let covered = formula.covered(baseline, limit);
                    for x in 0..60 {
                        assert_eq!(
                            x < covered,
                            formula.limit(baseline, x) <= limit,
                            "{formula:?} baseline {baseline} limit {limit} x {x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_wraps() {
        for formula in ALL {
            for value in [0, 1, u64::MAX - 1, u64::MAX] {
                for other in [0, 1, u64::MAX] {
                    let limit = formula.limit(value, other);
                    assert!(limit >= value.min(2), "{formula:?}");
                    let _covered = formula.covered(value, other);
                    let _admitted = formula.admitted(value);
                }
            }
        }
    }

    #[test]
    fn admitted_is_what_the_cap_leaves() {
        let sum = Resolved::Sum { base: 3, cap: 20 };
        assert_eq!(sum.admitted(0), 18);
        assert_eq!(sum.admitted(17), 1);
        assert_eq!(sum.admitted(18), 0);
        assert_eq!(Resolved::Max.admitted(9), u64::MAX);
    }
}
