//! A step's rows, a micro-batch at a time.

use std::ops::Range;

/// A micro-batch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Micro {
    /// Which rows of the step.
    pub rows: Range<usize>,
    /// Its rows as a part of the step's, from 0 to 1: what its mean counts with, and its gradients.
    pub weight: f64,
    /// Whether it is the step's first: its gradients begin the sum.
    pub begins: bool,
}

/// The micro-batches of a step: each row is in one of them.
#[derive(Debug, Clone)]
pub struct Split {
    next: usize,
    rows: usize,
    size: usize,
}

impl Split {
    pub(super) fn new(rows: usize, size: usize) -> Self {
        Self {
            next: 0,
            rows,
            size,
        }
    }

    /// The next micro-batch.
    pub(super) fn peek(&self) -> Option<Micro> {
        let end = self.next.saturating_add(self.size).min(self.rows);
        (self.next < end).then(|| Micro {
            rows: self.next..end,
            weight: (end - self.next) as f64 / self.rows as f64,
            begins: self.next == 0,
        })
    }

    /// What is left comes in micro-batches of another size.
    pub(super) fn resize(&mut self, size: usize) {
        self.size = size;
    }
}

impl Iterator for Split {
    type Item = Micro;

    fn next(&mut self) -> Option<Micro> {
        let micro = self.peek()?;
        self.next = micro.rows.end;
        Some(micro)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.rows - self.next).div_ceil(self.size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Split {}
