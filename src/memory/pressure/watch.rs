//! The service manager's word.

use super::source::{Reading, Source, SourceError};
use crate::PressureLevel;
use crate::system::{PressureWatch, WatchSetting};
use std::path::Path;
use std::time::Instant;

/// What the service manager tells through `MEMORY_PRESSURE_WATCH` (systemd): a warning at each event.
#[derive(Debug)]
pub struct ServiceManager {
    watch: Result<PressureWatch, String>,
    /// The poll in which it told something last. It tells that once, and the poll may read again.
    told_at: Option<Instant>,
}

impl ServiceManager {
    /// Of what the environment names; `None` where it names nothing. What it names and cannot be watched is a source that
    /// cannot be read.
    #[must_use]
    pub fn of(setting: &WatchSetting) -> Option<Self> {
        let WatchSetting::File(path, first) = setting else {
            return None;
        };
        let watch = PressureWatch::open(Path::new(path), first);
        Some(Self {
            watch: watch.map_err(|error| error.to_string()),
            told_at: None,
        })
    }
}

impl Source for ServiceManager {
    fn name(&self) -> &str {
        "service manager"
    }

    fn read(&mut self, now: Instant) -> Result<Option<Reading>, SourceError> {
        let watch = self.watch.as_mut().map_err(|why| why.clone())?;
        if watch.take()? {
            self.told_at = Some(now);
        }
        let level = if self.told_at == Some(now) {
            PressureLevel::Warning
        } else {
            PressureLevel::Normal
        };
        Ok(Some(Reading::level(level)))
    }
}
