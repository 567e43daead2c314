//! What a monitor, its thread and its socket share.

use super::problem::{Problem, problems};
use super::reading::{Look, Reading};
use super::source::Source;
use super::statistics::{Record, Statistics};
use crate::memory::reactions::registry::contained;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Source,
    record: Mutex<Record>,
    #[cfg(feature = "watch")]
    pub(super) page: super::page::Page,
    #[cfg(feature = "metrics")]
    pub(super) publisher: super::publisher::Publisher,
}

impl Shared {
    pub(super) fn new(
        source: Source,
        first: &Reading,
        #[cfg(feature = "watch")] page: super::page::Page,
        #[cfg(feature = "metrics")] publisher: super::publisher::Publisher,
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
    pub(super) fn read_and_note(&self) -> Look {
        let look = Look::read(&self.source);
        match &look.reading {
            Ok(reading) => self.record().note(reading),
            Err(_) => self.record().fail(),
        }
        look
    }

    /// What the monitor's thread does at the end of each interval. A panic in what the program has given (a backend, a
    /// recorder) is a reading that failed: the thread goes on.
    pub(super) fn tick(&self) {
        if contained(|| self.tick_uncontained()).is_none() {
            self.record().fail();
        }
    }

    fn tick_uncontained(&self) {
        if self.source.budget.is_none() {
            // Measures the manager's budget: other programs come and go, and a container's limit may change.
            self.source.manager.maintain();
        }
        let look = Look::read(&self.source);
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
