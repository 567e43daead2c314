//! The built-in policies.

use super::{AtMost, Policy};
use crate::arbiter::{Basis, Cap, Context, Formula, PolicyId, Resolved, Sealed, Sizes};

/// baseline + the sum of the live sizes, at most a cap; waits while a demand would go over it.
///
/// `new` is capped by what the device can hold, `uncapped` never refuses and is mlx-swift's
/// `WiredSumPolicy()`. Policies with equal caps share a group, unless they are given
/// [ids](SumPolicy::with_id).
///
/// ```
/// use mlx_wired::{Policy, SumPolicy};
/// assert_eq!(SumPolicy::capped(1 << 30).id(), SumPolicy::capped(1 << 30).id());
/// assert_ne!(SumPolicy::capped(1 << 30).id(), SumPolicy::uncapped().id());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SumPolicy {
    cap: Cap,
    id: Option<PolicyId>,
}

impl SumPolicy {
    /// Capped by what the device can hold now, less the configured margin and reserve:
    /// [`Manager::budget`](crate::Manager::budget).
    #[must_use]
    pub const fn new() -> Self {
        Self {
            cap: Cap::Device,
            id: None,
        }
    }

    /// Capped by `bytes`.
    #[must_use]
    pub const fn capped(bytes: u64) -> Self {
        Self {
            cap: Cap::Bytes(bytes),
            id: None,
        }
    }

    /// Without a cap: admits always.
    #[must_use]
    pub const fn uncapped() -> Self {
        Self {
            cap: Cap::None,
            id: None,
        }
    }

    /// Gives it a group of its own. In a group of several caps the newest admitted policy's counts.
    #[must_use]
    pub fn with_id(mut self, id: PolicyId) -> Self {
        self.id = Some(id);
        self
    }
}

impl Default for SumPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// baseline + the largest live size; admits always. mlx-swift's `WiredMaxPolicy`.
///
/// All share a group, unless they are given [ids](MaxPolicy::with_id).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MaxPolicy {
    id: Option<PolicyId>,
}

impl MaxPolicy {
    /// A policy of the common group.
    #[must_use]
    pub const fn new() -> Self {
        Self { id: None }
    }

    /// Gives it a group of its own.
    #[must_use]
    pub fn with_id(mut self, id: PolicyId) -> Self {
        self.id = Some(id);
        self
    }
}

/// The larger of the baseline and the largest live size; admits always. mlx-swift-lm's `WiredMaxPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PeakPolicy;

/// A constant limit while anything lives; admits always. mlx-swift-lm's `WiredFixedPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FixedPolicy {
    bytes: u64,
}

impl FixedPolicy {
    /// The limit, in bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { bytes }
    }
}

/// baseline + a fixed base + the sum of the live sizes, at most a cap. mlx-swift-lm's
/// `WiredBudgetPolicy`.
///
/// Each `new` makes a group of its own; clones share it, and so do policies given the same
/// [id](BudgetPolicy::with_id). In a shared group the newest admitted policy's base and cap count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetPolicy {
    base: u64,
    cap: Option<u64>,
    id: PolicyId,
}

impl BudgetPolicy {
    /// `base` bytes on top of the live sizes, capped by what the device can hold.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self {
            base,
            cap: None,
            id: PolicyId::unique(),
        }
    }

    /// Sets the cap in bytes.
    #[must_use]
    pub fn with_cap(mut self, bytes: u64) -> Self {
        self.cap = Some(bytes);
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: PolicyId) -> Self {
        self.id = id;
        self
    }
}

/// A built-in policy's methods follow from its formula.
macro_rules! by_formula {
    ($type:ty, |$self:ident| $formula:expr, |$id_self:ident| $id:expr) => {
        impl $type {
            /// Admits an active demand beside at most `n` - 1 active guards of its group: see [`AtMost`].
            #[must_use]
            pub const fn at_most(self, n: usize) -> AtMost<Self> {
                AtMost::new(self, n)
            }
        }

        impl Policy for $type {
            fn id(&self) -> PolicyId {
                let $id_self = self;
                $id
            }

            fn formula(&self, _: Sealed) -> Formula {
                let $self = self;
                $formula
            }

            fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
                let formula = self.formula(Sealed::KEY).resolve(context.budget);
                formula.limit(context.baseline, basis(formula, live))
            }

            fn can_admit(&self, context: &Context, live: &Sizes<'_>, new: u64) -> bool {
                let formula = self.formula(Sealed::KEY).resolve(context.budget);
                !self.can_refuse()
                    || live.sum.saturating_add(new) < formula.admitted(context.baseline)
            }

            fn can_refuse(&self) -> bool {
                !matches!(
                    self.formula(Sealed::KEY),
                    Formula::Max
                        | Formula::Peak
                        | Formula::Fixed(_)
                        | Formula::Sum { cap: Cap::None, .. }
                )
            }
        }
    };
}

fn basis(formula: Resolved, live: &Sizes<'_>) -> u64 {
    match formula.basis() {
        Basis::Sum => live.sum,
        Basis::Largest => live.max,
    }
}

by_formula!(
    SumPolicy,
    |policy| Formula::Sum {
        base: 0,
        cap: policy.cap
    },
    |policy| policy.id.clone().unwrap_or_else(|| PolicyId::of(policy))
);
by_formula!(MaxPolicy, |_policy| Formula::Max, |policy| policy
    .id
    .clone()
    .unwrap_or_else(|| PolicyId::of(policy)));
by_formula!(PeakPolicy, |_policy| Formula::Peak, |policy| PolicyId::of(
    policy
));
by_formula!(
    FixedPolicy,
    |policy| Formula::Fixed(policy.bytes),
    |policy| PolicyId::of(policy)
);
by_formula!(
    BudgetPolicy,
    |policy| Formula::Sum {
        base: policy.base,
        cap: policy.cap.map_or(Cap::Device, Cap::Bytes),
    },
    |policy| policy.id.clone()
);
