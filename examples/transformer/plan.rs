//! Stands in for `mlx_wired::train::Plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) batch: usize,
    pub(crate) first: usize,
    pub(crate) accumulate: usize,
}
impl Plan {
    pub(crate) fn new(rows: usize, batch: usize, first: usize) -> Self {
        Self {
            batch,
            first,
            accumulate: rows.div_ceil(batch),
        }
    }
}
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rows x {} passes, first {} recomputed",
            self.batch, self.accumulate, self.first
        )
    }
}
