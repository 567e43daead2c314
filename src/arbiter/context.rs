//! What a policy is told.

use crate::mode::WireMode;

/// What a policy is told about the manager. Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Context {
    /// In [`Policy::can_admit`](crate::Policy::can_admit): the configured override, else 0. In [`Policy::limit`](crate::Policy::limit): the epoch's
    /// baseline, which is what MLX's limit was before.
    pub baseline: u64,
    /// The highest limit that will ever be set; `None` where there is no wired memory.
    pub ceiling: Option<u64>,
    /// What a policy capped by the device may hold now: see [`Manager::budget`](crate::Manager::budget).
    pub budget: Option<u64>,
    /// The sum over the live guards of all groups.
    pub total_live: u64,
    /// The memory of the machine, or of the card.
    pub memory_size: Option<u64>,
    /// Whether the manager sets MLX's limit.
    pub mode: WireMode,
    /// How scarce memory is, from 0 (none) to 1 (critical), as last reported by
    /// [`Manager::set_pressure`](crate::Manager::set_pressure).
    pub pressure: f64,
}

/// The live guards of one group. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sizes<'a> {
    /// How many there are.
    pub count: u64,
    /// Their sum; saturates.
    pub sum: u64,
    /// The largest, 0 if there is none.
    pub max: u64,
    /// Each one, in descending order, if [`Policy::wants_sizes`](crate::Policy::wants_sizes) asks for it; else empty.
    pub each: &'a [u64],
}

impl<'a> Sizes<'a> {
    /// The sizes of an empty group.
    pub const EMPTY: Sizes<'static> = Sizes {
        count: 0,
        sum: 0,
        max: 0,
        each: &[],
    };

    /// Describes `each`, which must be in descending order.
    #[must_use]
    pub fn of(each: &'a [u64]) -> Self {
        Self {
            count: each.len() as u64,
            sum: each.iter().fold(0, |sum, size| sum.saturating_add(*size)),
            max: each.first().copied().unwrap_or(0),
            each,
        }
    }
}
