//! The differences from the recordings that are intended, each named once.

use std::collections::BTreeMap;
use std::fmt;

/// Why a step may differ. The numbers are those of the recordings' README.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// 1 (R5): a call that sets the value already in force is not made.
    RedundantCall,
    /// 2 (R17): a hand-over changes the limit once, not twice.
    HandOver,
    /// 3 (R17): a wait is told of once.
    RepeatedWait,
    /// 4 (R24): baseline events belong to the epoch.
    BaselineEvents,
    /// 5 (R11): how often a failed set is tried again.
    Retries,
}

#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<Difference, usize>);

impl Counts {
    pub(crate) fn note(&mut self, difference: Difference) {
        *self.0.entry(difference).or_default() += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (difference, count) in &self.0 {
            writeln!(f, "{count:6} x {difference:?}")?;
        }
        Ok(())
    }
}
