//! The tickets of a manager, so that what is recorded of a guard (the ticket's number) can be told to people.
//!
//! A ticket is registered while it lives. One that is gone may still be needed: a borrowed guard that was forgotten holds its
//! demand for ever, and its ticket's number is all that its slot has. (An owned guard owns its ticket, and one in a list
//! has its own reference.) So tickets that are gone are collected, and a *sweep* looks for them among the borrowed guards
//! in slots. It waits until there are a quarter as many as the slots that it reads, so that on average a ticket pays for
//! the reading of four slots, however many guards and tickets there are.
//!
//! # Forgotten, or being released
//!
//! The registry's lock is held while records are read and while it is asked whether their tickets are gone. A guard's
//! record goes before its ticket does, and the ticket's going takes the lock: so a ticket that is gone, of which a borrowed
//! guard is seen, has forgotten it.

use super::Inner;
use super::core::Core;
use super::group::Group;
use crate::fork;
use crate::holders::{self, About, ByNumber, Seen};
use crate::snapshot::{Holder, HolderState};
use crate::sync::Arc;
use std::collections::HashSet;
use std::time::Instant;

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
    pub(super) fn about<'a>(&'a self, seen: &Seen<'a>) -> Option<&'a Arc<About>> {
        let known = || self.tickets.get(&seen.ticket).map(|known| &known.about);
        seen.kept.or_else(known)
    }

    /// Whether the ticket that a guard was acquired with is gone.
    fn has_lost(&self, seen: &Seen<'_>, about: &About) -> bool {
        let ticket = about.origin.unwrap_or(seen.ticket);
        self.tickets.get(&ticket).is_none_or(|known| known.gone)
    }
}

impl Inner {
    /// Who holds what, the largest first. What others do meanwhile may be missing or already gone.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        if fork::is_child() {
            return Vec::new();
        }
        let groups = self.lock().listing_groups();
        self.holders_of(&groups)
    }

    /// [`holders`](Self::holders), with the groups that have lists.
    pub(super) fn holders_of(&self, groups: &[Arc<Group>]) -> Vec<Holder> {
        let now = self.clock.now();
        let mut holders = Vec::new();
        {
            let registry = self.tickets.lock();
            let mut see = |seen: Seen<'_>| {
                let about = registry.about(&seen);
                holders.extend(about.map(|about| Holder::new(&seen, about, &registry, now)));
            };
            holders::all(&mut see);
            for group in groups {
                group.listed.each(usize::MAX, &mut see);
            }
        }
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        holders
    }
}

impl Core {
    /// The groups that may list guards: those too that list none yet, since guards move there from slots meanwhile.
    pub(super) fn listing_groups(&self) -> Vec<Arc<Group>> {
        let groups = self.live_groups().map(|state| &state.shared);
        groups.cloned().collect()
    }
}

impl Holder {
    pub(super) fn new(seen: &Seen<'_>, about: &About, registry: &Registry, now: Instant) -> Self {
        // A borrowed guard keeps its ticket borrowed, on a thread that lives.
        let ownerless = seen.bound && (seen.ended || registry.has_lost(seen, about));
        Self {
            ticket: seen.ticket,
            bytes: about.bytes,
            kind: about.kind,
            policy: about.policy.clone(),
            label: about.label.clone(),
            place: seen.place,
            thread: seen.thread.id(),
            thread_name: seen.thread.name().map(str::to_owned),
            bound: seen.bound,
            group: about.group,
            age: seen.since.map(|since| now.saturating_duration_since(since)),
            state: match (seen.leaked, ownerless) {
                (true, _) => HolderState::Leaked,
                (false, true) => HolderState::Forgotten,
                (false, false) => HolderState::Held,
            },
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::{Error, Manager, SumPolicy};

    /// More guards than a thread has slots for move from the slots to the list, after it was seen which groups there are.
    #[test]
    fn r19_guards_that_move_from_slots_to_a_list_are_told_of_meanwhile() -> Result<(), Error> {
        let builder = Manager::builder().backend(crate::ffi::NoMlx::new());
        let manager = builder.build()?;
        let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
        let mut held = vec![ticket.acquire_owned()?];
        let groups = manager.inner().lock().listing_groups();
        while !ticket.group().listed.is_made() {
            held.push(ticket.acquire_owned()?);
        }
        assert_eq!(manager.inner().holders_of(&groups).len(), held.len());
        Ok(())
    }
}
