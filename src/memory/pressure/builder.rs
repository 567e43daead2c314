//! A monitor's settings.

use super::hysteresis::Hysteresis;
use super::inner::{Inner, Registries};
use super::lines::Lines;
use super::source::Source;
use super::turn::Round;
use super::{Pressure, system_sources};
use crate::clock::{Clock, Sleeper, SystemClock};
use crate::memory::Error;
use crate::{Manager, PressureLevel};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Builds a [`Pressure`].
#[must_use = "nothing is read until it is built"]
pub struct PressureBuilder {
    manager: Option<Manager>,
    sources: Option<Vec<Box<dyn Source>>>,
    every: Duration,
    calm_for: Duration,
    clock: Arc<dyn Clock>,
    lines: Lines,
}

impl Pressure {
    /// Settings.
    pub fn builder() -> PressureBuilder {
        PressureBuilder::new()
    }
}

impl PressureBuilder {
    pub(super) fn new() -> Self {
        Self {
            manager: None,
            sources: None,
            every: Duration::from_millis(500),
            calm_for: Duration::from_secs(10),
            clock: Arc::new(SystemClock),
            lines: Lines::default(),
        }
    }

    /// The manager that is told the pressure at each change of the level ([`Manager::set_pressure`]): with
    /// [`Config::elastic`](crate::Config::elastic) its caps give way. Default: none. The monitor keeps it.
    ///
    /// Another thread that sets the pressure of the same manager takes part in a race.
    pub fn manager(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    /// Adds a source, less trusted than those before. The first takes the place of the [system's](system_sources), which are
    /// the default.
    pub fn source(mut self, source: impl Source) -> Self {
        self.sources.get_or_insert_default().push(Box::new(source));
        self
    }

    /// Adds sources, as [`source`](Self::source): `sources(system_sources())` has the system's beside one's own.
    pub fn sources(mut self, sources: impl IntoIterator<Item = Box<dyn Source>>) -> Self {
        self.sources.get_or_insert_default().extend(sources);
        self
    }

    /// How often the thread reads. Default: 500 ms; at least 1 ms. A source that is told of changes makes it read at once.
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause.max(Duration::from_millis(1));
        self
    }

    /// How long readings must be below the line at which a level is left, before the level falls by one. Default: 10 s.
    pub fn calm_for(mut self, time: Duration) -> Self {
        self.calm_for = time;
        self
    }

    /// The part in use from which a level begins, from 0.05 to 1; it is left five points lower, or at half of that where half
    /// is more. Defaults: warning 0.75, urgent 0.85, critical 0.95. To set one leaves the others.
    pub fn at(mut self, level: PressureLevel, used: f64) -> Self {
        Lines::set(&mut self.lines.used, level, used);
        self
    }

    /// The share of stalls from which a level begins, as [`at`](Self::at). Defaults: warning 0.10 (systemd's for a service),
    /// urgent 0.25, critical 0.50.
    pub fn stalled_at(mut self, level: PressureLevel, share: f64) -> Self {
        Lines::set(&mut self.lines.stalled, level, share);
        self
    }

    /// The clock of pauses, calm and stalls. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Builds a monitor that reads when it is [asked to](Pressure::poll), or from when it is [started](Pressure::start).
    ///
    /// # Errors
    ///
    /// [`Error::Lines`] if the lines of a kind do not rise from level to level, or lie outside 0.05 to 1.
    pub fn build(self) -> Result<Pressure, Error> {
        self.lines.validate()?;
        let sources = self.sources.unwrap_or_else(system_sources);
        let round = Round::new(sources, self.lines, Hysteresis::new(self.calm_for));
        let inner = Inner::new(
            round,
            Registries::new(),
            self.manager,
            self.clock,
            Sleeper::new(),
        );
        Ok(Pressure::new(Arc::new(inner), self.every))
    }

    /// Builds it and [starts](Pressure::start) its thread.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build) and [`Pressure::start`].
    pub fn start(self) -> Result<Pressure, Error> {
        let mut pressure = self.build()?;
        pressure.start()?;
        Ok(pressure)
    }
}

impl fmt::Debug for PressureBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PressureBuilder")
            .field("every", &self.every)
            .field("calm_for", &self.calm_for)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}
