//! Tickets against real peaks, as a table.

use super::Ledger;
use crate::print::{Bytes, Name};
use crate::train::columns;
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
        columns::write(f, HEADS, &rows, 0)
    }
}
