//! What there is to choose from, and the most that each plan can need.

use super::cost::Cost;
use crate::train::fit_plan::Plan;

/// The plans, and what may be used.
#[derive(Debug)]
pub(super) struct Space {
    /// Rows of an update.
    pub(super) rows: usize,
    /// Batches to choose from, ascending.
    pub(super) batches: Vec<usize>,
    /// Batches that are run on the way to those, ascending.
    pub(super) steps: Vec<usize>,
    /// How many blocks may be recomputed, descending: each one needs more than the one before it.
    pub(super) levels: Vec<usize>,
    /// How many blocks there are.
    pub(super) blocks: usize,
    /// What may be used, in bytes: the budget without its margin.
    pub(super) limit: u64,
    /// No plan is run with more than this many times the rows of one that was run.
    pub(super) reach: Option<usize>,
}

/// What the plans that were run show of all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    /// The most that one row's activations of one block can be, in bytes.
    pub(super) block: f64,
    /// How much more a pass needs that adds to a sum, in bytes.
    pub(super) adding: u64,
}

/// A plan that was run and stayed within.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) plan: Plan,
    pub(super) cost: Cost,
}

/// About how many numbers of blocks there are on the way at most.
const LEVELS: usize = 64;

impl Space {
    pub(super) fn plan(&self, batch: usize, first: usize) -> Plan {
        Plan::new(self.rows, batch, first)
    }

    /// All plans to choose from.
    pub(super) fn choices(&self) -> impl Iterator<Item = Plan> + '_ {
        self.grid(&self.batches)
    }

    pub(super) fn is_choice(&self, plan: Plan) -> bool {
        self.batches.contains(&plan.batch) && self.levels.contains(&plan.first)
    }

    /// All plans that are run on the way.
    pub(super) fn on_the_way(&self) -> impl Iterator<Item = Plan> + '_ {
        let batches = self.batches.iter().chain(&self.steps);
        batches.flat_map(move |&batch| {
            self.levels_on_the_way()
                .map(move |first| self.plan(batch, first))
        })
    }

    /// Between the levels to choose from all numbers of blocks are, or some evenly apart.
    fn levels_on_the_way(&self) -> impl Iterator<Item = usize> + '_ {
        let least = self.levels.last().copied().unwrap_or(0);
        let most = self.levels.first().copied().unwrap_or(0);
        (least..=most).step_by(((most - least) / LEVELS).max(1))
    }

    fn grid<'a>(&'a self, batches: &'a [usize]) -> impl Iterator<Item = Plan> + 'a {
        let levels = self.levels.iter();
        levels.flat_map(move |&first| batches.iter().map(move |&batch| self.plan(batch, first)))
    }

    /// The plan that needs least.
    pub(super) fn least(&self) -> Plan {
        let first = self.levels.first().copied().unwrap_or(0);
        let batches = self.batches.iter().chain(&self.steps).copied();
        self.plan(batches.min().unwrap_or(1), first)
    }

    /// What is shown by the plans that were run.
    ///
    /// Activations of all blocks that are not recomputed live together when the backward pass begins, and those of one that
    /// is live at once when it is recomputed: so each plan bounds what one block can have.
    pub(super) fn shown(&self, known: &[Known]) -> Shown {
        let block = |it: &Known| {
            let together = self.blocks.saturating_sub(it.plan.first).max(1);
            it.cost.begin as f64 / (it.plan.batch * together) as f64
        };
        let adding = known.iter().filter_map(|it| it.cost.adding()).max();
        let gradients = known.iter().map(|it| it.cost.gradients).max();
        Shown {
            block: known.iter().map(block).fold(f64::INFINITY, f64::min),
            // The new sum beside the old one.
            adding: adding.or(gradients).unwrap_or(0),
        }
    }

    /// The most that `plan` can need, in bytes. `None` if nothing that was run says anything.
    pub(super) fn at_most(&self, plan: Plan, known: &[Known], shown: Shown) -> Option<u64> {
        let of = |it: &Known| {
            Some(
                it.cost
                    .peak(plan, self.begin_at_most(plan, it, shown)?, shown.adding),
            )
        };
        known.iter().filter_map(of).min()
    }

    /// The most that a plan's passes can need that begin a sum, and its update.
    pub(super) fn at_most_alone(&self, plan: Plan, known: &[Known], shown: Shown) -> Option<u64> {
        let alone = Plan {
            accumulate: 1,
            ..plan
        };
        self.at_most(alone, known, shown)
    }

    /// How far a plan's passes can go above their start, after one that was run.
    fn begin_at_most(&self, plan: Plan, it: &Known, shown: Shown) -> Option<u64> {
        let more_blocks = it.plan.first.checked_sub(plan.first)?;
        if self
            .reach
            .is_some_and(|reach| plan.batch > reach * it.plan.batch)
        {
            return None;
        }
        let scale = (plan.batch as f64 / it.plan.batch as f64).max(1.0);
        let blocks = match more_blocks {
            0 => 0.0,
            more => shown.block * (more * plan.batch) as f64,
        };
        Some((it.cost.begin as f64 * scale + blocks).ceil() as u64)
    }

    /// The peak of a plan that was run, as measured; where passes that add were not, what they need at most.
    pub(super) fn peak(&self, known: &Known, shown: Shown) -> u64 {
        let Known { plan, cost } = known;
        let begins = cost.peak(
            Plan {
                accumulate: 1,
                ..*plan
            },
            cost.begin,
            0,
        );
        match (plan.accumulate, cost.add) {
            (1, _) => begins,
            (_, Some(add)) => begins.max(cost.peak(*plan, add, 0)),
            (_, None) => cost.peak(*plan, cost.begin, shown.adding),
        }
    }
}
