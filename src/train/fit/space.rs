//! What there is to choose from, and the most that each plan can need.

use super::Plan;
use super::cost::Cost;

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

/// A plan that was run and stayed within.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) plan: Plan,
    pub(super) cost: Cost,
}

impl Space {
    pub(super) fn plan(&self, batch: usize, first: usize) -> Plan {
        Plan::new(self.rows, batch, first)
    }

    /// All plans to choose from.
    pub(super) fn choices(&self) -> impl Iterator<Item = Plan> + '_ {
        self.grid(&self.batches)
    }

    /// All plans that are run on the way.
    pub(super) fn on_the_way(&self) -> impl Iterator<Item = Plan> + '_ {
        self.grid(&self.batches).chain(self.grid(&self.steps))
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

    /// The most that one row's activations of one block can be, in bytes: each plan says something about it. Those of all
    /// blocks that are not recomputed live together when the backward pass begins, and those of one that is live at once when
    /// it is recomputed.
    pub(super) fn block_at_most(&self, known: &[Known]) -> f64 {
        let of = |it: &Known| {
            let together = self.blocks.saturating_sub(it.plan.first).max(1);
            let above = match it.cost.accumulates && it.plan.accumulate > 1 {
                true => it.cost.begin.min(it.cost.add),
                false => it.cost.begin,
            };
            above as f64 / (it.plan.batch * together) as f64
        };
        known.iter().map(of).fold(f64::INFINITY, f64::min)
    }

    /// The most that `plan` can need, in bytes, after what is known. `None` if nothing known says anything.
    pub(super) fn at_most(&self, plan: Plan, known: &[Known], block: f64) -> Option<u64> {
        let of = |it: &Known| {
            let more_blocks = it.plan.first.checked_sub(plan.first)?;
            if self
                .reach
                .is_some_and(|reach| plan.batch > reach * it.plan.batch)
            {
                return None;
            }
            let scale = (plan.batch as f64 / it.plan.batch as f64).max(1.0);
            let blocks = (more_blocks * plan.batch) as f64 * block;
            Some(
                it.cost
                    .at_most(plan, scale, if more_blocks > 0 { blocks } else { 0.0 }),
            )
        };
        known.iter().filter_map(of).min()
    }
}
