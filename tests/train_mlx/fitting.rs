//! Fitting real steps.

use super::alone;
use super::network::Network;
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::transforms::eval;
use mlx_wired::Manager;
use mlx_wired::train::{Fit, Fittable, Plan};

/// Rows of an update.
const ROWS: usize = 2048;

/// A network whose gradients are added up.
struct Trainer {
    network: Network,
    sum: Vec<Array>,
    /// The highest peak of each call, by plan, as MLX has it.
    peaks: Vec<(Plan, usize)>,
    plan: Option<Plan>,
}

impl Trainer {
    fn new() -> Self {
        Self {
            network: Network::new(1),
            sum: Vec::new(),
            peaks: Vec::new(),
            plan: None,
        }
    }

    fn note(&mut self) -> Result<(), Exception> {
        let peak = mlx_rs::memory::peak_memory()?;
        self.peaks.extend(self.plan.map(|plan| (plan, peak)));
        Ok(())
    }

    /// The highest peak of an update by a plan, run as a training would.
    fn sweep(&mut self, plan: Plan) -> usize {
        self.peaks.clear();
        for _ in 0..3 {
            for pass in 0..plan.accumulate {
                mlx_rs::memory::reset_peak_memory().unwrap();
                self.pass(plan, pass == 0).unwrap();
            }
            mlx_rs::memory::reset_peak_memory().unwrap();
            self.update().unwrap();
        }
        self.peaks.iter().map(|it| it.1).max().unwrap()
    }
}

impl Fittable for Trainer {
    type Error = Exception;

    fn pass(&mut self, plan: Plan, begins: bool) -> Result<(), Exception> {
        self.plan = Some(plan);
        if begins {
            self.sum.clear();
        }
        let rows = i32::try_from(plan.batch).expect("it is small");
        let batch = self.network.batch(rows);
        let weight = plan.batch as f32 / ROWS as f32;
        self.network.add_gradients(&batch, weight, &mut self.sum)?;
        eval(&self.sum)?;
        self.note()
    }

    fn update(&mut self) -> Result<(), Exception> {
        let sum = std::mem::take(&mut self.sum);
        self.network.update(&sum)?;
        self.note()
    }
}

#[test]
fn real_steps_are_fitted_within_their_budgets() {
    let _alone = alone();
    let mut trainer = Trainer::new();
    let batches: Vec<usize> = (0..=11).map(|power| 1 << power).collect();
    let all: Vec<(Plan, usize)> = batches
        .iter()
        .map(|&batch| Plan::new(ROWS, batch, 0))
        .map(|plan| (plan, trainer.sweep(plan)))
        .collect();
    drop(trainer);
    for part in [3, 7, 10] {
        // A little more than one of them needs.
        let budget = all[part].1 as u64 * 17 / 16;
        let mut trainer = Trainer::new();
        let fit = Fit::new(budget, ROWS).manager(Manager::shared());
        let fitted = fit.run(&mut trainer).unwrap();
        let highest = trainer.peaks.iter().map(|it| it.1 as u64).max().unwrap();
        assert!(
            highest <= budget,
            "{highest} of {budget}\n{fitted}\n{all:?}"
        );
        let again = trainer.sweep(fitted.plan) as u64;
        assert!(again <= budget, "{again} of {budget}\n{fitted}");
        assert!(
            again.abs_diff(fitted.peak) <= budget / 50,
            "{again}\n{fitted}"
        );
        // A row takes 1/64 of a pass's overhead: the largest batch that fits, or one that is nearly as fast.
        assert!(
            fitted.plan.batch >= all[part].0.batch / 8,
            "{fitted}\n{all:?}"
        );
        assert!(fitted.probes <= 10);
    }
}
