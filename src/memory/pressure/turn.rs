//! What a turn has to itself.

use super::hysteresis::Hysteresis;
use super::lines::Lines;
use super::source::Source;
use super::told::SourceState;
use crate::PressureLevel;
use std::time::Instant;

/// A source, and what it said last.
pub(super) struct Slot {
    pub(super) source: Box<dyn Source>,
    pub(super) state: SourceState,
}

/// All that one thread at a time has: the one whose turn it is.
pub(super) struct Round {
    pub(super) slots: Vec<Slot>,
    pub(super) lines: Lines,
    pub(super) hysteresis: Hysteresis,
    /// What the manager was told last.
    pub(super) told: PressureLevel,
    /// When emptying what can be lost was enough last.
    pub(super) averted_at: Option<Instant>,
}

impl Round {
    pub(super) fn new(sources: Vec<Box<dyn Source>>, lines: Lines, hysteresis: Hysteresis) -> Self {
        let slots = sources.into_iter().map(|source| Slot {
            state: SourceState {
                name: source.name().into(),
                reading: None,
                problem: None,
            },
            source,
        });
        Self {
            slots: slots.collect(),
            lines,
            hysteresis,
            told: PressureLevel::Normal,
            averted_at: None,
        }
    }
}
