//! The table of all plans.

use super::Considered;
use crate::print::Bytes;
use std::fmt;

const HEADS: [&str; 6] = ["batch", "recomputed", "peak", "at most", "rows/s", "why"];

/// One line per plan; what was not run has a tilde before its figures.
pub(super) fn write(f: &mut fmt::Formatter<'_>, plans: &[Considered]) -> fmt::Result {
    let rows = plans.iter().map(cells).collect::<Vec<_>>();
    let mut widths = HEADS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(f, &widths, HEADS)?;
    for row in &rows {
        writeln!(f)?;
        line(f, &widths, row.each_ref().map(String::as_str))?;
    }
    Ok(())
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

/// Numbers to the right, the last column from the left.
fn line(f: &mut fmt::Formatter<'_>, widths: &[usize; 6], cells: [&str; 6]) -> fmt::Result {
    let (numbers, why) = cells.split_at(5);
    for (cell, width) in numbers.iter().zip(widths) {
        write!(f, "{cell:>width$}  ")?;
    }
    f.write_str(why[0])
}
