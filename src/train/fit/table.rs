//! The table of all plans.

use super::considered::Considered;
use crate::print::Bytes;
use crate::train::columns;
use std::fmt;

const HEADS: [&str; 6] = ["batch", "recomputed", "peak", "at most", "rows/s", "why"];

/// One line per plan; what was not run has a tilde before its figures.
pub(super) fn write(f: &mut fmt::Formatter<'_>, plans: &[Considered]) -> fmt::Result {
    let rows = plans.iter().map(cells).collect::<Vec<_>>();
    columns::write(f, HEADS, &rows, HEADS.len() - 1)
}

fn cells(it: &Considered) -> [String; 6] {
    let about = if it.measured { "" } else { "~" };
    [
        it.plan.batch.to_string(),
        it.plan.first.to_string(),
        format!("{about}{}", Bytes(it.peak)),
        match it.at_most {
            Some(bytes) if !it.measured => Bytes(bytes).to_string(),
            _ => "-".to_owned(),
        },
        format!("{about}{:.1}", it.rows_per_second),
        it.why.to_string(),
    ]
}
