//! The sizes of guards that live, or are supposed to, as a policy is told of them.

use crate::arbiter::Sizes;

/// Single sizes as a policy sees them.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    /// In descending order.
    pub(crate) each: Vec<u64>,
}

impl Live {
    /// What the guards of these sizes are together.
    pub(crate) fn of(mut each: Vec<u64>) -> Self {
        each.sort_unstable_by(|a, b| b.cmp(a));
        Self::of_sorted(each)
    }

    /// [`of`](Self::of) for sizes in descending order.
    pub(crate) fn of_sorted(each: Vec<u64>) -> Self {
        Self {
            count: each.len() as u64,
            sum: each.iter().fold(0, |sum, size| sum.saturating_add(*size)),
            each,
        }
    }

    pub(crate) fn add(&mut self, size: u64) {
        let index = self.each.partition_point(|other| *other > size);
        self.each.insert(index, size);
        self.count += 1;
        self.sum = self.sum.saturating_add(size);
    }

    pub(crate) fn largest(&self) -> u64 {
        self.each.first().copied().unwrap_or(0)
    }

    pub(crate) fn sizes(&self, max: u64, wants_sizes: bool) -> Sizes<'_> {
        let each = if wants_sizes { &self.each[..] } else { &[] };
        Sizes {
            count: self.count,
            sum: self.sum,
            max,
            each,
        }
    }
}
