//! Which plan is run next, and when the best is known.

use super::Plan;
use super::meter::Outcome;
use super::space::{Known, Space};
use super::surface::{Point, Surface};
use crate::train::Error;

/// How many plans are run at most.
pub(super) const MOST: usize = 10;
/// Rates this near are the same, and the plan that needs less memory is taken.
const TIE: f64 = 0.97;
/// From here on nothing is run but what may be chosen.
const LAST: usize = 8;
/// A plan on the way has to lower the bound to so much of it.
const WORTH: f64 = 0.99;

/// The search, as it stands.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) space: Space,
    pub(super) known: Vec<Known>,
    /// Plans that needed more than may be used, and how much.
    pub(super) over: Vec<(Plan, u64)>,
    /// What each plan that was run was expected to need.
    pub(super) expected: Vec<(Plan, u64)>,
}

/// What is expected of plans that were not run.
pub(super) struct Model<'a> {
    search: &'a Search,
    peaks: Surface,
    times: Surface,
    update_time: f64,
}

impl Search {
    pub(super) fn new(space: Space) -> Self {
        Self {
            space,
            known: Vec::new(),
            over: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// Runs plans until the best of all that are shown to stay within is one that was run.
    pub(super) fn run(
        &mut self,
        mut measure: impl FnMut(Plan, bool) -> Result<Outcome, Error>,
    ) -> Result<(), Error> {
        self.see(self.space.least(), measure(self.space.least(), true)?);
        while !self.known.is_empty() && self.ran() < MOST {
            let Some(next) = self.next() else {
                break;
            };
            let model = self.model();
            let expected = model.as_ref().map_or(0, |model| model.peak(next));
            self.expected.push((next, expected));
            self.see(next, measure(next, false)?);
        }
        Ok(())
    }

    pub(super) fn ran(&self) -> usize {
        self.known.len() + self.over.len()
    }

    fn see(&mut self, plan: Plan, outcome: Outcome) {
        match outcome {
            Outcome::Within(cost) => self.known.push(Known { plan, cost }),
            Outcome::Over(needs) => self.over.push((plan, needs)),
        }
    }

    fn is_known(&self, plan: Plan) -> bool {
        self.known.iter().any(|it| it.plan == plan) || self.over.iter().any(|it| it.0 == plan)
    }

    /// Whether a plan that was run may be chosen.
    pub(super) fn fits(&self, known: &Known) -> bool {
        self.space.choices().any(|plan| plan == known.plan)
            && known.cost.peak(known.plan) <= self.space.limit
    }

    /// The plans that were run and may be chosen, with their rates.
    pub(super) fn fitting<'a>(
        &'a self,
        model: &'a Model<'_>,
    ) -> impl Iterator<Item = (&'a Known, f64)> {
        let fitting = self.known.iter().filter(|known| self.fits(known));
        fitting.map(|known| (known, model.rate(known.plan)))
    }

    /// The choice: of the fastest that were run the one that needs least.
    pub(super) fn best<'a>(&'a self, model: &'a Model<'_>) -> Option<(&'a Known, f64)> {
        let fastest = self.fitting(model).map(|it| it.1).fold(0.0, f64::max);
        let near = self.fitting(model).filter(|it| it.1 >= fastest * TIE);
        near.min_by_key(|(known, _)| known.cost.peak(known.plan))
    }

    /// Whether a rate is not above another one, beyond what is a tie.
    pub(super) fn is_no_faster(&self, rate: f64, taken: f64) -> bool {
        rate * TIE <= taken
    }

    /// The plan that needs least of all, and how much; for when none fits.
    pub(super) fn least_of_all(&self, model: Option<&Model<'_>>) -> (Plan, u64) {
        let over = self.over.iter().copied();
        let known = self.known.iter().map(|it| (it.plan, it.cost.peak(it.plan)));
        let run = over
            .chain(known)
            .filter(|it| self.space.choices().any(|plan| plan == it.0));
        let guessed = self.space.choices().filter(|plan| !self.is_known(*plan));
        let guessed = guessed.filter_map(|plan| Some((plan, model?.peak(plan))));
        let least = run.chain(guessed).min_by_key(|it| it.1);
        least
            .or(self.over.first().copied())
            .unwrap_or((self.space.least(), 0))
    }

    fn next(&self) -> Option<Plan> {
        let model = self.model()?;
        let reached = self.fitting(&model).map(|it| it.1).fold(0.0, f64::max);
        let mut wanted: Vec<(Plan, f64)> = self
            .space
            .choices()
            .filter(|plan| !self.is_known(*plan))
            .map(|plan| (plan, model.rate(plan)))
            .filter(|(_, rate)| rate * TIE > reached)
            .collect();
        wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
        wanted
            .into_iter()
            .find_map(|(plan, _)| self.towards(plan, &model))
    }

