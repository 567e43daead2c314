//! Which plan is run next, and when the best is known.

use super::meter::Outcome;
use super::model::Model;
use super::probes::Search;
use super::space::Known;
use crate::train::Error;
use crate::train::fit_plan::Plan;
use std::cell::LazyCell;

/// How many plans are run at most.
pub(super) const MOST: usize = 10;
/// Rates this near are the same, and the plan that needs less memory is taken.
const TIE: f64 = 0.97;
/// Times are predicted so much too long at times.
const DOUBT: f64 = 1.08;
/// How many plans are run only because of that.
const DOUBTS: usize = 2;
/// From here on nothing is run but what may be chosen.
const LAST: usize = 8;
/// So many plans are run before a sum of gradients is made that is not shown to fit.
const BEFORE_SUM: usize = 6;
/// A plan on the way has to lower the bound to so much of it.
const WORTH: f64 = 0.99;

impl Search {
    /// Runs plans until the best of all that are shown to stay within is one that was run. `measure` is told how much more a
    /// pass needs that adds to a sum, once that is known.
    pub(super) fn run(
        &mut self,
        mut measure: impl FnMut(Plan, Option<u64>) -> Result<Outcome, Error>,
    ) -> Result<(), Error> {
        let least = self.space.least();
        let outcome = measure(least, None)?;
        self.record(least, outcome);
        loop {
            let most = if self.lacks_sum() { BEFORE_SUM } else { MOST };
            let next = match self.ran() < most {
                true => self.next().or_else(|| self.doubtful()),
                false => None,
            };
            if let Some((next, expected)) = next {
                self.expected.push((next, expected));
                let adding = self.space.shown(&self.known).adding;
                let outcome = measure(next, Some(adding))?;
                self.record(next, outcome);
            } else if self.lacks_sum() {
                self.tried_sum = true;
                match measure(least, Some(0))? {
                    Outcome::Within(cost) => self.known[0].cost = cost,
                    Outcome::Over(needs) => {
                        self.known.remove(0);
                        self.over.push((least, needs));
                    }
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Whether nothing that was run may be chosen, and the plan that needs least may, if a sum is made in its place.
    fn lacks_sum(&self) -> bool {
        let Some(Known { plan, cost }) = self.known.first() else {
            return false;
        };
        let in_place = cost.peak(*plan, cost.begin, 0);
        !self.tried_sum
            && plan.accumulate > 1
            && cost.add.is_none()
            && in_place <= self.space.limit
            && self.model().is_none_or(|model| self.fastest(&model) == 0.0)
    }

    /// How many plans were run.
    pub(super) fn ran(&self) -> usize {
        self.known.len() + self.over.len()
    }

    fn record(&mut self, plan: Plan, outcome: Outcome) {
        match outcome {
            Outcome::Within(cost) => self.known.push(Known { plan, cost }),
            Outcome::Over(needs) => self.over.push((plan, needs)),
        }
    }

    fn is_known(&self, plan: Plan) -> bool {
        self.known.iter().any(|it| it.plan == plan) || self.over.iter().any(|it| it.0 == plan)
    }

    /// Whether a plan needs no less than one that needed more than may be used.
    pub(super) fn is_beyond(&self, plan: Plan) -> bool {
        self.over.iter().any(|(over, _)| {
            let adds = plan.accumulate > 1 || over.accumulate == 1;
            plan.batch >= over.batch && plan.first <= over.first && adds
        })
    }

    /// Whether it is worth asking for a plan.
    fn is_open(&self, plan: Plan) -> bool {
        !self.is_known(plan) && !self.is_beyond(plan)
    }

    /// The plans that were run and may be chosen, with their rates.
    fn fitting<'a>(&'a self, model: &'a Model<'_>) -> impl Iterator<Item = (&'a Known, f64)> {
        let fits = |known: &&Known| {
            self.space.is_choice(known.plan) && self.peak(known) <= self.space.limit
        };
        let fitting = self.known.iter().filter(fits);
        fitting.map(|known| (known, model.rate(known.plan)))
    }

    fn fastest(&self, model: &Model<'_>) -> f64 {
        self.fitting(model).map(|it| it.1).fold(0.0, f64::max)
    }

    /// The choice: of the fastest that were run the one that needs least.
    pub(super) fn best<'a>(&'a self, model: &'a Model<'_>) -> Option<(&'a Known, f64)> {
        let fastest = self.fastest(model);
        let near = self.fitting(model).filter(|it| it.1 >= fastest * TIE);
        near.min_by_key(|(known, _)| self.peak(known))
    }

    /// Whether a rate is not above another one, beyond what is a tie.
    pub(super) fn is_no_faster(rate: f64, than: f64) -> bool {
        rate * TIE <= than
    }

    /// The plan that needs least, and how much at most; for when none fits.
    pub(super) fn least_of_all(&self) -> (Plan, u64) {
        let shown = self.space.shown(&self.known);
        let over = |plan: Plan| self.over.iter().find(|it| it.0 == plan).map(|it| it.1);
        let known = |plan: Plan| self.known.iter().find(|it| it.plan == plan);
        let needs = |plan: Plan| {
            let run = known(plan).map(|it| self.peak(it)).or(over(plan));
            let bytes = run.or_else(|| self.space.at_most(plan, &self.known, shown))?;
            Some((plan, bytes))
        };
        let least = self.space.choices().filter_map(needs).min_by_key(|it| it.1);
        let first = self.over.first().copied();
        least.or(first).unwrap_or((self.space.least(), 0))
    }

    pub(super) fn model(&self) -> Option<Model<'_>> {
        Model::of(self)
    }

    /// The plan that is run next, and what it is expected to need.
    fn next(&self) -> Option<(Plan, u64)> {
        let model = self.model()?;
        let fastest = self.fastest(&model);
        let open = self.space.choices().filter(|plan| self.is_open(*plan));
        let mut wanted: Vec<(Plan, f64)> = open
            .map(|plan| (plan, model.rate(plan)))
            .filter(|(_, rate)| !Self::is_no_faster(*rate, fastest))
            .collect();
        wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let steps = LazyCell::new(|| self.steps());
        let mut wanted = wanted.into_iter();
        let next = wanted.find_map(|(plan, _)| self.towards(plan, &steps, &model))?;
        Some((next, model.peak(next)))
    }

    /// A plan that is shown to stay within and may be the fastest, if its time is predicted too long.
    fn doubtful(&mut self) -> Option<(Plan, u64)> {
        if self.doubts == DOUBTS {
            return None;
        }
        let model = self.model()?;
        let fastest = self.fastest(&model);
        let shown = self.space.shown(&self.known);
        let doubtful = self.space.choices().filter(|plan| {
            let bytes = self.space.at_most(*plan, &self.known, shown);
            self.is_open(*plan) && bytes.is_some_and(|bytes| bytes <= self.space.limit)
        });
        let doubtful = doubtful.map(|plan| (plan, model.rate(plan)));
        let (plan, rate) = doubtful.max_by(|a, b| a.1.total_cmp(&b.1))?;
        if Self::is_no_faster(rate * DOUBT, fastest) {
            return None;
        }
        let expected = model.peak(plan);
        self.doubts += 1;
        Some((plan, expected))
    }

    /// The plans on the way that are shown to stay within where they do not add to a sum.
    fn steps(&self) -> Vec<Plan> {
        let shown = self.space.shown(&self.known);
        let steps = self.space.on_the_way().filter(|step| {
            let alone = self.space.at_most_alone(*step, &self.known, shown);
            self.is_open(*step) && alone.is_some_and(|bytes| bytes <= self.space.limit)
        });
        steps.collect()
    }

    /// `wanted` itself if it is shown to stay within; otherwise the plan that shows most about it, if one does.
    fn towards(&self, wanted: Plan, steps: &[Plan], model: &Model<'_>) -> Option<Plan> {
        let space = &self.space;
        let shown = space.shown(&self.known);
        let now = space.at_most(wanted, &self.known, shown);
        if now.is_some_and(|bytes| bytes <= space.limit) {
            return Some(wanted);
        }
        let may_step = self.ran()
            < if self.fastest(model) > 0.0 {
                LAST
            } else {
                MOST - 1
            };
        if !may_step || self.peak(&model.hope(wanted)) > space.limit {
            return None;
        }
        let after = |step: Plan| {
            let mut known = self.known.clone();
            known.push(model.hope(step));
            space.at_most(wanted, &known, space.shown(&known))
        };
        let steps = steps.iter().filter_map(|step| Some((*step, after(*step)?)));
        let (step, then) = steps.min_by_key(|it| it.1)?;
        let is_worth = now.is_none_or(|now| (then as f64) < now as f64 * WORTH);
        is_worth.then_some(step)
    }
}
