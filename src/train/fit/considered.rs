//! Plans that there were to choose from, and why each was taken or not.

use crate::train::fit_plan::Plan;
use std::fmt;

/// A plan that there was to choose from.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Considered {
    /// The plan.
    pub plan: Plan,
    /// Its peak if it was run and stayed within; otherwise what it is expected to need, in bytes.
    pub peak: u64,
    /// Whether it was run.
    pub measured: bool,
    /// The most that it can need, after all that was run, in bytes.
    pub at_most: Option<u64>,
    /// Rows in a second: measured if it was run and stayed within, otherwise expected.
    pub rows_per_second: f64,
    /// Why it was taken, or not.
    pub why: Why,
}

/// Why a plan was taken, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Why {
    /// It was taken.
    Chosen,
    /// It was run, and is slower.
    Slower,
    /// It was run, is as fast, and needs more.
    NeedsMore,
    /// It was run, and needed more than there is.
    Over,
    /// It was not run: it is expected to be no faster.
    ExpectedSlower,
    /// It was not run: it is expected to need more than there is.
    ExpectedOver,
    /// It was not run: nothing that was run shows that it stays within.
    NotShown,
    /// It was not run: there had been enough of that.
    NotReached,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chosen => "chosen",
            Self::Slower => "slower",
            Self::NeedsMore => "as fast, needs more",
            Self::Over => "over",
            Self::ExpectedSlower => "not run: no faster",
            Self::ExpectedOver => "not run: over",
            Self::NotShown => "not run: not shown to fit",
            Self::NotReached => "not run: enough was",
        })
    }
}
