//! One way to take a step's rows.

use std::fmt;

/// One way to take the rows of an update: how many at once, what is recomputed, in how many passes.
///
/// The rows of an update, the effective batch, are the same in every plan of a [`Fit`](super::Fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Plan {
    /// Rows of a pass, the micro-batch. The last pass of an update has fewer where this does not divide the update's rows.
    pub batch: usize,
    /// How many blocks are recomputed in the backward pass, counted from the first: 0 is none.
    pub first: usize,
    /// Passes of an update, whose gradients are added up.
    pub accumulate: usize,
}

impl Plan {
    /// The plan that takes `rows` rows for each update, `batch` at once, and recomputes the first `first` blocks.
    ///
    /// # Panics
    ///
    /// If `rows` or `batch` is 0.
    #[must_use]
    pub fn new(rows: usize, batch: usize, first: usize) -> Self {
        assert!(rows > 0 && batch > 0, "an update has rows");
        let batch = batch.min(rows);
        Self {
            batch,
            first,
            accumulate: rows.div_ceil(batch),
        }
    }
}

/// `4 rows x 8 passes, first 2 recomputed`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "es" };
        let rows = if self.batch == 1 { "row" } else { "rows" };
        let (batch, passes) = (self.batch, self.accumulate);
        let text = format!("{batch} {rows} x {passes} pass{}", plural(passes));
        match self.first {
            0 => write!(f, "{text}, none recomputed"),
            first => write!(f, "{text}, first {first} recomputed"),
        }
    }
}
