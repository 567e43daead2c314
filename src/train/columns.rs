//! Tables for people.

use std::fmt;

/// The heads and the rows, in columns as wide as they need: numbers to the right, and the column of this number from the
/// left. There is nothing behind a line.
pub(super) fn write<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    heads: [&str; N],
    rows: &[[String; N]],
    from_the_left: usize,
) -> fmt::Result {
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(f, &widths, heads, from_the_left)?;
    for row in rows {
        writeln!(f)?;
        line(
            f,
            &widths,
            row.each_ref().map(String::as_str),
            from_the_left,
        )?;
    }
    Ok(())
}

fn line<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    widths: &[usize; N],
    cells: [&str; N],
    from_the_left: usize,
) -> fmt::Result {
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if column > 0 {
            f.write_str("  ")?;
        }
        if column != from_the_left {
            write!(f, "{cell:>width$}")?;
        } else if column + 1 < N {
            write!(f, "{cell:<width$}")?;
        } else {
            f.write_str(cell)?;
        }
    }
    Ok(())
}
