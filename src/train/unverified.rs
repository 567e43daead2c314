//! What is said of gradients that could not be verified.

use super::difference::Difference;
use crate::print::{Name, Place};
use mlx_rs::error::Exception;
use std::fmt;

/// Why gradients with recomputed blocks could not be trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unverified {
    /// A run failed.
    Failed {
        /// Whether it was the one with recomputed blocks.
        recomputing: bool,
        /// Its error.
        error: Exception,
    },
    /// No block was recomputed, or no gradient returned, so there was nothing to compare.
    NothingRecomputed,
    /// Runs returned gradients of other names or shapes.
    OtherGradients,
    /// Two runs without checkpoints differ.
    NotRepeatable(Difference),
    /// The gradients are not those without checkpoints.
    Differs {
        /// The gradient that differs most, and where it does.
        difference: Difference,
        /// How many gradients differ.
        count: usize,
        /// Of how many.
        of: usize,
        /// Whether the values do, too.
        values_differ: bool,
    },
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { recomputing, error } => {
                let with = if *recomputing { "with" } else { "without" };
                let most = if f.alternate() { usize::MAX } else { 100 };
                let what = Name::cut(error.what(), most);
                write!(f, "the run {with} recomputed blocks failed: {what}")?;
                if f.alternate() {
                    write!(f, " at {}", Place(error.location()))?;
                }
                Ok(())
            }
            Self::NothingRecomputed => f.write_str(
                "nothing was recomputed and compared: set `Recompute::All`, return the gradients, \
                 and verify before the function is compiled",
            ),
            Self::OtherGradients => f.write_str(
                "the runs returned gradients of other names or shapes; give each the same work",
            ),
            Self::NotRepeatable(difference) => {
                difference.fmt(f)?;
                f.write_str(", in a second run without checkpoints; ")?;
                f.write_str(if f.alternate() {
                    "nothing can be said of a run with them. Likely cause: the work reads state \
                     that changes from run to run (a counter, random numbers that are not mlx-rs's, \
                     an update of the weights); give each run the same"
                } else {
                    "give each run the same state"
                })
            }
            Self::Differs {
                difference,
                count,
                of,
                values_differ,
            } => {
                difference.fmt(f)?;
                f.write_str(", with blocks recomputed")?;
                let cause = likely_cause(difference, *values_differ);
                if f.alternate() {
                    let whole = cause.whole;
                    write!(
                        f,
                        ". {count} of {of} gradients differ. Likely cause: {whole}"
                    )
                } else {
                    write!(f, "; {}", cause.cure)
                }
            }
        }
    }
}

/// What most likely made a gradient differ.
struct Cause {
    cure: &'static str,
    whole: &'static str,
}

fn likely_cause(difference: &Difference, values_differ: bool) -> Cause {
    if values_differ {
        Cause {
            cure: "pass state that changes from run to run as a constant",
            whole: "the values differ too, so the forward pass computed something else: a block \
                    reads state that changes from run to run. Pass it as a constant",
        }
    } else if difference.other_is_zero {
        Cause {
            cure: "it reaches a block another way: pass it as a primal",
            whole: "the parameter reaches a block beside its primals, through an array that a \
                    module keeps beside its parameters, a static or a thread-local. Pass it as a \
                    primal",
        }
    } else {
        Cause {
            cure: "draw with a key among the constants, and change no state",
            whole: "the values are the same, so a block computed something else when it was \
                    recomputed: it draws random numbers without a key, or changes state. Pass a \
                    key among its constants, and change nothing",
        }
    }
}

impl std::error::Error for Unverified {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::NothingRecomputed
            | Self::OtherGradients
            | Self::NotRepeatable(_)
            | Self::Differs { .. } => None,
        }
    }
}
