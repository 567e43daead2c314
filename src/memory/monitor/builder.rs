//! How a monitor is set up.

use super::Monitor;
use super::cleanup::Cleanups;
use super::reading::Look;
use super::shared::Shared;
use super::source::Source;
use super::ticker::Ticker;
use super::uncounted::Registry;
use crate::Manager;
use crate::clock::{Clock, SystemClock};
use crate::memory::Error;
use crate::memory::thresholds::Thresholds;
use std::sync::Arc;
use std::time::Duration;

/// Sets a [`Monitor`] up.
#[derive(Debug)]
#[must_use = "nothing is read before `start`"]
pub struct MonitorBuilder {
    manager: Option<Manager>,
    every: Duration,
    budget: Option<u64>,
    thresholds: Thresholds,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "watch")]
    program: Option<String>,
    #[cfg(feature = "metrics")]
    names_groups: bool,
}

impl Thresholds {
    /// Whether they are shares, and in order.
    fn check(&self) -> Result<(), Error> {
        let middle = self.urgent.unwrap_or(self.critical);
        let in_order = 0.0 < self.warning
            && self.warning <= middle
            && middle <= self.critical
            && self.critical <= 1.0;
        if in_order {
            Ok(())
        } else {
            Err(Error::Thresholds(*self))
        }
    }
}

impl Monitor {
    /// Begins with the process's shared manager and the default settings.
    ///
    /// # Errors
    ///
    /// As [`MonitorBuilder::start`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Other settings.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::new()
    }
}

impl MonitorBuilder {
    pub(super) fn new() -> Self {
        Self {
            manager: None,
            every: Duration::from_secs(1),
            budget: None,
            thresholds: Thresholds::default(),
            clock: Arc::new(SystemClock),
            #[cfg(feature = "watch")]
            program: None,
            #[cfg(feature = "metrics")]
            names_groups: false,
        }
    }

    /// The manager whose state and backend are read. Default: the process's [shared one](Manager::shared).
    pub fn manager(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    /// How often the monitor's thread reads. Default: 1 s. At least 1 ms.
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// What there is for all that the process uses, in bytes. Then the process's footprint counts, too:
    /// [`Reading::used`](super::Reading::used) says how.
    ///
    /// Default: what the manager's guards may hold, the smaller of its [budget over all groups](crate::Config::budget) and
    /// the [device's](Manager::budget). The monitor's thread measures that anew each time, as
    /// [`Manager::maintain`] does, so waiters are judged by it.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// From which share of the budget on a reading has which level. Default: [`Thresholds::THREE`].
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// The clock that the thread waits on, for tests. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The program's name, as a viewer shows it. Default: that of its file.
    #[cfg(feature = "watch")]
    pub fn program(mut self, name: impl Into<String>) -> Self {
        self.program = Some(name.into());
        self
    }

    /// Whether the label `group` of published figures is the policy's name, or its label where it has none. Default: no, it is
    /// the group's number.
    ///
    /// Each name makes a series for as long as the recorder lives: not for names that are made from requests.
    #[cfg(feature = "metrics")]
    pub fn names_groups(mut self, on: bool) -> Self {
        self.names_groups = on;
        self
    }

    /// Takes the first reading and starts the thread.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if MLX has no counters; [`Error::Thresholds`] if these are no shares or not in order;
    /// [`Error::Coordinator`] in a forked child; [`Error::Thread`] if the system starts none.
    ///
    /// # Blocking
    ///
    /// As [`Monitor::read`].
    pub fn start(self) -> Result<Monitor, Error> {
        self.thresholds.check()?;
        let manager = self.manager.unwrap_or_else(|| Manager::shared().clone());
        // Measures the budget anew, where that is measured; fails in a forked child.
        manager.poke()?;
        let source = Source {
            process: std::process::id(),
            manager,
            clock: self.clock,
            thresholds: self.thresholds,
            budget: self.budget,
            uncounted: Arc::new(Registry::new()),
            cleanups: Cleanups::new(),
            #[cfg(any(feature = "metrics", feature = "watch"))]
            watched: super::watched::Watched::new(),
        };
        let first = Look::read(&source);
        let reading = first.reading.clone()?;
        let shared = Shared::new(
            source,
            &reading,
            #[cfg(feature = "watch")]
            super::page::Page::new(self.program, reading.time),
            #[cfg(feature = "metrics")]
            super::publisher::Publisher::new(self.names_groups),
        );
        #[cfg(feature = "metrics")]
        shared.publisher.begin(&shared, &first);
        let shared = Arc::new(shared);
        // Without a pause it would spin.
        let every = self.every.max(Duration::from_millis(1));
        let ticker = Ticker::start(&shared, every)?;
        Ok(Monitor {
            shared,
            _ticker: ticker,
        })
    }
}
