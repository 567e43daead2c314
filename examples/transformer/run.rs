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

pub(crate) fn run(
    setting: &Setting,
    text: &Text,
    trainer: &mut Trainer,
    fitted: &Fitted,
    needs: &Needs,
    bars: &Bars,
) -> Result<Outcome, Failure> {
    let size = setting.size;
    // What the training was fitted into, and what is done beside it.
    let beside = needs.ticket(&needs.evaluation) + needs.ticket(&needs.sampling);
    let budget = setting.budget() + beside;
    let policy = SumPolicy::capped(budget);
    // Weights and moments stay, from the first update on. A step takes what fitting measured, and a margin.
    trainer.step(fitted.plan)?;
    let kept = trainer.bytes();
    trainer.start_again()?;
    let step = Measured::ticket_bytes_for(device().kind, fitted.above_start);
    let step = policy
        .ticket(step.min(setting.budget().saturating_sub(kept)))
        .label("step");
    let evaluation = policy
        .ticket(needs.ticket(&needs.evaluation))
        .label("evaluation");
    let sampling = policy
        .ticket(needs.ticket(&needs.sampling))
        .label("sampling");
    let kept = policy
        .ticket(kept)
        .reservation()
        .room_for(step.bytes())
        .label("weights and moments");
    let run = Run::builder().ticket(kept).budget(budget).start()?;
    let seen = Seen::new(&run);

    let (losses, evaluations, samples) = thread::scope(|scope| {
        let evaluator = Beside::start(scope, evaluation.clone(), |weights| {
            Ok(seen
                .work(Work::Evaluation, || evaluate(size, text, weights))?
                .0)
        });
        let sampler = Beside::start(scope, sampling.clone(), |weights| {
            Ok(seen
                .work(Work::Sampling, || {
                    sample(size, text, weights, setting.sampled)
                })?
                .0)
        });
        let line = bars.line("training", setting.updates as u64);
        let mut train = || -> Result<Vec<f64>, Failure> {
            let mut losses = Vec::new();
            for update in 1..=setting.updates {
                let guard = step.acquire()?;
                let (loss, report) = seen.work(Work::Step, || trainer.step(fitted.plan))?;
                drop(guard);
                losses.push(loss);
                line.inc(1);
                line.set_message(format!("loss {loss:.3}  {}", report.line()));
                if let Some(growth) = report.growth {
                    line.println(growth.to_string());
                }
                if update % setting.look_every == 0 && update < setting.updates {
                    evaluator.look(trainer.weights(), update)?;
                    sampler.look(trainer.weights(), update)?;
                }
            }
            Ok(losses)
        };
        let losses = train();
        drop(line);
        // The last of each alone.
        let last = losses.is_ok().then(|| trainer.weights());
        let mut evaluations = evaluator.finish()?;
        let mut samples = sampler.finish()?;
        if let Some(weights) = last {
            let guard = evaluation.acquire()?;
            let evaluated = seen.work(Work::Evaluation, || evaluate(size, text, weights))?;
            evaluations.push((setting.updates, evaluated.0));
            drop(guard);
            let _guard = sampling.acquire()?;
            let sampled = seen.work(Work::Sampling, || {
                sample(size, text, weights, setting.sampled)
            })?;
            samples.push((setting.updates, sampled.0));
        }
        Ok::<_, Failure>((losses?, evaluations, samples))
    })?;
    let row = |label, ticket: &Ticket, kept: u64, kind| TicketRow {
        label,
        ticket: ticket.bytes(),
        peak: kept + seen.most(kind),
    };
    let tickets = vec![
        row("step", &step, 0, Work::Step),
        row("evaluation", &evaluation, needs.weights, Work::Evaluation),
        row("sampling", &sampling, needs.weights, Work::Sampling),
    ];
    Ok(Outcome {
        losses,
        evaluations,
        samples,
        tickets,
        budget,
        summary: run.finish()?,
    })
}
