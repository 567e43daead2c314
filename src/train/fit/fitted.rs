//! What was chosen, and why.

use super::considered::{Considered, Why};
use super::model::Model;
use super::probes::Search;
use super::space::Known;
use crate::print::Bytes;
use crate::train::fit_plan::Plan;
use std::fmt;

/// What a [`Fit`](super::Fit) chose, and what it saw of all others. Sizes in bytes, by MLX's own count.
///
/// Prints as the choice, what was given up for it, and a table of all plans with why each was not taken.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Fitted {
    /// What to train with.
    pub plan: Plan,
    /// Rows of an update.
    pub rows: usize,
    /// The budget.
    pub budget: u64,
    /// How much of it was kept free, for what differs from run to run.
    pub margin: u64,
    /// The highest peak of the plan's passes and updates, as measured. At most the budget less the margin.
    pub peak: u64,
    /// How far that is above what lives between updates: what a ticket has to cover
    /// ([`Measured::ticket_bytes_for`](crate::train::Measured::ticket_bytes_for)).
    pub above_start: u64,
    /// What the plan was expected to need before it was run; `None` of the first that was run.
    pub predicted: Option<u64>,
    /// Rows trained in a second of the [clock](super::Fit::clock), as measured.
    pub rows_per_second: f64,
    /// How many plans were run.
    pub probes: usize,
    /// The highest peak of all that was run.
    pub highest_probe: u64,
    /// How many passes that took.
    pub passes: u64,
    /// How many updates.
    pub updates: u64,
    /// What was made smaller, in the order it was done, beginning with the plan that needs most.
    pub changes: Vec<FitChange>,
    /// All plans that there were to choose from, the fastest first.
    pub considered: Vec<Considered>,
}

/// A setting that was made smaller, or a number of blocks that was made larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct FitChange {
    /// The plan before.
    pub from: Plan,
    /// The plan with the one setting changed.
    pub to: Plan,
    /// How many bytes less that takes, as expected or measured; 0 if it does not take less.
    pub saved: u64,
}

/// All plans to choose from, the fastest first.
pub(super) fn considered(search: &Search, model: &Model<'_>, chosen: &Known) -> Vec<Considered> {
    let shown = search.space.shown(&search.known);
    let taken = model.rate(chosen.plan);
    let of = |plan: Plan| {
        let known = search.known.iter().find(|it| it.plan == plan);
        let over = search.over.iter().find(|it| it.0 == plan);
        let at_most = search.space.at_most(plan, &search.known, shown);
        let rate = model.rate(plan);
        let peak = known.map(|known| search.peak(known));
        let peak = peak.or(over.map(|it| it.1));
        let measured = peak.is_some();
        let expected = || model.peak(plan).min(at_most.unwrap_or(u64::MAX));
        let peak = peak.unwrap_or_else(expected);
        let why = if plan == chosen.plan {
            Why::Chosen
        } else if measured {
            match rate <= taken {
                _ if peak > search.space.limit => Why::Over,
                true => Why::Slower,
                false => Why::NeedsMore,
            }
        } else if peak > search.space.limit || search.is_beyond(plan) {
            Why::ExpectedOver
        } else if Search::is_no_faster(rate, taken) {
            Why::ExpectedSlower
        } else if at_most.is_none_or(|bytes| bytes > search.space.limit) {
            Why::NotShown
        } else {
            Why::NotReached
        };
        Considered {
            plan,
            peak,
            measured,
            at_most,
            rows_per_second: rate,
            why,
        }
    };
    let mut all: Vec<Considered> = search.space.choices().map(of).collect();
    all.sort_by(|a, b| b.rows_per_second.total_cmp(&a.rows_per_second));
    all
}

/// From the plan that needs most to the one that was chosen.
pub(super) fn changes(search: &Search, model: &Model<'_>, chosen: &Known) -> Vec<FitChange> {
    let space = &search.space;
    let batch = space.batches.last().copied().unwrap_or(1);
    let first = space.levels.last().copied().unwrap_or(0);
    let steps = [
        space.plan(batch, first),
        space.plan(chosen.plan.batch, first),
        chosen.plan,
    ];
    let needs = |plan: Plan| {
        let known = search.known.iter().find(|it| it.plan == plan);
        known.map_or_else(|| model.peak(plan), |known| search.peak(known))
    };
    let pairs = steps.windows(2).filter(|pair| pair[0] != pair[1]);
    let change = |pair: &[Plan]| FitChange {
        from: pair[0],
        to: pair[1],
        saved: needs(pair[0]).saturating_sub(needs(pair[1])),
    };
    pairs.map(change).collect()
}

impl fmt::Display for FitChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (knob, from, to) = match self.from.batch == self.to.batch {
            true => ("recomputed", self.from.first, self.to.first),
            false => ("batch", self.from.batch, self.to.batch),
        };
        write!(f, "{knob} {from} to {to}: about {} less", Bytes(self.saved))
    }
}

impl fmt::Display for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: peak {} of {} (margin {}), {:.1} rows/s",
            self.plan,
            Bytes(self.peak),
            Bytes(self.budget),
            Bytes(self.margin),
            self.rows_per_second,
        )?;
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        writeln!(
            f,
            "{} plans run ({} passes, {} updates), the highest peak {}",
            self.probes,
            self.passes,
            self.updates,
            Bytes(self.highest_probe),
        )?;
        super::table::write(f, &self.considered)
    }
}
