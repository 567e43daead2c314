//! Micro-batches whose size follows the memory that there is.

mod split;

pub use split::{Micro, Split};

use super::run::caught;
use super::{Fitted, WorkError, is_allocation_failure};
use crate::Manager;
use std::fmt;

/// Splits each step's rows into micro-batches, which shrink when memory is short and grow back when it is not.
///
/// The rows of a step, the effective batch, stay what they are: a smaller micro-batch means more passes, whose means are
/// [weighted](Micro::weight) by their rows. It never grows above what it began with, which is a measured size: no size is
/// looked for by failing.
///
/// Each kind of work has a sizer of its own. An evaluation whose memory is refused says nothing about training.
///
/// ```
/// use mlx_wired::Manager;
/// use mlx_wired::ffi::{BackendError, RecordingBackend};
/// use mlx_wired::train::BatchSizer;
///
/// # let manager = Manager::builder().backend(RecordingBackend::cuda().build()).build()?;
/// let mut sizer = BatchSizer::new(8).manager(&manager); // or `BatchSizer::from(&fitted)`
/// let (mut loss, mut done) = (0.0, 0);
/// let step = sizer.step(32, |micro| {
///     if micro.rows.len() > 4 {
///         // On MLX: an evaluation that fails.
///         return Err(BackendError::new("mlx_eval()").with_message("[malloc] Unable to allocate 4096 bytes."));
///     }
///     loss += 0.5 * micro.weight; // the micro-batch's mean
///     done += micro.rows.len();
///     Ok(())
/// })?;
/// assert_eq!((done, loss), (32, 0.5));
/// assert_eq!((step.from, step.to, step.passes), (8, 4, 8));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchSizer {
    largest: usize,
    least: usize,
    size: usize,
    grow_after: u32,
    /// Steps to wait until it grows, now.
    wait: u32,
    /// Steps since it shrank or grew, without a failure.
    calm: u32,
    /// Whether it grew last, and not yet long ago.
    grown: bool,
    manager: Option<Manager>,
}

/// How a step was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizedStep {
    /// Rows of the step.
    pub rows: usize,
    /// Passes that were done.
    pub passes: usize,
    /// Times that memory was refused.
    pub failures: usize,
    /// Rows of a micro-batch when the step began.
    pub from: usize,
    /// Rows of a micro-batch for the next step.
    pub to: usize,
}

impl BatchSizer {
    /// How much longer than at first it waits at most.
    const MOST_WAITS: u32 = 64;

    /// Micro-batches of at most `largest` rows, the size that was measured, with the process's shared manager.
    ///
    /// # Panics
    ///
    /// If `largest` is 0.
    #[must_use]
    pub fn new(largest: usize) -> Self {
        assert!(largest > 0, "a micro-batch has rows");
        Self {
            largest,
            least: 1,
            size: largest,
            grow_after: 32,
            wait: 32,
            calm: 0,
            grown: false,
            manager: None,
        }
    }

    /// The manager whose backend's cache is cleared.
    #[must_use]
    pub fn manager(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    /// The size below which it does not shrink. Default: 1.
    #[must_use]
    pub fn at_least(mut self, rows: usize) -> Self {
        self.least = rows.clamp(1, self.largest);
        self
    }

    /// How many steps without a failure or a call of [`shrink`](Self::shrink) it waits before it grows. Default: 32; at least
    /// 1. It waits twice as long after each growth that did not last as long as it had waited for it, at most 64 times as long.
    #[must_use]
    pub fn grow_after(mut self, steps: u32) -> Self {
        self.grow_after = steps.max(1);
        self.wait = self.grow_after;
        self
    }

    /// Rows of a micro-batch now.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Rows of the largest micro-batch that there will be.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// The micro-batches of a step of `rows` rows, of the present size; the last has what is left.
    #[must_use]
    pub fn split(&self, rows: usize) -> Split {
        Split::new(rows, self.size)
    }

    /// Halves the size from the next micro-batch on, as when memory comes under pressure; returns whether it was above the
    /// least.
    pub fn shrink(&mut self) -> bool {
        if self.grown {
            let most = self.grow_after.saturating_mul(Self::MOST_WAITS);
            self.wait = self.wait.saturating_mul(2).min(most);
            self.grown = false;
        }
        self.calm = 0;
        let halved = (self.size / 2).max(self.least);
        let shrinks = halved < self.size;
        self.size = halved;
        shrinks
    }

    /// Takes a step: calls `pass` with one micro-batch after another until all rows are done, each row once.
    ///
    /// If `pass` fails because [memory was refused](is_allocation_failure), MLX's cache is cleared and the same micro-batch is
    /// tried once more. If that happens again in the same step, the size is halved, and the rows that are not done are split
    /// anew. So `pass` must change nothing but when it succeeds: it adds its gradients to the sum when they are evaluated.
    ///
    /// A thread on which CUDA has once run out of memory may fail from then on. There a size is chosen by
    /// [fitting](super::Fit) and left [room](super::Fit::margin); this is for the rest.
    ///
    /// # Errors
    ///
    /// The error of `pass`, if it is another one, or if the size is at its [least](Self::at_least).
    pub fn step<E: Into<WorkError>>(
        &mut self,
        rows: usize,
        mut pass: impl FnMut(&Micro) -> Result<(), E>,
    ) -> Result<SizedStep, WorkError> {
        let mut split = self.split(rows);
        let mut step = SizedStep {
            rows,
            passes: 0,
            failures: 0,
            from: self.size,
            to: self.size,
        };
        while let Some(micro) = split.peek() {
            let Err(error) = pass(&micro) else {
                split.next();
                step.passes += 1;
                continue;
            };
            let error = error.into();
            if !is_allocation_failure(&*error) {
                return Err(error);
            }
            step.failures += 1;
            self.clear_cache();
            if step.failures > 1 {
                if !self.shrink() {
                    return Err(error);
                }
                split.resize(self.size);
            }
        }
        if step.failures == 0 {
            self.calm();
        } else {
            self.calm = 0;
        }
        step.to = self.size;
        Ok(step)
    }

    /// Notes a step that was taken without [`step`](Self::step) and in which nothing was refused.
    pub fn calm(&mut self) {
        self.calm = self.calm.saturating_add(1);
        if self.calm < self.wait {
            return;
        }
        if self.grown {
            self.wait = self.grow_after;
        }
        self.grown = self.size < self.largest;
        if self.grown {
            self.calm = 0;
            self.size = self.size.saturating_mul(2).min(self.largest);
        }
    }

    /// What MLX refuses to free stays: the retry tells.
    fn clear_cache(&self) {
        let manager = self.manager.as_ref().unwrap_or_else(|| Manager::shared());
        let _refused = caught(|| manager.backend().clear_cache());
    }
}

/// Begins with the fitted size, and never passes it.
impl From<&Fitted> for BatchSizer {
    fn from(fitted: &Fitted) -> Self {
        Self::new(fitted.plan.batch)
    }
}

impl fmt::Display for SizedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows in {} passes", self.rows, self.passes)?;
        if self.failures > 0 {
            write!(f, ", memory refused {} times", self.failures)?;
        }
        if self.from != self.to {
            write!(f, ", micro-batch {} to {}", self.from, self.to)?;
        }
        Ok(())
    }
}
