//! The tickets of a manager, so that what is recorded of a guard (the ticket's number) can be told to people.
//!
//! A ticket is registered while it lives. One that is gone may still be needed: a forgotten borrowed guard holds its demand
//! for ever, and its slot has only the ticket's number. (An owned guard owns its ticket, and one in a list has its own
//! reference.) So tickets that are gone are collected, and a *sweep* looks for them among the borrowed guards in slots. A
//! sweep waits until a quarter as many tickets are gone as it reads slots. So on average a ticket pays for the reading of four
//! slots, however many guards and tickets there are.
//!
//! # Forgotten, or being released
//!
//! The registry's lock is held while records are read and while it is asked whether their tickets are gone. A guard's
//! record goes before its ticket does, and the ticket's going takes the lock: so a ticket that is gone, of which a borrowed
//! guard is seen, has forgotten it.

use crate::holders::{self, About, ByNumber, Recorded};
use crate::sync::Arc;
use std::collections::HashSet;

/// The tickets by number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tickets: ByNumber<Known>,
    /// Those that are gone and were not looked for since.
    gone: Vec<u64>,
    /// How many may be gone before they are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
struct Known {
    about: Arc<About>,
    gone: bool,
}

impl Registry {
    pub(crate) fn register(&mut self, id: u64, about: Arc<About>) {
        self.tickets.insert(id, Known { about, gone: false });
    }

    /// Notes that a ticket and all its clones are gone.
    pub(crate) fn note_gone(&mut self, id: u64) {
        let Some(known) = self.tickets.get_mut(&id) else {
            return;
        };
        known.gone = true;
        self.gone.push(id);
        if self.gone.len() > self.sweep_at {
            self.sweep();
        }
    }

    /// Forgets tickets that are gone and of which no guard was forgotten. The others stay for good.
    fn sweep(&mut self) {
        let mut held = HashSet::new();
        let slots = holders::borrowed_tickets(|ticket| {
            if self.tickets.get(&ticket).is_some_and(|known| known.gone) {
                held.insert(ticket);
            }
        });
        for id in self.gone.drain(..) {
            if !held.contains(&id) {
                self.tickets.remove(&id);
            }
        }
        self.sweep_at = (slots / 4).max(64);
        self.gone.shrink_to(self.sweep_at);
        holders::shrink(&mut self.tickets);
    }

    /// What the ticket of a guard is; `None` if it is another manager's.
    pub(crate) fn about<'a>(&'a self, seen: &Recorded<'a>) -> Option<&'a Arc<About>> {
        let known = || self.tickets.get(&seen.ticket).map(|known| &known.about);
        seen.kept.or_else(known)
    }

    /// Whether the ticket that a guard was acquired with is gone.
    pub(crate) fn has_lost(&self, seen: &Recorded<'_>, about: &About) -> bool {
        let ticket = about.origin.unwrap_or(seen.ticket);
        self.tickets.get(&ticket).is_none_or(|known| known.gone)
    }
}
