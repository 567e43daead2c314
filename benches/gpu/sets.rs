//! Two sets of jobs that do not fit the card together, run without tickets by every number of workers, and with tickets.

use crate::child;
use crate::failure::Failure;
use crate::outcome::{self, Outcome};
use crate::report::Report;
use crate::task::{Said, Shape, Sized, Task, Turn, Turned, Wanted};
use mlx_wired::ffi::{self, DeviceKind};
use mlx_wired::train::{Measured, Measuring, Run, Workers};
use mlx_wired::{Manager, SumPolicy};
use std::sync::{Arc, Barrier};
use std::time::Instant;

/// The most workers that are tried by hand.
const BY_HAND: usize = 12;
/// With tickets: about where one card gains nothing by more. Bytes bound them further.
const WITH_TICKETS: usize = 7;
/// How much of its memory a job keeps from its first step to its last.
const KEPT: f64 = 0.85;
/// How often a set is run with tickets, and by the best number by hand. Medians are compared: single runs differ by a tenth.
const RUNS: usize = 5;
/// What shows how much a row takes. The second step is like those after it.
const TRIAL: Shape = Shape {
    rows: 1 << 14,
    steps: 2,
    kept: 0,
};

struct Set {
    name: &'static str,
    /// What each job takes, as a part of the card.
    parts: Vec<f64>,
}

/// Each 2.1 times the card. Of `mixed` four are large, which come first; three of them fit together, by hand and by their
/// tickets.
fn sets() -> [Set; 2] {
    let mixed = [vec![0.3; 4], vec![0.06; 11], vec![0.02; 12]].concat();
    [
        Set {
            name: "even",
            parts: vec![2.1 / 19.0; 19],
        },
        Set {
            name: "mixed",
            parts: mixed,
        },
    ]
}

pub(crate) fn compare(report: &mut Report, card: u64, quick: bool) -> Result<(), Failure> {
    let sets = sets()
        .into_iter()
        .filter(|set| report.wants(&format!("sets/{}/", set.name)));
    let mut failed = Ok(());
    for set in Vec::from_iter(sets) {
        let jobs = set.jobs(card, quick);
        let compared = jobs.and_then(|jobs| set.compare(report, card, &jobs, quick));
        failed = failed.and(outcome::tell_failure(
            compared,
            report,
            &format!("sets/{}", set.name),
        ));
    }
    failed
}

impl Set {
    /// Its jobs, with what each needs as it was measured alone.
    fn jobs(&self, card: u64, quick: bool) -> Result<Vec<Sized>, Failure> {
        let steps = if quick { 4 } else { 14 };
        let wanted = |part: &f64| Wanted {
            bytes: (part * card as f64) as u64,
            steps,
        };
        let wanted: Vec<Wanted> = self.parts.iter().map(wanted).collect();
        let mut kinds = wanted.clone();
        kinds.sort_by_key(|kind| kind.bytes);
        kinds.dedup();
        let Said::Measured(sized) = child::answer(&Task::Measure(kinds.clone()))? else {
            return Err("the jobs could not be measured alone".into());
        };
        let size = |wanted: &Wanted| kinds.iter().zip(&sized).find(|(kind, _)| *kind == wanted);
        let jobs: Option<Vec<Sized>> = wanted
            .iter()
            .map(|wanted| size(wanted).map(|(_, sized)| *sized))
            .collect();
        jobs.ok_or_else(|| "a job was not measured".into())
    }

