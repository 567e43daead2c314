//! What a plan took, and what follows for other plans: the most that they can need.

use crate::train::fit_plan::Plan;
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
    /// How far a pass went above its start that adds to the sum, if one was run.
    pub(super) add: Option<u64>,
    /// The peak of an update.
    pub(super) update: u64,
    /// The time of the fastest pass.
    pub(super) pass_time: Option<Duration>,
    /// The time of the fastest update.
    pub(super) update_time: Option<Duration>,
}

impl Cost {
    pub(super) fn record_begin(&mut self, before: u64, above: u64, after: u64) {
        self.start = self.start.max(before);
        self.begin = self.begin.max(above);
        self.gradients = self.gradients.max(after.saturating_sub(before));
    }

    pub(super) fn record_add(&mut self, before: u64, above: u64) {
        self.gradients = self.gradients.max(before.saturating_sub(self.start));
        self.add = self.add.max(Some(above));
    }

    pub(super) fn record_update(&mut self, peak: u64) {
        self.update = self.update.max(peak);
    }

    pub(super) fn record_times(&mut self, pass: Duration, update: Duration) {
        let least = |known: Option<Duration>, seen| Some(known.map_or(seen, |it| it.min(seen)));
        self.pass_time = least(self.pass_time, pass);
        self.update_time = least(self.update_time, update);
    }

    /// How much further above its start a pass went because it adds to a sum, if one was run.
    pub(super) fn adding(&self) -> Option<u64> {
        Some(self.add?.saturating_sub(self.begin))
    }

    /// The peak of a training by `plan`, whose passes go so far above their start where they begin a sum, and so much further
    /// where they add to it.
    pub(super) fn peak(&self, plan: Plan, begin: u64, adding: u64) -> u64 {
        let pass = self.start.saturating_add(begin);
        let pass = match plan.accumulate {
            1 => pass,
            _ => pass.saturating_add(self.gradients).saturating_add(adding),
        };
        pass.max(self.update)
    }
}
