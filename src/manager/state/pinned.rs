//! Pinned demands: guards that go when their program says so, not when work ends (R26).
//!
//! The demands of reservations, residents and leaked guards are pinned. What a demand must fit beside is kept here as
//! sums, so that judging it costs nothing that grows with the number of pinned demands.

use crate::error::StayingGuard;
use crate::manager::state::request::{Request, Room};
use crate::sync::Arc;
use std::collections::BTreeMap;
use std::panic::Location;

/// How many pinned demands are looked at to name the largest (R40).
const LOOKED_AT: usize = 64;

/// Tells a pinned demand from others of its manager.
pub(crate) type PinKey = u64;

/// One pinned demand.
#[derive(Debug)]
struct PinnedDemand {
    ticket: u64,
    /// What an error tells of it.
    guard: Arc<StayingGuard>,
    room: Room,
}

/// The pinned demands of a group.
#[derive(Debug, Default)]
pub(crate) struct PinnedDemands {
    unevictable: BTreeMap<PinKey, PinnedDemand>,
    evictable: BTreeMap<PinKey, PinnedDemand>,
    /// Of all.
    bytes: u64,
    /// Of those that are not evictable.
    unevictable_bytes: u64,
    /// How many active guards are leaked.
    leaked_active: u64,
    /// The rooms that are wanted, and by how many pinned demands; nearly always one.
    rooms: BTreeMap<Room, usize>,
}

impl PinnedDemands {
    fn all(&self) -> impl Iterator<Item = (&PinKey, &PinnedDemand)> {
        self.unevictable.iter().chain(&self.evictable)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.unevictable.is_empty() && self.evictable.is_empty()
    }

    /// Their sizes together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sizes of those that are not evictable.
    pub(crate) fn unevictable_bytes(&self) -> u64 {
        self.unevictable_bytes
    }

    /// How many active guards are leaked.
    pub(crate) fn leaked_active(&self) -> u64 {
        self.leaked_active
    }

    /// How many of them are not evictable.
    pub(crate) fn unevictable_count(&self) -> usize {
        self.unevictable.len()
    }

    /// The rooms that are wanted, each once.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = Room> {
        self.rooms.keys().copied()
    }

    /// The largest room that is wanted.
    pub(crate) fn largest_room(&self) -> u64 {
        self.rooms().map(|room| room.bytes).max().unwrap_or(0)
    }

    /// The rooms that are wanted by those that are not evictable.
    pub(crate) fn unevictable_rooms(&self) -> impl Iterator<Item = Room> {
        let rooms = self.unevictable.values().map(|pinned| pinned.room);
        rooms.filter(|room| room.bytes > 0)
    }

    /// The room that pinned demands of a ticket want.
    pub(crate) fn room_of(&self, ticket: u64) -> Option<Room> {
        let mut all = self.all();
        all.find(|(_, pinned)| pinned.ticket == ticket)
            .map(|(_, pinned)| pinned.room)
    }

    /// Each size, of all or of those that are not evictable.
    pub(crate) fn sizes(&self, unevictable_only: bool) -> impl Iterator<Item = u64> {
        let evictable = self.evictable.values().filter(move |_| !unevictable_only);
        let all = self.unevictable.values().chain(evictable);
        all.map(|pinned| pinned.guard.bytes)
    }

    /// Each pinned demand, or each that is leaked: its size and the room that it wants.
    pub(crate) fn each(&self, leaked_only: bool) -> impl Iterator<Item = (PinKey, u64, Room)> {
        self.all()
            .filter(move |(_, pinned)| pinned.guard.leaked || !leaked_only)
            .map(|(key, pinned)| (*key, pinned.guard.bytes, pinned.room))
    }

    /// The size of one, and whether it is not evictable.
    pub(crate) fn size_of(&self, key: PinKey) -> Option<(u64, bool)> {
        let unevictable = self
            .unevictable
            .get(&key)
            .map(|pinned| (pinned.guard.bytes, true));
        let evictable = || Some((self.evictable.get(&key)?.guard.bytes, false));
        unevictable.or_else(evictable)
    }

    /// Those that their program gives back when it is asked, the oldest first.
    pub(crate) fn evictable(&self) -> impl Iterator<Item = (PinKey, &Arc<StayingGuard>)> {
        let evictable = self.evictable.iter();
        evictable.map(|(key, pinned)| (*key, &pinned.guard))
    }

    /// The largest that is not evictable, of those that are looked at. `leaked`: of active guards that were leaked.
    pub(crate) fn largest_unevictable(&self, leaked: bool) -> Option<&Arc<StayingGuard>> {
        let meant = self.unevictable.values().map(|pinned| &pinned.guard);
        let meant = meant.filter(|guard| !leaked || guard.is_leaked_active());
        meant.take(LOOKED_AT).max_by_key(|guard| guard.bytes)
    }

    /// Adds a guard of `request`.
    pub(crate) fn add(
        &mut self,
        key: PinKey,
        request: &Request,
        location: &'static Location<'static>,
        leaked: bool,
    ) {
        let pinned = PinnedDemand {
            ticket: request.id(),
            guard: Arc::new(StayingGuard {
                bytes: request.bytes(),
                kind: request.kind(),
                label: request.label_text(),
                policy: request.policy_label().clone(),
                place: location,
                leaked,
            }),
            room: request.room(),
        };
        self.bytes += pinned.guard.bytes;
        self.leaked_active += u64::from(pinned.guard.is_leaked_active());
        if pinned.room.bytes > 0 {
            *self.rooms.entry(pinned.room).or_default() += 1;
        }
        if leaked || !request.is_evictable() {
            self.unevictable_bytes += pinned.guard.bytes;
            self.unevictable.insert(key, pinned);
        } else {
            self.evictable.insert(key, pinned);
        }
    }

    /// Takes a guard out. Returns its size, and where it was acquired.
    pub(crate) fn remove(&mut self, key: PinKey) -> Option<(u64, &'static Location<'static>)> {
        let unevictable = self.unevictable.remove(&key);
        if let Some(pinned) = &unevictable {
            self.unevictable_bytes -= pinned.guard.bytes;
        }
        let pinned = unevictable.or_else(|| self.evictable.remove(&key))?;
        self.bytes -= pinned.guard.bytes;
        self.leaked_active -= u64::from(pinned.guard.is_leaked_active());
        if let Some(wanted) = self.rooms.get_mut(&pinned.room) {
            *wanted -= 1;
            if *wanted == 0 {
                self.rooms.remove(&pinned.room);
            }
        }
        Some((pinned.guard.bytes, pinned.guard.place))
    }
}
