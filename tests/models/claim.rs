//! A demand in the oracle's words.

/// How a group's limit follows from its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Sum,
    Capped(u64),
    /// Capped by the device.
    Device,
    Max,
    Fixed(u64),
    /// A policy that is not built in: baseline + sum, within a cap.
    Custom(u64),
}

impl Form {
    pub(crate) fn limit(self, baseline: u64, sizes: impl Iterator<Item = u64>) -> u64 {
        match self {
            // The oracle clamps what is called for to the ceiling.
            Self::Sum | Self::Device | Self::Custom(_) => baseline + sizes.sum::<u64>(),
            Self::Capped(cap) => (baseline + sizes.sum::<u64>()).min(cap),
            Self::Max => baseline + sizes.max().unwrap_or(0),
            Self::Fixed(bytes) => bytes,
        }
    }

    pub(crate) fn cap(self, ceiling: u64) -> Option<u64> {
        match self {
            Self::Capped(cap) | Self::Custom(cap) => Some(cap),
            Self::Device => Some(ceiling),
            Self::Sum | Self::Max | Self::Fixed(_) => None,
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
