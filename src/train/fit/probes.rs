//! What a search has run, and what came of it.

use super::space::{Known, Space};
use crate::train::fit_plan::Plan;

/// The search, as it stands.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) space: Space,
    pub(super) known: Vec<Known>,
    /// Plans that needed more than may be used, and how much.
    pub(super) over: Vec<(Plan, u64)>,
    /// What each plan that was run was expected to need.
    pub(super) expected: Vec<(Plan, u64)>,
    /// How many plans were run that are expected to be a little slower.
    pub(super) doubts: usize,
    /// Whether a sum of gradients was made that was not shown to fit.
    pub(super) tried_sum: bool,
}

impl Search {
    pub(super) fn new(space: Space) -> Self {
        Self {
            space,
            known: Vec::new(),
            over: Vec::new(),
            expected: Vec::new(),
            doubts: 0,
            tried_sum: false,
        }
    }

    /// The peak of a plan that was run.
    pub(super) fn peak(&self, known: &Known) -> u64 {
        self.space.peak(known, self.space.shown(&self.known))
    }
}
