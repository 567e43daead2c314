//! The service manager's word.

use super::source::{Reading, Source, SourceError};
use crate::PressureLevel;
use crate::system::PressureWatch;
use std::time::Instant;

/// What the service manager tells through `MEMORY_PRESSURE_WATCH` (systemd): a warning at each event.
#[derive(Debug)]
pub struct ServiceManager(PressureWatch);

impl ServiceManager {
    /// Of what is watched.
    #[must_use]
    pub fn new(watch: PressureWatch) -> Self {
        Self(watch)
    }
}

impl Source for ServiceManager {
    fn name(&self) -> &str {
        "service manager"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let level = if self.0.take()? {
            PressureLevel::Warning
        } else {
            PressureLevel::Normal
        };
        Ok(Some(Reading::level(level)))
    }
}
