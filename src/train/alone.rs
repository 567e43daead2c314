//! Whether a measurement has MLX for itself.

use super::Error;
use super::other_guard::OtherGuard;
use crate::{EventKind, Kind, Manager, Subscriber};
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// Watches a manager for guards, from before the first look: none comes and goes unseen.
pub(super) struct Alone<'a> {
    manager: &'a Manager,
    label: &'a Arc<str>,
    beside_holds: bool,
    thread: ThreadId,
    events: Subscriber,
}

impl<'a> Alone<'a> {
    /// More events than this between two looks, and there was other work.
    const EVENTS: usize = 4096;

    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// [`Error::NotAlone`] if guards live already.
    pub(super) fn watch(
        manager: &'a Manager,
        label: &'a Arc<str>,
        beside_holds: bool,
    ) -> Result<Self, Error> {
        let alone = Self {
            manager,
            label,
            beside_holds,
            thread: thread::current().id(),
            events: manager.subscribe(Self::EVENTS),
        };
        alone.none_lives()?;
        Ok(alone)
    }

    /// Whether no other guard lives, or has lived since the last look. What the measured closure acquires itself, on the
    /// measuring thread, and releases, is its own.
    pub(super) fn check(&self) -> Result<(), Error> {
        let started = self
            .events
            .drain()
            .filter(|event| event.kind == EventKind::TicketStarted && event.thread != self.thread);
        let others: Vec<OtherGuard> = started.map(OtherGuard::from).collect();
        // What was lost were guards that came and went.
        let lost = usize::try_from(self.events.lost()).unwrap_or(usize::MAX);
        if !others.is_empty() || lost > 0 {
            return Err(self.not_alone(others, lost));
        }
        self.none_lives()
    }

    fn none_lives(&self) -> Result<(), Error> {
        let holders = self.manager.holders().into_iter();
        let others: Vec<OtherGuard> = holders
            .filter(|holder| !self.beside_holds || holder.kind == Kind::Active)
            .map(OtherGuard::from)
            .collect();
        if others.is_empty() {
            Ok(())
        } else {
            Err(self.not_alone(others, 0))
        }
    }

    fn not_alone(&self, mut guards: Vec<OtherGuard>, more: usize) -> Error {
        let count = guards.len().saturating_add(more);
        guards.sort_unstable_by_key(|guard| std::cmp::Reverse(guard.bytes));
        guards.truncate(OtherGuard::LISTED);
        Error::NotAlone {
            label: self.label.clone(),
            guards,
            count,
        }
    }
}
