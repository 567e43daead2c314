//! Runs plans as a training would, and reads what each pass and each update took.

use super::clock::Clock;
use super::cost::Cost;
use super::fittable::Fittable;
use crate::ffi::Backend;
use crate::train::alone::Alone;
use crate::train::fit_plan::Plan;
use crate::train::{Error, WorkError};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// What came of running a plan.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// It stayed within.
    Within(Cost),
    /// It needed so much, which is more, or would have in the call that was then not made.
    Over(u64),
}

/// A trainer that gets its state back, however this ends.
pub(super) struct Lent<'a, T: Fittable>(pub(super) &'a mut T);

impl<T: Fittable> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic would end the process.
            let _panicked = panic::catch_unwind(AssertUnwindSafe(|| self.0.restore()));
        } else {
            self.0.restore();
        }
    }
}

pub(super) struct Meter<'a, T: Fittable> {
    pub(super) trainer: Lent<'a, T>,
    pub(super) backend: &'a dyn Backend,
    pub(super) alone: Alone<'a>,
    pub(super) clock: Clock,
    /// No call is made that is known to need more.
    pub(super) limit: u64,
    pub(super) spent: Spent,
}

/// What fitting took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// The highest peak of all calls.
    pub(super) highest: u64,
    pub(super) passes: u64,
    pub(super) updates: u64,
}

/// One call: live before it, the peak, live after it; and the time.
#[derive(Clone, Copy)]
struct Call {
    before: u64,
    peak: u64,
    after: u64,
    time: Duration,
}

impl Call {
    fn above(&self) -> u64 {
        self.peak - self.before
    }
}

impl<T: Fittable> Meter<'_, T> {
    /// Runs a plan as a training does for some updates, of whose times those of the first `warm_up` do not count. Of an
    /// update's passes two are run, one that begins the sum of the gradients and one that adds to it: the others are as the
    /// second. `adding` is how much more that one needs; if that is not known, as much as a new sum beside the old one. It is
    /// not run where it would not fit so.
    pub(super) fn run(
        &mut self,
        plan: Plan,
        warm_up: u32,
        adding: Option<u64>,
    ) -> Result<Outcome, Error> {
        let mut cost = Cost::default();
        for update in 0..warm_up + COUNTED {
            // The state of the optimizer may have come since.
            let expected = self.active()?.saturating_add(cost.begin);
            if expected > self.limit {
                return Ok(Outcome::Over(expected));
            }
            let begin = self.pass(plan, true)?;
            cost.record_begin(begin.before, begin.above(), begin.after);
            if begin.peak > self.limit {
                return Ok(Outcome::Over(begin.peak));
            }
            let mut time = begin.time;
            let adding = cost.adding().or(adding).unwrap_or(cost.gradients);
            let expected = begin
                .after
                .saturating_add(cost.begin)
                .saturating_add(adding);
            if plan.accumulate > 1 && expected <= self.limit {
                let add = self.pass(plan, false)?;
                cost.record_add(add.before, add.above());
                time = time.min(add.time);
            }
            let apply = self.update()?;
            cost.record_update(apply.peak);
            if apply.peak > self.limit {
                return Ok(Outcome::Over(apply.peak));
            }
            if update >= warm_up {
                cost.record_times(time, apply.time);
            }
        }
        Ok(Outcome::Within(cost))
    }

    fn active(&self) -> Result<u64, Error> {
        Ok(self.backend.memory()?.active)
    }

    fn pass(&mut self, plan: Plan, begins: bool) -> Result<Call, Error> {
        self.spent.passes += 1;
        self.call(|trainer| trainer.pass(plan, begins).map_err(Into::into))
    }

    fn update(&mut self) -> Result<Call, Error> {
        self.spent.updates += 1;
        self.call(|trainer| trainer.update().map_err(Into::into))
    }

    fn call(&mut self, work: impl FnOnce(&mut T) -> Result<(), WorkError>) -> Result<Call, Error> {
        let before = self.active()?;
        self.backend.reset_peak_memory()?;
        let began = self.clock.now();
        work(self.trainer.0).map_err(Error::Work)?;
        // What was computed last may be held by MLX's threads for a moment.
        if self.backend.synchronizes() {
            self.backend.synchronize()?;
        }
        let time = self.clock.now().saturating_sub(began);
        let after = self.backend.memory()?;
        self.alone.check()?;
        // MLX notes a peak where it allocates: a call that frees first began above it.
        let peak = after.peak().max(before);
        self.spent.highest = self.spent.highest.max(peak);
        Ok(Call {
            before,
            peak,
            after: after.active,
            time,
        })
    }
}

/// The updates of a plan that count.
const COUNTED: u32 = 2;
