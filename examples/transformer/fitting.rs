//! Fitting the training into budgets.

use crate::Failure;
use crate::model;
use crate::options::Setting;
use crate::progress::Bars;
use crate::report::FitRow;
use crate::sweep::Sweep;
use crate::train::Trainer;
use mlx_wired::train::{Fit, Fitted};

/// For each budget the plan to train with, chosen by running a few.
pub(crate) fn fit_all(
    setting: &Setting,
    trainer: &mut Trainer,
    bars: &Bars,
) -> Result<Vec<Fitted>, Failure> {
    let line = bars.line("fit", setting.budgets.len() as u64);
    let mut all = Vec::new();
    for budget in setting.budgets {
        line.set_message(format!("{:.1} MB", budget as f64 / 1e6));
        let fit = Fit::new(budget, setting.rows)
            .batches(setting.batches.iter().copied())
            .blocks(setting.size.blocks)
            // The gradients, and Adam's two moments: as the estimate has it, each as large as the weights.
            .at_least(3 * model::bytes(trainer.weights()));
        all.push(fit.run(trainer)?);
        line.inc(1);
    }
    Ok(all)
}

/// What was chosen, beside the best that the sweep found within the same budget.
pub(crate) fn rows(fitted: &[Fitted], sweep: &Sweep) -> Result<Vec<FitRow>, Failure> {
    let row = |fitted: &Fitted| {
        let (plan, budget) = (fitted.plan, fitted.budget);
        let chosen = sweep.row(plan).ok_or("a plan that was not swept")?;
        Ok(FitRow {
            budget,
            batch: plan.batch,
            first: plan.first,
            accumulate: plan.accumulate,
            probes: fitted.probes,
            peak: fitted.peak,
            highest_probe: fitted.highest_probe,
            rows_per_s: chosen.rows_per_s,
            best_rows_per_s: sweep
                .best(budget)
                .ok_or("no plan of the sweep is within a budget")?,
        })
    };
    fitted.iter().map(row).collect()
}
