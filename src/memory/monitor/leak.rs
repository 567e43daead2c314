//! Whether work leaves memory behind.

use super::Monitor;
use super::caught::caught;
use crate::memory::Error;
use crate::print::Bytes;
use crate::train::Work;
use std::fmt;

/// How often it runs before it counts: it compiles, and caches fill.
const WARM_UP: u32 = 2;
/// How often it counts. A rise in each of so many is no accident.
const RUNS: u32 = 5;
/// A process's memory comes and goes in larger pieces than arrays.
const LEAST_OUTSIDE: u64 = 64 << 10;

/// What work left behind, run by run. Sizes in bytes.
///
/// ```text
/// each of 5 runs leaves at least 4 MiB of live arrays behind
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeakCheck {
    /// Live arrays before the first run that counts, and after each.
    pub active: Vec<u64>,
    /// What the process used beside MLX's arrays and its cache at the same moments; empty if the system does not tell, or
    /// where MLX's memory is not the process's (CUDA).
    pub outside: Vec<u64>,
}

impl LeakCheck {
    /// What each run left of live arrays at least; 0 if any run left none.
    #[must_use]
    pub fn arrays_per_run(&self) -> u64 {
        least_rise(&self.active)
    }

    /// What each run left outside MLX at least; 0 if any left less than 64 KiB, since an allocator takes pieces of that
    /// order from the system now and then.
    #[must_use]
    pub fn outside_per_run(&self) -> u64 {
        Some(least_rise(&self.outside))
            .filter(|bytes| *bytes >= LEAST_OUTSIDE)
            .unwrap_or(0)
    }

    /// Whether each run left something behind.
    #[must_use]
    pub fn is_leak(&self) -> bool {
        self.arrays_per_run() > 0 || self.outside_per_run() > 0
    }

    /// How many runs count.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.active.len().saturating_sub(1)
    }
}

fn least_rise(after: &[u64]) -> u64 {
    let rises = after.windows(2).map(|it| it[1].saturating_sub(it[0]));
    rises.min().unwrap_or(0)
}

impl fmt::Display for LeakCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (arrays, outside) = (self.arrays_per_run(), self.outside_per_run());
        let runs = self.runs();
        if !self.is_leak() {
            return write!(f, "not each of {runs} runs leaves memory behind: no leak");
        }
        write!(f, "each of {runs} runs leaves at least ")?;
        if arrays > 0 {
            write!(f, "{} of live arrays", Bytes(arrays))?;
        }
        if outside > 0 {
            let and = if arrays > 0 { " and " } else { "" };
            write!(f, "{and}{} outside MLX", Bytes(outside))?;
        }
        f.write_str(" behind")
    }
}

impl Monitor {
    /// Runs work seven times and says whether it leaves memory behind: the first two are to warm up, and a leak is what each
    /// of the other five has left. It never sleeps.
    ///
    /// The work evaluates what it computes; what it returns is dropped before memory is read. MLX's counters are the process's:
    /// let no other work run meanwhile.
    ///
    /// ```
    /// # use mlx_wired::{Manager, ffi::RecordingBackend};
    /// # use mlx_wired::memory::monitor::Monitor;
    /// # let backend = RecordingBackend::cpu().build();
    /// # let manager = Manager::builder().backend(backend.clone()).build()?;
    /// let monitor = Monitor::builder().manager(&manager).start()?;
    /// # let keeps_an_array = || backend.update_memory(|counters| counters.active += 4 << 20);
    /// let check = monitor.leak_check(keeps_an_array)?;
    /// assert_eq!(
    ///     check.to_string(),
    ///     "each of 5 runs leaves at least 4 MiB of live arrays behind"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Work`] with the work's own error; [`Error::Backend`] if MLX's counters could not be read.
    pub fn leak_check<R: Work>(&self, mut work: impl FnMut() -> R) -> Result<LeakCheck, Error> {
        self.shared.source.check()?;
        let mut run = || work().finish().map_err(Error::Work);
        for _ in 0..WARM_UP {
            run()?;
        }
        let mut check = LeakCheck {
            active: Vec::new(),
            outside: Vec::new(),
        };
        self.note(&mut check)?;
        for _ in 0..RUNS {
            run()?;
            self.note(&mut check)?;
        }
        if check.outside.len() < check.active.len() {
            check.outside.clear();
        }
        Ok(check)
    }

    fn note(&self, check: &mut LeakCheck) -> Result<(), Error> {
        let backend = self.shared.source.manager.backend();
        let counters = caught(|| backend.memory())?;
        let source = &self.shared.source;
        let footprint = source.footprint().filter(|_| !source.is_apart());
        let within = counters.active.saturating_add(counters.cache);
        check.active.push(counters.active);
        check
            .outside
            .extend(footprint.and_then(|bytes| bytes.checked_sub(within)));
        Ok(())
    }
}