    /// `wanted` itself if it is shown to stay within; otherwise the plan that shows most about it, if one does.
    fn towards(&self, wanted: Plan, model: &Model<'_>) -> Option<Plan> {
        let block = self.space.block_at_most(&self.known);
        let bound = |plan| self.space.at_most(plan, &self.known, block);
        if bound(wanted).is_some_and(|bound| bound <= self.space.limit) {
            return Some(wanted);
        }
        if self.ran() >= LAST || model.peak(wanted) > self.space.limit {
            return None;
        }
        let steps = self.space.on_the_way().filter(|step| {
            !self.is_known(*step) && bound(*step).is_some_and(|bound| bound <= self.space.limit)
        });
        let after = |step: Plan| {
            let mut known = self.known.clone();
            known.push(model.guess(step));
            let block = self.space.block_at_most(&known);
            self.space
                .at_most(wanted, &known, block)
                .unwrap_or(u64::MAX)
        };
        let best = steps
            .map(|step| (step, after(step)))
            .min_by_key(|it| it.1)?;
        let now = bound(wanted).map_or(f64::INFINITY, |bound| bound as f64);
        ((best.1 as f64) < now * WORTH).then_some(best.0)
    }

    /// What follows from the plans that were run; `None` if none stayed within.
    pub(super) fn model(&self) -> Option<Model<'_>> {
        let known = self.known.first()?;
        let most = self.space.levels.first().copied().unwrap_or(0) as f64;
        let has_levels = self.space.levels.len() > 1;
        let (rows, cost) = (known.plan.batch as f64, known.cost);

        // Before anything else is known: the gradients are what does not grow, a block's activations are half of what a row
        // takes while one block is recomputed.
        let passes = cost.passes_above() as f64;
        let fixed = (cost.gradients as f64).min(passes / 2.0);
        let row = (passes - fixed) / rows;
        let block = if has_levels { row / 2.0 } else { 0.0 };
        let peak = |it: &Known| Point {
            rows: it.plan.batch as f64,
            blocks: most - it.plan.first as f64,
            cost: it.cost.passes_above() as f64,
        };
        let points: Vec<Point> = self.known.iter().map(peak).collect();
        let peaks = Surface::through(&points, [fixed, row, block]);

        // A fifth does not grow, and recomputing all is a third more.
        let time = |it: &Known| Point {
            rows: it.plan.batch as f64,
            blocks: it.plan.first as f64,
            cost: it
                .cost
                .pass_time
                .unwrap_or_default()
                .as_secs_f64()
                .max(1e-9),
        };
        let points: Vec<Point> = self.known.iter().map(time).collect();
        let pass = points[0].cost;
        let row = 0.8 * pass / rows;
        let share = if has_levels && most > 0.0 {
            1.0 / 4.0
        } else {
            0.0
        };
        let times = Surface::through(
            &points,
            [0.2 * pass, row * (1.0 - share), row * share / most.max(1.0)],
        );

        let updates = self.known.iter().filter_map(|it| it.cost.update_time);
        let update_time = updates.min().unwrap_or_default().as_secs_f64();
        Some(Model {
            search: self,
            peaks,
            times,
            update_time,
        })
    }
}

impl Model<'_> {
    /// Rows per second: of the plans that were run by their own time, of others by the model's, corrected by what it is wrong
    /// by at the nearest that was run.
    pub(super) fn rate(&self, plan: Plan) -> f64 {
        let rows = self.search.space.rows;
        let (full, rest) = (rows / plan.batch, rows % plan.batch);
        let pass = self.pass_time(plan.batch, plan.first);
        let rest = match rest {
            0 => 0.0,
            rest => self.pass_time(rest, plan.first).min(pass),
        };
        rows as f64 / (full as f64 * pass + rest + self.update_time)
    }

    fn pass_time(&self, batch: usize, first: usize) -> f64 {
        let at = |batch: usize, first: usize| self.times.at(batch as f64, first as f64);
        let nearest = self.nearest(batch, first);
        let measured = nearest.cost.pass_time.unwrap_or_default().as_secs_f64();
        at(batch, first) * measured
            / at(nearest.plan.batch, nearest.plan.first).max(f64::MIN_POSITIVE)
    }

    /// The peak, by the model alone.
    pub(super) fn peak(&self, plan: Plan) -> u64 {
        self.guess(plan).cost.peak(plan)
    }

    /// What a plan that was not run would take: as the nearest that was, in the proportion of the model.
    fn guess(&self, plan: Plan) -> Known {
        let most = self.search.space.levels.first().copied().unwrap_or(0);
        let at = |plan: Plan| self.peaks.at(plan.batch as f64, (most - plan.first) as f64);
        let nearest = self.nearest(plan.batch, plan.first);
        let mut cost = nearest.cost;
        let measured = cost.passes_above();
        let above = measured as f64 * at(plan) / at(nearest.plan).max(f64::MIN_POSITIVE);
        let more = above - measured as f64;
        let moved = |bytes: u64| (bytes as f64 + more).max(0.0) as u64;
        cost.begin = moved(cost.begin);
        cost.add = moved(cost.add);
        Known { plan, cost }
    }

    fn nearest(&self, batch: usize, first: usize) -> &Known {
        let levels = &self.search.space.levels;
        let most = levels.first().copied().unwrap_or(0).max(1) as f64;
        let distance = |it: &&Known| {
            let batches = (batch as f64 / it.plan.batch as f64).ln().abs();
            batches + 2.0 * (first as f64 - it.plan.first as f64).abs() / most
        };
        let known = self.search.known.iter();
        let nearest = known.min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.unwrap_or(&self.search.known[0])
    }
}
