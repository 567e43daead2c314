//! What is said of gradients that could not be verified.

use super::Difference;
use crate::print::Name;
use crate::train::Error;
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
    /// No block was recomputed, so there was nothing to compare.
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

impl From<Unverified> for Error {
    fn from(error: Unverified) -> Self {
        Self::Unverified(Box::new(error))
    }
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { recomputing, error } => {
                let (with, most) = (if *recomputing { "with" } else { "without" }, 100);
                let most = if f.alternate() { usize::MAX } else { most };
                write!(f, "the run {with} recomputed blocks failed: {}", Name::cut(error.what(), most))?;
                if f.alternate() {
                    let place = error.location();
                    write!(f, " at {}", crate::print::Place(place))?;
                }
                Ok(())
            }
            Self::NothingRecomputed => {
                f.write_str("no block was recomputed: set `Recompute::All`, and verify before the function is compiled")
            }
            Self::OtherGradients => {
                f.write_str("the runs returned gradients of other names or shapes; give each the same work")
            }
            Self::NotRepeatable(difference) => {
                write_difference(f, difference)?;
                f.write_str(" in two runs without checkpoints; ")?;
                f.write_str(if f.alternate() {
                    "so nothing can be said of a run with them. Likely cause: the work reads state that changes from run \
                     to run (a counter, random numbers that are not mlx-rs's, an update of the weights); give each run \
                     the same"
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
                write_difference(f, difference)?;
                let cause = Cause::of(difference, *values_differ);
                if f.alternate() {
                    write!(
                        f,
                        " with blocks recomputed; {count} of {of} gradients differ. Likely cause: {}",
                        cause.whole()
                    )
                } else {
                    write!(f, " when recomputed; {}", cause.short())
                }
            }
        }
    }
}

fn write_difference(f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
    if f.alternate() {
        write!(f, "{difference:#}")
    } else {
        write!(f, "{difference}")
    }
}

/// What most likely made a gradient differ.
enum Cause {
    Beside,
    Forward,
    Again,
}

impl Cause {
    fn of(difference: &Difference, values_differ: bool) -> Self {
        if values_differ {
            Self::Forward
        } else if difference.other_is_zero {
            Self::Beside
        } else {
            Self::Again
        }
    }

    fn short(&self) -> &'static str {
        match self {
            Self::Beside => "pass it as a primal: it reaches a block another way",
            Self::Forward => "a block's state changed from run to run",
            Self::Again => "draw with a key among the constants, and change no state",
        }
    }

    fn whole(&self) -> &'static str {
        match self {
            Self::Beside => {
                "the parameter reaches a block beside its primals, through an array that a module keeps beside its \
                 parameters, a static or a thread-local. Pass it as a primal"
            }
            Self::Forward => {
                "the values differ too, so the forward pass computed something else: a block reads state that changes \
                 from run to run. Pass it as a constant"
            }
            Self::Again => {
                "the values are the same, so a block computed something else when it was recomputed: it draws random \
                 numbers without a key, or changes state. Pass a key among its constants, and change nothing"
            }
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
