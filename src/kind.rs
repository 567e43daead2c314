//! The kinds of guards.

/// What a live guard does to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Kind {
    /// Work: raises the limit while it lives.
    #[default]
    Active,
    /// Counts for admission and sizing, but does not hold the limit up: weights that may be paged out
    /// while nothing works.
    Reservation,
    /// Counts, and holds the limit up by itself: a loaded model that must stay fast.
    ///
    /// While it lives, the end of other work is a drop like any other: one smaller than
    /// [`shrink_threshold_ratio`](crate::Config::shrink_threshold_ratio) of the limit costs no call, and the
    /// limit stays up by as much until the last driving guard goes.
    Resident,
}

impl Kind {
    /// Whether a guard of this kind holds the limit up.
    #[must_use]
    pub fn is_driving(self) -> bool {
        self != Self::Reservation
    }
}
