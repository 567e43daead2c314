//! What a plan took, and what follows for other plans: the most that they can need.

use super::Plan;
use std::time::Duration;

/// What a plan took. Passes and updates are apart: an update's peak does not grow with the batch, and a line through
/// totals of which one is the update's would be too flat. Sizes in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// Live before a pass that begins a sum of gradients.
    pub(super) start: u64,
    /// How much more was live after it: the gradients.
    pub(super) gradients: u64,
    /// How far such a pass went above its start.
    pub(super) begin: u64,
    /// How far a pass went above its start that adds to the sum.
    pub(super) add: u64,
    /// Whether passes that add are within what may be used.
    pub(super) accumulates: bool,
    /// The peak of an update.
    pub(super) update: u64,
    /// The time of the fastest pass.
    pub(super) pass_time: Option<Duration>,
    /// The time of the fastest update.
    pub(super) update_time: Option<Duration>,
}

impl Cost {
    pub(super) fn see_begin(&mut self, before: u64, above: u64, after: u64) {
        self.start = self.start.max(before);
        self.begin = self.begin.max(above);
        self.gradients = self.gradients.max(after.saturating_sub(before));
        // As long as none has added: with the sum beside it.
        self.add = self.add.max(self.begin);
        self.accumulates = true;
    }

    pub(super) fn see_add(&mut self, before: u64, above: u64) {
        self.gradients = self.gradients.max(before.saturating_sub(self.start));
        self.add = self.add.max(above);
    }

    pub(super) fn see_update(&mut self, peak: u64) {
        self.update = self.update.max(peak);
    }

    pub(super) fn see_times(&mut self, pass: Duration, update: Duration) {
        let least = |known: Option<Duration>, seen| Some(known.map_or(seen, |it| it.min(seen)));
        self.pass_time = least(self.pass_time, pass);
        self.update_time = least(self.update_time, update);
    }

    /// The peak of a training by this plan.
    pub(super) fn peak(&self, plan: Plan) -> u64 {
        self.at_most(plan, 1.0, 0.0)
    }

    /// How far passes go above the start, the sum of gradients included, where gradients are added up.
    pub(super) fn passes_above(&self) -> u64 {
        self.begin.max(self.gradients.saturating_add(self.add))
    }

    /// The most that `plan` can need if its passes need at most `scale` times as much above their start as this one's, and
    /// `blocks` bytes more.
    pub(super) fn at_most(&self, plan: Plan, scale: f64, blocks: f64) -> u64 {
        let pass = |start: u64, above: u64| start as f64 + above as f64 * scale + blocks;
        let mut peak = pass(self.start, self.begin);
        if plan.accumulate > 1 {
            peak = peak.max(pass(self.start.saturating_add(self.gradients), self.add));
        }
        (peak.ceil() as u64).max(self.update)
    }
}
