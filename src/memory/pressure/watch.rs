//! The service manager's word.

use super::source::{Reading, Source, SourceError};
use crate::PressureLevel;
use crate::system::{PressureWatch, WatchSetting};
use std::path::Path;
use std::time::Instant;

/// What the service manager tells through `MEMORY_PRESSURE_WATCH` (systemd): a warning at each event.
#[derive(Debug)]
pub struct ServiceManager(Result<PressureWatch, String>);

impl ServiceManager {
    /// Of what the environment names; `None` where it names nothing. What it names and cannot be watched is a source that
    /// cannot be read.
    #[must_use]
    pub fn of(setting: &WatchSetting) -> Option<Self> {
        let WatchSetting::File(path, first) = setting else {
            return None;
        };
        let watch = PressureWatch::open(Path::new(path), first);
        Some(Self(watch.map_err(|error| error.to_string())))
    }
}

impl Source for ServiceManager {
    fn name(&self) -> &str {
        "service manager"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let watch = self.0.as_mut().map_err(|why| why.clone())?;
        let level = if watch.take()? {
            PressureLevel::Warning
        } else {
            PressureLevel::Normal
        };
        Ok(Some(Reading::level(level)))
    }
}
