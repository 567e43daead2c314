//! Up at once, down slowly, one level at a time.

use crate::PressureLevel;
use std::time::{Duration, Instant};

/// What one reading of all sources says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    /// The highest level that begins there.
    pub(super) entered: PressureLevel,
    /// The highest level that is not left there.
    pub(super) held: PressureLevel,
    /// Whether any source spoke. What is not read is no calm.
    pub(super) spoke: bool,
}

#[derive(Debug)]
pub(super) struct Hysteresis {
    level: PressureLevel,
    calm_for: Duration,
    calm_since: Option<Instant>,
}

impl Hysteresis {
    pub(super) fn new(calm_for: Duration) -> Self {
        Self {
            level: PressureLevel::Normal,
            calm_for,
            calm_since: None,
        }
    }

    pub(super) fn level(&self) -> PressureLevel {
        self.level
    }

    pub(super) fn calm_for(&self) -> Duration {
        self.calm_for
    }

    /// Takes a reading in, and returns the level before, if it changes.
    pub(super) fn step(&mut self, judged: Judged, now: Instant) -> Option<PressureLevel> {
        let before = self.level;
        if judged.entered > before {
            self.level = judged.entered;
            self.calm_since = None;
        } else if judged.held >= before || !judged.spoke {
            self.calm_since = None;
        } else {
            let since = *self.calm_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.calm_for {
                self.level = below(before);
                self.calm_since = Some(now);
            }
        }
        (self.level != before).then_some(before)
    }

    /// Ends it, and returns the level before, if that was not normal.
    pub(super) fn end(&mut self) -> Option<PressureLevel> {
        let before = std::mem::take(&mut self.level);
        (before > PressureLevel::Normal).then_some(before)
    }
}

fn below(level: PressureLevel) -> PressureLevel {
    match level {
        PressureLevel::Critical => PressureLevel::Urgent,
        PressureLevel::Urgent => PressureLevel::Warning,
        PressureLevel::Warning | PressureLevel::Normal => PressureLevel::Normal,
    }
}
