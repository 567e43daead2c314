//! What a monitor, its thread and its socket share.

use super::cleanup::Cleanups;
use super::problem::{Problem, problems};
use super::reading::{Look, Reading, caught};
use super::statistics::{Record, Statistics};
use super::uncounted::Registry;
use crate::clock::Clock;
use crate::ffi::DeviceKind;
use crate::memory::Error;
use crate::memory::reactions::registry::contained;
use crate::memory::thresholds::Thresholds;
use crate::{Error as CoordinatorError, Manager};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where readings come from.
#[derive(Debug)]
pub(super) struct Source {
    /// Locks and threads are this process's: in a forked child a lock may be held for ever.
    pub(super) process: u32,
    pub(super) manager: Manager,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) thresholds: Thresholds,
    /// As the program states it.
    pub(super) budget: Option<u64>,
    pub(super) uncounted: Arc<Registry>,
    pub(super) cleanups: Cleanups,
    #[cfg(any(feature = "metrics", feature = "watch"))]
    pub(super) watched: super::watched::Watched,
}

impl Source {
    pub(super) fn is_own(&self) -> bool {
        self.process == process::id()
    }

    /// Fails in a forked child.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_own() {
            Ok(())
        } else {
            Err(CoordinatorError::Forked.into())
        }
    }

    /// Whether MLX's memory is not the process's.
    pub(super) fn is_apart(&self) -> bool {
        self.manager.device().kind == DeviceKind::Cuda
    }

    pub(super) fn footprint(&self) -> Option<u64> {
        let backend = self.manager.backend();
        caught(|| Ok(backend.footprint())).ok().flatten()
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    record: Mutex<Record>,
    #[cfg(feature = "watch")]
    pub(super) page: super::line::Page,
    #[cfg(feature = "metrics")]
    pub(super) publisher: super::publish::Publisher,
}

impl Shared {
    pub(super) fn new(
        source: Source,
        first: &Reading,
        #[cfg(feature = "watch")] page: super::line::Page,
        #[cfg(feature = "metrics")] publisher: super::publish::Publisher,
    ) -> Self {
        Self {
            source,
            record: Mutex::new(Record::new(first)),
            #[cfg(feature = "watch")]
            page,
            #[cfg(feature = "metrics")]
            publisher,
        }
    }

    /// A look that counts in the statistics.
    pub(super) fn look(&self) -> Look {
        let look = Look::take(&self.source);
        match &look.reading {
            Ok(reading) => self.record().note(reading),
            Err(_) => self.record().fail(),
        }
        look
    }

    /// What the monitor's thread does at the end of each interval. A panic in what the program has given (a backend, a
    /// recorder) is a reading that failed: the thread goes on.
    pub(super) fn tick(&self) {
        if contained(|| self.take_tick()).is_none() {
            self.record().fail();
        }
    }

    fn take_tick(&self) {
        if self.source.budget.is_none() {
            // Measures the manager's budget: other programs come and go, and a container's limit may change.
            self.source.manager.maintain();
        }
        let look = Look::take(&self.source);
        match &look.reading {
            Ok(reading) => self.record().tick(reading),
            Err(_) => self.record().fail(),
        }
        #[cfg(feature = "metrics")]
        self.publisher.publish(self, &look);
    }

    pub(super) fn statistics(&self) -> Statistics {
        let uncounted = self.source.uncounted.counts();
        let now = self.source.clock.now();
        self.record().statistics(uncounted, now)
    }

    pub(super) fn problems(&self, look: &Look) -> Vec<Problem> {
        problems(look, &self.statistics(), &self.source.manager.config())
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
