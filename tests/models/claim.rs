//! A demand in the oracle's words.

/// How a group's limit follows from its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Sum,
    Capped(u64),
    /// Capped by the device.
    Device,
    Max,
    Peak,
    Fixed(u64),
    /// A `BudgetPolicy`: the base, and the cap.
    Budget(u64, u64),
    /// A policy that is not built in: baseline + sum, within a cap.
    Custom(u64),
    /// Another, with more above the sum.
    Own {
        extra: u64,
        cap: u64,
    },
}

impl Form {
    pub(crate) fn limit(self, baseline: u64, sizes: impl Iterator<Item = u64>) -> u64 {
        match self {
            // The oracle clamps what is called for to the ceiling.
            Self::Sum | Self::Device | Self::Custom(_) => baseline + sizes.sum::<u64>(),
            Self::Capped(cap) => (baseline + sizes.sum::<u64>()).min(cap),
            Self::Max => baseline + sizes.max().unwrap_or(0),
            Self::Peak => baseline.max(sizes.max().unwrap_or(0)),
            Self::Fixed(bytes) => bytes,
            Self::Budget(base, cap) => (baseline + base + sizes.sum::<u64>()).min(cap),
            Self::Own { extra, .. } => baseline + extra + sizes.sum::<u64>(),
        }
    }

    pub(crate) fn cap(self, ceiling: u64) -> Option<u64> {
        match self {
            Self::Capped(cap) | Self::Custom(cap) | Self::Own { cap, .. } => Some(cap),
            Self::Budget(base, cap) => Some(cap.saturating_sub(base)),
            Self::Device => Some(ceiling),
            Self::Sum | Self::Max | Self::Peak | Self::Fixed(_) => None,
        }
    }
}

/// What one guard counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) group: &'static str,
    pub(crate) form: Form,
    pub(crate) bytes: u64,
    pub(crate) driving: bool,
}
