//! Tickets against real peaks, as a table.

use super::Ledger;
use crate::print::{Bytes, Name};
use std::fmt;

const HEADS: [&str; 7] = [
    "work", "ticket", "largest", "last", "over by", "over", "next",
];

/// One line per label, and what each column says above it: the last ticket; the largest and the last peak above the start;
/// the most that one was beyond its ticket, and how often; what the next ticket asks for, margin included.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 7]> = self
            .entries
            .iter()
            .map(|(label, entry)| {
                let seen = |bytes: u64| match entry.observed {
                    0 => "-".to_owned(),
                    _ => Bytes(bytes).to_string(),
                };
                [
                    Name::cut(label, 40).to_string(),
                    seen(entry.ticket),
                    Bytes(entry.high_water()).to_string(),
                    seen(entry.last),
                    match entry.over {
                        0 => "-".to_owned(),
                        _ => Bytes(entry.most_over).to_string(),
                    },
                    format!("{} of {}", entry.over, entry.observed),
                    Bytes(self.next_for(entry)).to_string(),
                ]
            })
            .collect();
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
}

/// The first column from the left, the others to the right.
fn line(f: &mut fmt::Formatter<'_>, widths: &[usize; 7], cells: [&str; 7]) -> fmt::Result {
    let (name, numbers) = (cells[0], cells.iter().zip(widths).skip(1));
    write!(f, "{name:<width$}", width = widths[0])?;
    for (cell, width) in numbers {
        write!(f, "  {cell:>width$}")?;
    }
    Ok(())
}
