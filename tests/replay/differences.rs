//! The differences from the recordings that are intended, each named once.

use std::fmt;

/// Why a step may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    RedundantCall,
    HandOver,
    RepeatedWait,
    BaselineEvents,
    Retries,
}

/// Every class: the number in the recordings' README, its rule, what differs. Nothing else may.
///
/// The README's 6 and 7 need no class: policy-only mode never calls the setter on either side, and without
/// housekeeping and `maintain()` a shrink that the cooldown held back happens at the next transition on both.
const TABLE: [(Difference, u8, &str, &str); 5] = [
    (
        Difference::RedundantCall,
        1,
        "R5",
        "a call that sets the value already in force, and its event",
    ),
    (
        Difference::HandOver,
        2,
        "R17",
        "a hand-over changes the limit once: the values between",
    ),
    (
        Difference::RepeatedWait,
        3,
        "R17",
        "a wait is told of again after a wake-up in vain",
    ),
    (
        Difference::BaselineEvents,
        4,
        "R24",
        "baseline events outside an epoch's ends, or missing at one",
    ),
    (
        Difference::Retries,
        5,
        "R11",
        "how often a failed set is tried again, at most once a step",
    ),
];

/// How often each difference was met.
#[derive(Debug, Default)]
pub(crate) struct Counts([usize; TABLE.len()]);

impl Counts {
    pub(crate) fn note(&mut self, difference: Difference) {
        let row = TABLE.iter().position(|row| row.0 == difference);
        self.0[row.expect("every difference is in the table")] += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((difference, number, rule, what), count) in TABLE.iter().zip(&self.0) {
            writeln!(
                f,
                "{count:6} x {number} {:<15} {rule:<4} {what}",
                format!("{difference:?}")
            )?;
        }
        Ok(())
    }
}
