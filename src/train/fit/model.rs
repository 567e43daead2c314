//! What is expected of plans that were not run.

use super::cost::Cost;
use super::probes::Search;
use super::space::Known;
use super::surface::{Point, Surface};
use crate::train::fit_plan::Plan;

/// What the plans that were run let expect of all others: two surfaces, of peaks and of times, each through the nearest plan
/// that was run.
pub(super) struct Model<'a> {
    search: &'a Search,
    peaks: Surface,
    times: Surface,
    update_time: f64,
    /// The most blocks that are recomputed.
    most: usize,
}

impl<'a> Model<'a> {
    /// `None` if no plan stayed within.
    pub(super) fn of(search: &'a Search) -> Option<Self> {
        let Known { plan, cost } = search.known.first()?;
        let most = search.space.levels.first().copied().unwrap_or(0);
        let updates = search.known.iter().filter_map(|it| it.cost.update_time);
        let points = |of: fn(&Known, usize) -> Point| -> Vec<Point> {
            search.known.iter().map(|it| of(it, most)).collect()
        };
        let blocks = if search.space.levels.len() > 1 {
            most as f64
        } else {
            0.0
        };
        let rows = plan.batch as f64;
        let block = search.space.shown(&search.known).block;

        // Before anything else is known: the gradients are what does not grow, and a block keeps half of what it can at most.
        let begin = cost.begin as f64;
        let fixed = (cost.gradients as f64).min(begin / 2.0);
        let row = (begin - fixed) / rows;
        let block = if blocks > 0.0 { block / 2.0 } else { 0.0 };
        let peaks = Surface::through(&points(peak), [fixed, row, block]);

        // A fifth of a pass does not grow, and recomputing all adds a third to the rest.
        let pass = seconds(cost);
        let row = 0.8 * pass / rows;
        let (base, block) = match blocks > 0.0 {
            true => (row * 3.0 / 4.0, row / 4.0 / blocks),
            false => (row, 0.0),
        };
        let times = Surface::through(&points(time), [0.2 * pass, base, block]);
        Some(Self {
            search,
            peaks,
            times,
            update_time: updates.min().unwrap_or_default().as_secs_f64(),
            most,
        })
    }

    /// Rows per second: as measured where that was done.
    pub(super) fn rate(&self, plan: Plan) -> f64 {
        let rows = self.search.space.rows;
        let pass = self.pass_time(plan.batch, plan.first);
        let rest = match rows % plan.batch {
            0 => 0.0,
            rest => self.pass_time(rest, plan.first).min(pass),
        };
        let full = (rows / plan.batch) as f64;
        rows as f64 / (full * pass + rest + self.update_time)
    }

    fn pass_time(&self, batch: usize, first: usize) -> f64 {
        let at = |batch: usize, first: usize| self.times.at(batch as f64, first as f64);
        let nearest = self.nearest(batch, first);
        let there = at(nearest.plan.batch, nearest.plan.first);
        seconds(&nearest.cost) * at(batch, first) / there.max(f64::MIN_POSITIVE)
    }

    /// The peak that is expected.
    pub(super) fn peak(&self, plan: Plan) -> u64 {
        self.search.peak(&self.guess(plan))
    }

    /// What a plan that was not run would take at best: where nothing was run in its direction, no more than now.
    pub(super) fn hope(&self, plan: Plan) -> Known {
        let Known { plan: from, cost } = *self.nearest(plan.batch, plan.first);
        let known = &self.search.known;
        let tells = |of: fn(&Plan) -> usize| {
            of(&plan) == of(&from) || known.iter().any(|it| of(&it.plan) != of(&from))
        };
        let share = match tells(|it| it.batch) && tells(|it| it.first) {
            true => 0.9,
            false => 0.0,
        };
        let mut hope = self.guess(plan);
        if let Some(more) = hope.cost.begin.checked_sub(cost.begin) {
            hope.cost.begin = cost.begin + (share * more as f64) as u64;
        }
        hope
    }

    /// What a plan that was not run would take.
    pub(super) fn guess(&self, plan: Plan) -> Known {
        let at = |plan: Plan| {
            let kept = self.most.saturating_sub(plan.first);
            self.peaks.at(plan.batch as f64, kept as f64)
        };
        let nearest = self.nearest(plan.batch, plan.first);
        let share = at(plan) / at(nearest.plan).max(f64::MIN_POSITIVE);
        let cost = Cost {
            begin: (nearest.cost.begin as f64 * share) as u64,
            add: None,
            ..nearest.cost
        };
        Known { plan, cost }
    }

    /// The plan that was run and is most like this.
    fn nearest(&self, batch: usize, first: usize) -> &Known {
        let distance = |it: &&Known| {
            let batches = (batch as f64 / it.plan.batch as f64).ln().abs();
            let blocks = first.abs_diff(it.plan.first) as f64 / self.most.max(1) as f64;
            batches + 2.0 * blocks
        };
        let known = self.search.known.iter();
        let nearest = known.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.unwrap_or(&self.search.known[0])
    }
}

fn peak(it: &Known, most: usize) -> Point {
    Point {
        rows: it.plan.batch as f64,
        blocks: most.saturating_sub(it.plan.first) as f64,
        cost: (it.cost.begin as f64).max(1.0),
    }
}

fn time(it: &Known, _: usize) -> Point {
    Point {
        rows: it.plan.batch as f64,
        blocks: it.plan.first as f64,
        cost: seconds(&it.cost),
    }
}

fn seconds(cost: &Cost) -> f64 {
    cost.pass_time.unwrap_or_default().as_secs_f64().max(1e-9)
}
