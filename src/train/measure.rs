//! Measuring what a closure needs, by MLX's own count.

use super::alone::Alone;
use super::claim::{Claim, Claimed};
use super::error::WorkError;
use super::measured::{Measured, Trial};
use super::{Error, sealed};
use crate::ffi::Backend;
use crate::{Manager, Policy};
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

/// Measures, where tickets are written. For every policy.
///
/// ```
/// use mlx_wired::SumPolicy;
/// use mlx_wired::train::Measure;
///
/// # fn train_on(_: &u32) -> Result<(), std::io::Error> { Ok(()) }
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let largest_batch = 3;
/// let policy = SumPolicy::new();
/// let measured = policy.measure("step", || train_on(&largest_batch))?;
/// println!("{measured}");
/// let step = measured.ticket(&policy);
/// # Ok(())
/// # }
/// ```
pub trait Measure: Policy + Clone + Sized {
    /// Measures `work` with the process's [shared manager](Manager::shared): [`Measuring`] says how, and has more settings.
    ///
    /// # Errors
    ///
    /// As [`Measuring::run`].
    ///
    /// # Blocking
    ///
    /// For as long as some four to ten runs of `work` take.
    #[track_caller]
    fn measure<W: Work>(
        &self,
        label: impl Into<Arc<str>>,
        work: impl FnMut() -> W,
    ) -> Result<Measured, Error> {
        Measuring::new(label).run(work)
    }
}

impl<P: Policy + Clone> Measure for P {}

/// What a measured closure may return: nothing, or a `Result` whose error can be boxed.
///
/// What it returns is dropped before the memory after it is read.
pub trait Work: sealed::Sealed {
    /// Drops what was returned, but for an error.
    #[doc(hidden)]
    fn finish(self) -> Result<(), WorkError>;
}

impl Work for () {
    fn finish(self) -> Result<(), WorkError> {
        Ok(())
    }
}

impl<T, E: Into<WorkError>> Work for Result<T, E> {
    fn finish(self) -> Result<(), WorkError> {
        self.map(drop).map_err(Into::into)
    }
}

/// How something is measured.
///
/// MLX has one record of the peak for the whole process. So a measurement [refuses](Error::NotAlone) while other guards of
/// the manager live, and if one appears meanwhile, [while another lasts](Error::MeasurementInProgress) and [beside a
/// run](Error::RunInProgress), each of whose steps resets that record; what runs without a ticket is not seen. Each run begins with that record reset. The first runs are discarded: they compile, and
/// make the optimizer's state. Then the closure runs until two results, one after the other, agree: within 2 % on the CPU,
/// within 20 % elsewhere, where MLX runs ahead of what it has computed. What counts is the largest.
///
/// The closure evaluates what it computes: MLX is lazy, and what is not evaluated takes no memory yet.
///
/// ```
/// use mlx_wired::Manager;
/// use mlx_wired::ffi::RecordingBackend;
/// use mlx_wired::train::Measuring;
///
/// let backend = RecordingBackend::cpu().build();
/// let manager = Manager::builder().backend(backend.clone()).build()?;
/// let measured = Measuring::new("step").manager(&manager).run(|| {
///     // On MLX: a step, evaluated. Here a device that plays one.
///     backend.update_memory(|counters| counters.recorded_peak = counters.active + (80 << 20));
/// })?;
/// assert_eq!(measured.above_start, 80 << 20);
/// assert_eq!(measured.ticket_bytes(), 90 << 20); // and an eighth
/// # Ok::<(), mlx_wired::train::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is measured before `run`"]
pub struct Measuring {
    label: Arc<str>,
    manager: Option<Manager>,
    warm_up: u32,
    at_most: u32,
    beside_holds: bool,
}

impl Measuring {
    /// With the process's shared manager, two runs to warm up, and at most eight that count.
    pub fn new(label: impl Into<Arc<str>>) -> Self {
        Self {
            label: label.into(),
            manager: None,
            warm_up: 2,
            at_most: 8,
            beside_holds: false,
        }
    }

    /// The manager whose backend is measured.
    pub fn manager(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// How many runs are discarded at first. Default: 2. None where each run begins from nothing and has its warm-up
    /// within.
    pub fn warm_up(mut self, runs: u32) -> Self {
        self.warm_up = runs;
        self
    }

    /// How many runs count at most, before it is [`Error::NotSteady`]; at least 2. Default: 8.
    pub fn at_most(mut self, runs: u32) -> Self {
        self.at_most = runs.max(2);
        self
    }

    /// Measures beside reservations and residents that live already and whose memory does not change meanwhile, such as
    /// those of loaded weights.
    pub fn beside_holds(mut self) -> Self {
        self.beside_holds = true;
        self
    }

    /// Measures.
    ///
    /// # Errors
    ///
    /// [`Error::NotAlone`], [`Error::MeasurementInProgress`], [`Error::RunInProgress`], [`Error::NotSteady`],
    /// [`Error::BelowStart`]; [`Error::Work`] with the closure's own error;
    /// [`Error::Backend`] where there are no counters, as without MLX.
    ///
    /// # Blocking
    ///
    /// For as long as the runs take.
    #[track_caller]
    pub fn run<W: Work>(self, mut work: impl FnMut() -> W) -> Result<Measured, Error> {
        let manager = self.manager.as_ref().unwrap_or_else(|| Manager::shared());
        let backend = manager.backend();
        let _claim = Claim::of(Claimed::Peak, backend, Location::caller())?;
        let alone = Alone::watch(manager, &self.label, self.beside_holds)?;
        let mut run = || {
            let run = self.run_once(&**backend, &mut work)?;
            alone.check()?;
            Ok::<Trial, Error>(run)
        };
        for _ in 0..self.warm_up {
            run()?;
        }
        let kind = manager.device().kind;
        let tolerance = Measured::tolerance(kind);
        let mut runs = Vec::new();
        while runs.len() < self.at_most as usize {
            runs.push(run()?);
            if let [.., one, other] = &runs[..]
                && agree(one.above_start(), other.above_start(), tolerance)
            {
                return Ok(Measured::new(self.label.clone(), kind, self.warm_up, &runs));
            }
        }
        Err(Error::NotSteady {
            label: self.label.clone(),
            results: runs.iter().map(Trial::above_start).collect(),
            tolerance,
        })
    }

    fn run_once<W: Work>(
        &self,
        backend: &dyn Backend,
        work: &mut impl FnMut() -> W,
    ) -> Result<Trial, Error> {
        let before = backend.memory()?.active;
        backend.reset_peak_memory()?;
        let began = Instant::now();
        work().finish().map_err(Error::Work)?;
        let elapsed = began.elapsed();
        // What was computed last may be held by MLX's threads for a moment.
        if backend.synchronizes() {
            backend.synchronize()?;
        }
        let after = backend.memory()?;
        let peak = after.peak();
        if peak < before {
            return Err(Error::BelowStart {
                label: self.label.clone(),
                before,
                peak,
            });
        }
        Ok(Trial {
            before,
            peak,
            after: after.active,
            cache: after.cache,
            elapsed,
        })
    }
}

impl From<&str> for Measuring {
    fn from(label: &str) -> Self {
        Self::new(label)
    }
}

/// Whether two results differ by at most so much of the larger one.
fn agree(one: u64, other: u64, tolerance: f64) -> bool {
    one.abs_diff(other) as f64 <= tolerance * one.max(other) as f64
}
