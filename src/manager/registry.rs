//! The tickets of a manager, so that what is recorded of a guard (the ticket's number) can be told to people.

use super::Inner;
use crate::fork;
use crate::holders::{self, Seen};
use crate::sync::{Arc, Ordering, ThreadId, Weak};
use crate::ticket::Kind;
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

/// What people want to know of a ticket.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) bytes: u64,
    /// Its group's place, which stays its own as long as the ticket or a guard of it lives.
    pub(crate) group: usize,
    pub(crate) kind: Kind,
    pub(crate) policy: Arc<str>,
    pub(crate) label: Option<Arc<str>>,
    /// Of a resized guard: the ticket that it was acquired with. A guard keeps what it was resized to itself.
    pub(crate) origin: Option<Weak<About>>,
}

impl About {
    /// Whether only the registry has it, or the ticket that its guard was acquired with.
    fn is_gone(self: &Arc<Self>) -> bool {
        match &self.origin {
            Some(origin) => origin.strong_count() <= 1,
            None => Arc::strong_count(self) == 1,
        }
    }
}

/// The tickets by number. A ticket that is gone stays until the next sweep, since a forgotten guard may still
/// hold its demand.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tickets: HashMap<u64, Arc<About>>,
    sweep_at: usize,
}

impl Registry {
    pub(crate) fn register(&mut self, id: u64, about: Arc<About>) {
        if self.tickets.len() >= self.sweep_at {
            self.sweep();
        }
        self.tickets.insert(id, about);
    }

    /// Forgets tickets that are gone and hold nothing. Each sweep waits until the number has doubled, so that
    /// registering costs a constant on average.
    fn sweep(&mut self) {
        let gone = |about: &Arc<About>| Arc::strong_count(about) == 1;
        let gone = self.tickets.iter().filter(|(_, about)| gone(about));
        let mut gone: HashSet<u64> = gone.map(|(id, _)| *id).collect();
        // A guard that was forgotten was recorded before its ticket went: it is seen from here on.
        fence(Ordering::Acquire);
        for seen in holders::all() {
            gone.remove(&seen.ticket);
        }
        self.tickets.retain(|id, _| !gone.contains(id));
        self.sweep_at = (self.tickets.len() * 2).max(64);
    }
}

/// One live guard, as [`Manager::holders`](crate::Manager::holders) tells it. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Holder {
    /// Its ticket's [id](crate::Ticket::id).
    pub ticket: u64,
    /// Its size.
    pub bytes: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its policy's label.
    pub policy: Arc<str>,
    /// Its ticket's name.
    pub label: Option<Arc<str>>,
    /// Where it was acquired.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::place"))]
    pub place: &'static Location<'static>,
    /// The thread that acquired it; while an owned guard grows, the one that grows it.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::thread"))]
    pub thread: ThreadId,
    /// That thread's name.
    pub thread_name: Option<String>,
    /// Whether only that thread can release it.
    pub bound: bool,
    /// How long it has been held, where that was recorded: after a wait, or while somebody watched.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serialize::duration::optional")
    )]
    pub age: Option<Duration>,
    /// Whether somebody can still release it.
    pub state: HolderState,
    /// The number of its group, as in [`Snapshot::groups`](crate::Snapshot::groups).
    pub group: usize,
}

/// Whether somebody can still release a live guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HolderState {
    /// Somebody may. An owned guard that was forgotten ([`std::mem::forget`], a cycle of references) looks like this too.
    Held,
    /// It was [leaked](crate::Guard::leak) on purpose.
    Leaked,
    /// It was forgotten: a borrowed guard whose ticket is gone, or whose thread has ended. Nobody can release it.
    Forgotten,
}

impl Inner {
    /// Who holds what, the largest first. What others do meanwhile may be missing or already gone.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        if fork::is_child() {
            return Vec::new();
        }
        let now = self.clock.now();
        let mut holders: Vec<Holder> = {
            let seen = holders::all();
            let registry = self.tickets.lock();
            seen.into_iter()
                .filter_map(|seen| {
                    let about = registry.tickets.get(&seen.ticket)?;
                    Some(Holder::new(&seen, about, now))
                })
                .collect()
        };
        let is_forgotten = |holder: &Holder| holder.state == HolderState::Forgotten;
        if holders.iter().any(is_forgotten) {
            // Who releases a guard and then drops its ticket is not to be blamed: what is no longer recorded has been
            // released meanwhile.
            fence(Ordering::Acquire);
            let still = holders::all();
            holders.retain(|holder| {
                !is_forgotten(holder) || still.iter().any(|seen| holder.is_of(seen))
            });
        }
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        holders
    }
}

impl Holder {
    fn new(seen: &Seen, about: &Arc<About>, now: Instant) -> Self {
        // A borrowed guard keeps its ticket borrowed, on a thread that lives.
        let ownerless = seen.bound && (about.is_gone() || seen.ended);
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

    fn is_of(&self, seen: &Seen) -> bool {
        (self.ticket, self.thread) == (seen.ticket, seen.thread.id()) && self.place == seen.place
    }
}
