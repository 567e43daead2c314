//! In a child: what each job needs alone, and all jobs in one way.

use crate::child;
use crate::failure::Failure;
use crate::task::{Bound, Said, Shape, Sized, Turn, Turned, Wanted};
use mlx_wired::ffi::{self, DeviceKind};
use mlx_wired::train::{Measured, Measuring, Run, Workers};
use mlx_wired::{Manager, SumPolicy};
use std::sync::{Arc, Barrier};
use std::time::Instant;

/// How much of its memory a job keeps from its first step to its last.
const KEPT: f64 = 0.85;
/// What shows how much a row takes. The second step is like those after it.
const TRIAL: Shape = Shape {
    rows: 1 << 14,
    steps: 2,
    kept: 0,
};

/// How many rows take what a job does not keep, and what a ticket for it asks for.
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
    /// All jobs.
    pub(crate) fn take(self) -> Result<(), Failure> {
        if ffi::device().kind != DeviceKind::Cuda {
            return Err("there is no card".into());
        }
        // Kernels are compiled here, before several threads want them.
        Shape { rows: 256, ..TRIAL }.train()?;
        let manager = Manager::shared();
        let policy = SumPolicy::new();
        let in_a_run = self.bound != Bound::ByHand;
        let run = in_a_run.then(|| Run::builder().start()).transpose()?;
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
            let tickets = self.bound == Bound::Tickets;
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
