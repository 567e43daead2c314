//! Memory that grows from step to step: which, how fast, and what to do.

use crate::print::{Bytes, Name};
use std::fmt;
use std::sync::Arc;

/// Which memory grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrowthCause {
    /// Live arrays: something is kept from each step, or a graph that is never evaluated grows.
    LiveArrays,
    /// MLX's cache: freed buffers that no later step can use, since shapes vary; and its limit is beyond the budget.
    Cache,
    /// What the process uses beside MLX.
    Outside,
}

/// Memory that grows from step to step. Prints as cause, rate, cure and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Growth {
    /// Which memory.
    pub cause: GrowthCause,
    /// How many bytes each step adds, on average since then.
    pub bytes_per_step: u64,
    /// The last step before it began.
    pub since: u64,
    /// Live arrays: the names of carried values that were not evaluated for some steps, if any were
    /// [noted](crate::train::Run::carried_is_evaluated).
    pub suspects: Vec<Arc<str>>,
    /// How many more steps fit the budget at this rate, if it is known.
    pub fits: Option<u64>,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.cause {
            GrowthCause::LiveArrays => "live arrays grow",
            GrowthCause::Cache => "MLX's cache grows",
            GrowthCause::Outside => "memory outside MLX grows",
        };
        let rate = Bytes(self.bytes_per_step);
        write!(f, "{what} {rate} a step since step {}; ", self.since)?;
        match self.cause {
            GrowthCause::LiveArrays => self.about_arrays(f)?,
            GrowthCause::Cache => {
                f.write_str("shapes vary: pad batches to few shapes, or set a cache limit")?;
            }
            GrowthCause::Outside => {
                f.write_str("no arrays: look at what the program itself keeps of each step")?;
            }
        }
        match self.fits {
            Some(steps) => write!(f, " (fits {steps} more steps)"),
            None => Ok(()),
        }
    }
}

impl Growth {
    fn about_arrays(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, others)) = self.suspects.split_last() else {
            return f.write_str(
                "something of each step is kept: a list of results, or a value carried on that is never evaluated",
            );
        };
        for name in others {
            write!(f, "\"{}\", ", Name::cut(name, 24))?;
        }
        let verb = if others.is_empty() { "was" } else { "were" };
        let last = Name::cut(last, 24);
        let object = if others.is_empty() { "it" } else { "them" };
        write!(
            f,
            "\"{last}\" {verb} never evaluated: evaluate {object} each step"
        )
    }
}
