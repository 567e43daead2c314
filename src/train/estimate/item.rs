//! What takes memory, how much, and how sure that is.

use super::Problem;
use crate::print::Bytes;
use serde::Serialize;
use std::fmt;

/// How sure an [`Item`]'s bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Certainty {
    /// Counted: what MLX will hold, but for the rounding of its allocator.
    Exact,
    /// By a formula that leaves something out; the item says which.
    Estimated,
    /// At most so many bytes: how much of it is taken depends on the program.
    Bound,
    /// No formula, or files that were not all read. The item's bytes are what is known of it, at least.
    Unknown,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::Estimated => "estimated",
            Self::Bound => "at most",
            Self::Unknown => "unknown",
        })
    }
}

/// Something that takes memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Item {
    /// What kind it is: stays the same between versions, unlike the texts.
    pub id: &'static str,
    /// What it is, for people.
    pub what: String,
    /// How many bytes it takes; for an unknown one what is known of it, at least.
    pub bytes: u64,
    /// How they were counted, in words.
    pub formula: String,
    /// Where the formula comes from.
    pub source: &'static str,
    /// How sure they are.
    pub certainty: Certainty,
    /// Whether it is there all the time, or only while a request or a step runs.
    pub is_held: bool,
}

/// What a workload needs: [`estimate()`](super::estimate()) makes it.
///
/// Its `Display` is a table. Serialised it has the bytes of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// All items together. What unknown items take beyond their bytes is not in it.
    pub bytes: u64,
    /// What takes the memory.
    pub items: Vec<Item>,
    /// What was found wrong, or is worth knowing; the worst first.
    pub problems: Vec<Problem>,
    /// Tokens of each sequence, where it matters.
    pub context: Option<u64>,
    /// Sequences or rows at once.
    pub batch: u64,
    /// Passes that are added up before an update; 1 where nothing is trained.
    pub passes: u64,
}

impl Estimate {
    /// What stays between requests or steps, in bytes: for a reservation, `policy.ticket(held).reservation()`.
    pub fn held(&self) -> u64 {
        self.sum(true)
    }

    /// What one request or step takes beyond that, in bytes: for the ticket of a step, and `room_for` of the
    /// reservation.
    pub fn step(&self) -> u64 {
        self.sum(false)
    }

    fn sum(&self, held: bool) -> u64 {
        let items = self.items.iter().filter(|item| item.is_held == held);
        items.map(|item| item.bytes).fold(0, u64::saturating_add)
    }

    /// What it takes at least, in bytes: without what is a [bound](Certainty::Bound) from above.
    pub fn least(&self) -> u64 {
        let items = self
            .items
            .iter()
            .filter(|item| item.certainty != Certainty::Bound);
        items.map(|item| item.bytes).fold(0, u64::saturating_add)
    }

    /// Whether [`bytes`](Estimate::bytes) is everything: no unknown item, and no [error](super::Severity::Error).
    pub fn is_known(&self) -> bool {
        let known = |item: &Item| item.certainty != Certainty::Unknown;
        let harmless = |problem: &Problem| problem.severity != super::Severity::Error;
        self.items.iter().all(known) && self.problems.iter().all(harmless)
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = |text: &dyn Fn(&Item) -> usize| self.items.iter().map(text).max().unwrap_or(0);
        let what = wide(&|item| item.what.chars().count()).max("together".len());
        for item in &self.items {
            let bytes = match item.certainty {
                Certainty::Unknown if item.bytes == 0 => "?".to_owned(),
                Certainty::Unknown => format!("> {}", Bytes(item.bytes)),
                _ => Bytes(item.bytes).to_string(),
            };
            let (name, certainty, formula) = (&item.what, item.certainty, &item.formula);
            writeln!(f, "{name:what$}  {bytes:>12}  {certainty:9}  {formula}")?;
        }
        let at_least = match (self.is_known(), self.least()) {
            (true, _) => String::new(),
            (false, least) if least == self.bytes => "  at least".to_owned(),
            (false, least) => format!("  at least {}", Bytes(least)),
        };
        let together = Bytes(self.bytes).to_string();
        writeln!(f, "{:what$}  {together:>12}{at_least}", "together")?;
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}
