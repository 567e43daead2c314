//! What each kind of work took in the run, beside its ticket.

use mlx_wired::train::{Run, StepReport};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Kinds of work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Step,
    Evaluation,
    Sampling,
}

/// The most that each kind was seen to take above its start, in bytes. MLX has one record of the peak for the process: only
/// what ran alone counts.
pub(crate) struct Seen<'a> {
    run: &'a Run,
    at_work: AtomicUsize,
    begun: AtomicUsize,
    most: [AtomicU64; 3],
}

impl<'a> Seen<'a> {
    pub(crate) fn new(run: &'a Run) -> Self {
        Self {
            run,
            at_work: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            most: Default::default(),
        }
    }

    /// Does the work, as a step of the run.
    pub(crate) fn work<T, E>(
        &self,
        kind: Work,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, StepReport), E> {
        let begins_alone = self.at_work.fetch_add(1, SeqCst) == 0;
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        let done = self.run.step(work);
        let alone = begins_alone && self.begun.load(SeqCst) == number;
        self.at_work.fetch_sub(1, SeqCst);
        let (result, report) = done?;
        if let (true, Some(above)) = (alone, report.above_start) {
            self.most[kind as usize].fetch_max(above, SeqCst);
        }
        Ok((result, report))
    }

    pub(crate) fn most(&self, kind: Work) -> u64 {
        self.most[kind as usize].load(SeqCst)
    }
}
