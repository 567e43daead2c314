//! A training run: its limits, held from the start to the end, and what its memory does from step to step.

mod budget;
mod builder;
mod carried;
mod governor;
mod growth;
mod limits;
mod report;
mod series;
mod watch;

pub use builder::{Limit, RunBuilder};
pub use growth::{Growth, GrowthCause};
pub(super) use limits::{Limits, caught};
pub use report::{RunSummary, StepReport};

use super::Error;
use crate::Manager;
use governor::Decision;
use std::sync::{Mutex, MutexGuard, PoisonError};
use watch::{Begun, Watch};

/// A training run: one scope around all steps, validation and checkpoints included.
///
/// It sets the wired limit (through the manager), on CUDA the memory limit, and lets a governor set the limit of MLX's
/// cache. When it ends, by [`finish`](Self::finish), an error or a panic, each is put back for itself. After each step it
/// tells what memory did, in constant time and without allocating: the step's own peak, and [growth](Growth) with its
/// cause.
///
/// Steps may run on any threads, several at once: they share the run by reference. Each step's ticket is its own affair.
/// A run is its process's own: in a forked child it may be dropped, which does nothing there, and no more.
///
/// ```
/// use mlx_wired::Manager;
/// use mlx_wired::ffi::RecordingBackend;
/// use mlx_wired::train::Run;
///
/// # fn train_on(_: u32) -> Result<f32, std::io::Error> { Ok(0.5) }
/// # let manager = Manager::builder().backend(RecordingBackend::cpu().build()).build()?;
/// // On MLX: `Run::start()?`.
/// let run = Run::builder().manager(&manager).start()?;
/// for batch in 0..3 {
///     let (loss, report) = run.step(|| train_on(batch))?;
///     println!("loss {loss:.3}  {report}");
/// }
/// let summary = run.finish()?;
/// assert_eq!(summary.steps, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the run"]
pub struct Run {
    manager: Manager,
    /// Before the limits in the order of locks.
    watch: Mutex<Watch>,
    limits: Mutex<Limits>,
    governs: bool,
}

impl Run {
    /// The manager.
    #[must_use]
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Runs a step, which evaluates what it computes, and tells what memory did.
    ///
    /// # Errors
    ///
    /// The step's own, as it is.
    ///
    /// # Blocking
    ///
    /// As long as the step. Apart from that below a microsecond, but for the steps after which the footprint is read, the
    /// budget measured or the cache's limit set: [`outside_every`](RunBuilder::outside_every),
    /// [`budget_every`](RunBuilder::budget_every), [`cache_limit`](RunBuilder::cache_limit).
    pub fn step<T, E>(&self, step: impl FnOnce() -> Result<T, E>) -> Result<(T, StepReport), E> {
        let backend = &**self.manager.backend();
        let begun = self.watch().begin(backend);
        let mut running = Running {
            run: self,
            begun: Some(begun),
        };
        let done = step()?;
        let begun = running.begun.take();
        Ok((done, self.end(begun)))
    }

    /// Tells what memory did since the last report, for loops that are not made of closures: call it after each step's
    /// evaluation.
    pub fn after_eval(&self) -> StepReport {
        self.end(None)
    }

    fn end(&self, begun: Option<Begun>) -> StepReport {
        let mut watch = self.watch();
        let mut report = watch.end(begun, &**self.manager.backend());
        if self.governs && report.counted {
            self.govern(&mut watch, &mut report);
        }
        if watch.is_budget_due() {
            drop(watch);
            // It takes the manager's lock, and may admit waiters.
            self.manager.maintain();
            self.watch().budget = budget::measured(&self.manager);
        }
        report
    }

    /// Lets the governor decide. What MLX refuses stays as it is: a cache that is too large or too small is no reason to
    /// end a run.
    fn govern(&self, watch: &mut Watch, report: &mut StepReport) {
        let Some(limit) = watch.cache_limit else {
            return;
        };
        let observed = watch.observation(report);
        let decision = watch.governor.decide(&observed, limit);
        let to = match decision {
            Decision::Keep => return,
            Decision::Limit(to) | Decision::Clear(to) => to,
        };
        if to != limit && self.limits().set_cache(to).is_ok() {
            watch.cache_limit = Some(to);
            report.cache_limit = Some(to);
        }
        if matches!(decision, Decision::Clear(_))
            && limits::caught(|| self.manager.backend().clear_cache()).is_ok()
        {
            report.cleared = report.cache;
        }
    }

    /// Notes, before a step's report, whether a value that the program carries from step to step is evaluated. One that is
    /// not is named where live arrays grow. Allocates only for a name that is new.
    ///
    /// With the feature `mlx-rs`, `Run::carried` asks the array itself.
    pub fn carried_is_evaluated(&self, name: &str, evaluated: bool) {
        let mut watch = self.watch();
        let step = watch.steps();
        watch.carried.note(name, step, evaluated);
    }

    /// Notes, before a step's report, whether an array that the program carries from step to step (a moving average, a
    /// metric, a state) is evaluated: one that never is keeps all that it is computed from, of every step. It evaluates
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the array could not be asked.
    #[cfg(feature = "mlx-rs")]
    pub fn carried(&self, name: &str, array: &mlx_rs::Array) -> Result<(), Error> {
        self.carried_is_evaluated(name, crate::ffi::is_evaluated(array)?);
        Ok(())
    }

    /// The growth that goes on, if any does.
    #[must_use]
    pub fn growth(&self) -> Option<Growth> {
        self.watch().growth()
    }

    /// What the run has shown so far.
    #[must_use]
    pub fn summary(&self) -> RunSummary {
        let watch = self.watch();
        RunSummary {
            steps: watch.steps(),
            peak: watch.peak,
            peak_between: watch.peak_between,
        }
    }

    /// Ends the run: puts every limit back. Dropping it does the same.
    ///
    /// # Errors
    ///
    /// [`Error::NotRestored`] with those that did not come back; the others did.
    ///
    /// # Blocking
    ///
    /// As the release of a guard. On MLX's CPU build to set the cache's limit waits for the work of all threads.
    pub fn finish(self) -> Result<RunSummary, Error> {
        let summary = self.summary();
        self.limits().restore()?;
        Ok(summary)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that runs; one that fails or panics is no more.
struct Running<'a> {
    run: &'a Run,
    begun: Option<Begun>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.run.watch().abandon(begun);
        }
    }
}
