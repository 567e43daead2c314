//! The run: training, evaluation and sampling, each under its ticket.

use crate::Failure;
use crate::beside::{Beside, evaluate, sample};
use crate::data::Text;
use crate::model;
use crate::options::Setting;
use crate::progress::Bars;
use crate::report::TicketRow;
use crate::seen::{Seen, Work};
use crate::train::Trainer;
use mlx_rs::Array;
use mlx_wired::ffi::device;
use mlx_wired::train::{Fitted, Measured, Measuring, Run, RunSummary};
use mlx_wired::{Policy, SumPolicy, Ticket};
use std::thread;

/// What the work beside the training needs, measured alone before anything else begins.
pub(crate) struct Needs {
    evaluation: Measured,
    sampling: Measured,
    /// A snapshot of the weights, which each of both keeps.
    weights: u64,
}

pub(crate) struct Outcome {
    pub(crate) losses: Vec<f64>,
    pub(crate) evaluations: Vec<(usize, f64)>,
    pub(crate) samples: Vec<(usize, String)>,
    pub(crate) tickets: Vec<TicketRow>,
    pub(crate) budget: u64,
    pub(crate) summary: RunSummary,
}

impl Needs {
    pub(crate) fn measure(
        setting: &Setting,
        text: &Text,
        trainer: &Trainer,
    ) -> Result<Self, Failure> {
        let (size, weights) = (setting.size, trainer.weights());
        let evaluation = Measuring::new("evaluation").warm_up(1);
        let sampling = Measuring::new("sampling").warm_up(1);
        Ok(Self {
            evaluation: evaluation.run(|| evaluate(size, text, weights))?,
            sampling: sampling.run(|| sample(size, text, weights, 8))?,
            weights: model::bytes(weights),
        })
    }

    fn ticket(&self, of: &Measured) -> u64 {
        self.weights + of.ticket_bytes()
    }
}

/// What each work may take. All together come to the budget: what the training was fitted into, and the work beside it.
struct Tickets {
    budget: u64,
    /// Weights and moments.
    kept: Ticket,
    step: Ticket,
    evaluation: Ticket,
    sampling: Ticket,
}

impl Tickets {
    fn new(setting: &Setting, fitted: &Fitted, needs: &Needs) -> Self {
        let evaluation = needs.ticket(&needs.evaluation);
        let sampling = needs.ticket(&needs.sampling);
        let budget = setting.budget() + evaluation + sampling;
        let policy = SumPolicy::capped(budget);
        // The weights and Adam's two moments, as the estimate has it.
        let kept = 3 * needs.weights;
        // What fitting measured, and a margin.
        let step = Measured::ticket_bytes_for(device().kind, fitted.above_start);
        let step = step.min(setting.budget().saturating_sub(kept));
        let kept = policy.ticket(kept).reservation().room_for(step);
        Self {
            budget,
            kept: kept.label("weights and moments"),
            step: policy.ticket(step).label("step"),
            evaluation: policy.ticket(evaluation).label("evaluation"),
            sampling: policy.ticket(sampling).label("sampling"),
        }
    }

    fn rows(&self, seen: &Seen, needs: &Needs) -> Vec<TicketRow> {
        let row = |label, ticket: &Ticket, kept: u64, work| TicketRow {
            label,
            ticket: ticket.bytes(),
            peak: kept + seen.most(work),
        };
        let snapshot = needs.weights;
        vec![
            row("step", &self.step, 0, Work::Step),
            row("evaluation", &self.evaluation, snapshot, Work::Evaluation),
            row("sampling", &self.sampling, snapshot, Work::Sampling),
        ]
    }
}

pub(crate) fn run(
    setting: &Setting,
    text: &Text,
    trainer: &mut Trainer,
    fitted: &Fitted,
    needs: &Needs,
    bars: &Bars,
) -> Result<Outcome, Failure> {
    let size = setting.size;
    let tickets = Tickets::new(setting, fitted, needs);
    let kept = tickets.kept.clone();
    let run = Run::builder().ticket(kept).budget(tickets.budget).start()?;
    let seen = Seen::new(&run);
    let evaluate = |weights: &[Array]| {
        let work = || evaluate(size, text, weights);
        Ok(seen.work(Work::Evaluation, work)?.0)
    };
    let sample = |weights: &[Array]| {
        let work = || sample(size, text, weights, setting.sampled);
        Ok(seen.work(Work::Sampling, work)?.0)
    };

    let (losses, evaluations, samples) = thread::scope(|scope| {
        let evaluator = Beside::start(scope, tickets.evaluation.clone(), evaluate);
        let sampler = Beside::start(scope, tickets.sampling.clone(), sample);
        let line = bars.line("training", setting.updates as u64);
        let mut losses = Vec::new();
        for update in 1..=setting.updates {
            let guard = tickets.step.acquire()?;
            let (loss, report) = seen.work(Work::Step, || trainer.step(fitted.plan))?;
            drop(guard);
            losses.push(loss);
            line.inc(1);
            line.set_message(format!("loss {loss:.3}  {}", report.line()));
            if let Some(growth) = report.growth {
                line.println(growth.to_string());
            }
            if update % setting.look_every == 0 {
                evaluator.look(trainer.weights(), update)?;
                sampler.look(trainer.weights(), update)?;
            }
        }
        drop(line);
        // Once each with nothing beside it: then what it took is seen.
        let evaluations = evaluator.finish()?;
        let samples = sampler.finish()?;
        let guard = tickets.evaluation.acquire()?;
        evaluate(trainer.weights())?;
        drop(guard);
        let guard = tickets.sampling.acquire()?;
        sample(trainer.weights())?;
        drop(guard);
        Ok::<_, Failure>((losses, evaluations, samples))
    })?;
    Ok(Outcome {
        losses,
        evaluations,
        samples,
        tickets: tickets.rows(&seen, needs),
        budget: tickets.budget,
        summary: run.finish()?,
    })
}