    fn compare(
        &self,
        report: &mut Report,
        card: u64,
        jobs: &[Sized],
        quick: bool,
    ) -> Result<(), Failure> {
        let row = |rest: &str| format!("sets/{}/{rest}", self.name);
        report.info(row("jobs"), jobs.len() as f64, None);
        let by_hand: Vec<usize> = if quick {
            vec![1, 4, BY_HAND]
        } else {
            (1..=BY_HAND).collect()
        };
        let turn = |workers, tickets| -> Result<Outcome, Failure> {
            let jobs = jobs.to_vec();
            let turn = Turn {
                jobs,
                workers,
                tickets,
            };
            Ok(Outcome::of(child::ask(&Task::Turn(turn))?))
        };
        let mut best: Option<(usize, f64)> = None;
        for workers in by_hand {
            let outcome = turn(workers, false)?;
            outcome.tell(report, &row(&format!("without-tickets/{workers}")), card);
            let a_minute = outcome.a_minute();
            if let Some(a_minute) = a_minute.filter(|_| outcome.is_whole(jobs.len()))
                && best.is_none_or(|(_, best)| a_minute > best)
            {
                best = Some((workers, a_minute));
            }
        }
        let runs = if quick { 1 } else { RUNS };
        if let Some((workers, _)) = best {
            report.info(row("best-by-hand/workers"), workers as f64, None);
        }
        let (mut best_by_hand, mut with_tickets) = (Vec::new(), Vec::new());
        // Anew, since the turn that made it the best may have been a lucky one; and in turn, since a machine changes.
        for number in 1..=runs {
            if let Some((workers, _)) = best {
                let outcome = turn(workers, false)?;
                outcome.tell(report, &row(&format!("best-by-hand/{number}")), card);
                best_by_hand.push(outcome);
            }
            let outcome = turn(WITH_TICKETS, true)?;
            outcome.tell(report, &row(&format!("tickets/{number}")), card);
            with_tickets.push(outcome);
        }
        outcome::judge(report, row, jobs.len(), &best_by_hand, &with_tickets);
        Ok(())
    }
}

/// In a child: how many rows take what a job does not keep, and what a ticket for it asks for.
pub(crate) fn measure(wanted: &[Wanted]) -> Result<Vec<Sized>, Failure> {
    let measured = |shape: Shape| -> Result<Measured, Failure> {
        Ok(Measuring::new("job").warm_up(1).run(|| shape.train())?)
    };
    let trial = measured(TRIAL)?;
    let a_row = trial.above_start as f64 / f64::from(TRIAL.rows);
    let size = |wanted: &Wanted| -> Result<Sized, Failure> {
        let kept = (KEPT * wanted.bytes as f64) as u64;
        let shape = Shape {
            rows: ((wanted.bytes - kept) as f64 / a_row) as i32,
            steps: wanted.steps,
            kept,
        };
        let measured = measured(Shape {
            steps: TRIAL.steps,
            ..shape
        })?;
        // What it keeps is known to the byte, and needs no margin.
        let above = measured.above_start.saturating_sub(kept);
        let ticket = kept + Measured::ticket_bytes_for(DeviceKind::Cuda, above);
        Ok(Sized { shape, ticket })
    };
    wanted.iter().map(size).collect()
}

impl Turn {
    /// In a child: all jobs.
    pub(crate) fn take(self) -> Result<(), Failure> {
        if ffi::device().kind != DeviceKind::Cuda {
            return Err("there is no card".into());
        }
        // Kernels are compiled here, before several threads want them.
        Shape { rows: 256, ..TRIAL }.train()?;
        let manager = Manager::shared();
        let policy = SumPolicy::new();
        let run = self.tickets.then(|| Run::builder().start()).transpose()?;
        let (retired, seconds) = Workers::scope(self.workers, |workers| -> Result<_, Failure> {
            // Each thread has what MLX keeps for it before time counts.
            let all = Arc::new(Barrier::new(self.workers));
            let warm_up = workers.map(0..self.workers, move |_| {
                all.wait();
                Shape { rows: 256, ..TRIAL }.train()
            });
            warm_up.into_iter().try_for_each(|warm| warm.map(drop))?;
            ffi::reset_peak_memory()?;
            let began = Instant::now();
            let tickets = self.tickets;
            let work = move |job: Sized| -> Result<(), Failure> {
                let ticket = tickets.then(|| manager.ticket(&policy, job.ticket));
                let guard = ticket.as_ref().map(|ticket| ticket.acquire()).transpose()?;
                job.shape.train()?;
                drop(guard);
                child::say(&Said::Ended)
            };
            for failed in workers
                .map(self.jobs, work)
                .into_iter()
                .filter_map(Result::err)
            {
                let failed = failed.to_string();
                eprintln!("a job failed: {}", failed.lines().next().unwrap_or(""));
            }
            Ok((workers.retired().len(), began.elapsed().as_secs_f64()))
        })??;
        let peak = ffi::memory_counters()?.peak();
        run.map(Run::finish).transpose()?;
        child::say(&Said::Turned(Turned {
            seconds,
            peak,
            retired,
        }))
    }
}
