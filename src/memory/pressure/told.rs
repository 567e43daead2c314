//! What is told of pressure: changes, sources, figures.

use super::source::Reading;
use crate::PressureLevel;
use crate::print::Name;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A change of the level. There is one for each, not for each reading.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The level before.
    pub from: PressureLevel,
    /// The level now. A rise may pass levels over; a fall goes one level at a time.
    pub to: PressureLevel,
    /// When, on the monitor's clock.
    pub at: Instant,
    /// The source that says the most, the first by trust, and what it says. `None` where nothing is said, and at the end.
    pub source: Option<(Arc<str>, Reading)>,
}

impl Change {
    /// Whether memory has become scarcer.
    #[must_use]
    pub fn is_rise(&self) -> bool {
        self.to > self.from
    }

    /// Whether the pressure is over.
    #[must_use]
    pub fn is_recovery(&self) -> bool {
        self.to == PressureLevel::Normal
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory pressure is {}, was {}", self.to, self.from)?;
        if let Some((name, reading)) = &self.source {
            write!(f, " ({}: {reading})", Name::cut(name, 24))?;
        }
        Ok(())
    }
}

/// A source that cannot be read any more, or can again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceEvent {
    /// Its name.
    pub name: Arc<str>,
    /// Why it cannot be read, printable; `None`: it can again.
    pub problem: Option<String>,
}

impl fmt::Display for SourceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Name::cut(&self.name, 24);
        match &self.problem {
            None => write!(f, "pressure source {name} can be read again"),
            Some(problem) if f.alternate() => write!(
                f,
                "pressure source {name} cannot be read: {}; the others are read, and it is tried again at each poll",
                Name::whole(problem)
            ),
            Some(problem) => write!(
                f,
                "pressure source {name} cannot be read, the others go on: {}",
                Name::cut(problem, 70)
            ),
        }
    }
}

/// A source as it was read last.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SourceState {
    /// Its name.
    pub name: Arc<str>,
    /// What it said; `None` where it had nothing to say, or cannot be read.
    pub reading: Option<Reading>,
    /// Why it cannot be read, printable.
    pub problem: Option<String>,
}

/// What a monitor has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PressureStats {
    /// Polls.
    pub polls: u64,
    /// Changes to a higher level.
    pub rises: u64,
    /// Changes to a lower level.
    pub falls: u64,
    /// Rises that did not come, since it was enough to empty MLX's cache.
    pub averted: u64,
    /// What was given back, in bytes, as its owners told; what was emptied first is among it.
    pub given_back: u64,
    /// Functions of the program that panicked, sources among them.
    pub panics: u64,
    /// How often a source that could be read could be read no more.
    pub sources_lost: u64,
    /// Calls that the manager refused. They are made again at the next poll.
    pub refused: u64,
}
