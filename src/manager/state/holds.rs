//! Holds: guards that go when their program says so, not when work ends (R26).
//!
//! Reservations, residents and leaked guards are holds. Those that are not evictable *stay*. What a demand must fit beside
//! is kept here as sums, so that judging it costs nothing that grows with the number of holds.

use crate::error::StayingGuard;
use crate::manager::state::request::{Request, Room};
use crate::sync::Arc;
use std::collections::BTreeMap;
use std::panic::Location;

/// How many holds are looked at to name the largest (R40).
const LOOKED_AT: usize = 64;

/// Tells a hold from others of its manager.
pub(crate) type HoldKey = u64;

/// One hold.
#[derive(Debug)]
struct Hold {
    ticket: u64,
    /// What an error tells of it.
    told: Arc<StayingGuard>,
    room: Room,
}

/// The holds of a group.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    stay: BTreeMap<HoldKey, Hold>,
    evictable: BTreeMap<HoldKey, Hold>,
    /// Of all.
    bytes: u64,
    /// Of those that stay.
    staying: u64,
    /// How many active guards are leaked.
    leaked_active: u64,
    /// The rooms that are wanted, and by how many holds; nearly always one.
    rooms: BTreeMap<Room, usize>,
}

impl Holds {
    fn all(&self) -> impl Iterator<Item = (&HoldKey, &Hold)> {
        self.stay.iter().chain(&self.evictable)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.stay.is_empty() && self.evictable.is_empty()
    }

    /// Their sizes together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sizes of those that stay.
    pub(crate) fn staying(&self) -> u64 {
        self.staying
    }

    /// How many active guards are leaked.
    pub(crate) fn leaked_active(&self) -> u64 {
        self.leaked_active
    }

    /// How many of them stay.
    pub(crate) fn how_many_stay(&self) -> usize {
        self.stay.len()
    }

    /// The rooms that are wanted, each once.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = Room> {
        self.rooms.keys().copied()
    }

    /// The largest room that is wanted.
    pub(crate) fn largest_room(&self) -> u64 {
        self.rooms().map(|room| room.bytes).max().unwrap_or(0)
    }

    /// The rooms that are wanted by those that stay.
    pub(crate) fn rooms_that_stay(&self) -> impl Iterator<Item = Room> {
        let rooms = self.stay.values().map(|hold| hold.room);
        rooms.filter(|room| room.bytes > 0)
    }

    /// The room that holds of a ticket want.
    pub(crate) fn room_of(&self, ticket: u64) -> Option<Room> {
        let mut all = self.all();
        all.find(|(_, hold)| hold.ticket == ticket)
            .map(|(_, hold)| hold.room)
    }

    /// Each size, of all or of those that stay.
    pub(crate) fn sizes(&self, staying_only: bool) -> impl Iterator<Item = u64> {
        let evictable = self.evictable.values().filter(move |_| !staying_only);
        let all = self.stay.values().chain(evictable);
        all.map(|hold| hold.told.bytes)
    }

    /// Each hold, or each that is leaked: its size and the room that it wants.
    pub(crate) fn each(&self, leaked_only: bool) -> impl Iterator<Item = (HoldKey, u64, Room)> {
        self.all()
            .filter(move |(_, hold)| hold.told.leaked || !leaked_only)
            .map(|(key, hold)| (*key, hold.told.bytes, hold.room))
    }

    /// The size of one, and whether it stays.
    pub(crate) fn size_of(&self, key: HoldKey) -> Option<(u64, bool)> {
        let staying = self.stay.get(&key).map(|hold| (hold.told.bytes, true));
        let evictable = || Some((self.evictable.get(&key)?.told.bytes, false));
        staying.or_else(evictable)
    }

    /// Those that their program gives back when it is asked, the oldest first.
    pub(crate) fn evictable(&self) -> impl Iterator<Item = (HoldKey, &Arc<StayingGuard>)> {
        let evictable = self.evictable.iter();
        evictable.map(|(key, hold)| (*key, &hold.told))
    }

    /// The largest that stays, of those that are looked at. `leaked`: of active guards that were leaked.
    pub(crate) fn largest_that_stays(&self, leaked: bool) -> Option<&Arc<StayingGuard>> {
        let meant = self.stay.values().map(|hold| &hold.told);
        let meant = meant.filter(|told| !leaked || told.is_leaked_active());
        meant.take(LOOKED_AT).max_by_key(|told| told.bytes)
    }

    /// Adds a guard of `ticket`.
    pub(crate) fn add(
        &mut self,
        key: HoldKey,
        ticket: &Request,
        place: &'static Location<'static>,
        leaked: bool,
    ) {
        let hold = Hold {
            ticket: ticket.id(),
            told: Arc::new(StayingGuard {
                bytes: ticket.bytes(),
                kind: ticket.kind(),
                label: ticket.label_text(),
                policy: ticket.policy_label().clone(),
                place,
                leaked,
            }),
            room: ticket.room(),
        };
        self.bytes += hold.told.bytes;
        self.leaked_active += u64::from(hold.told.is_leaked_active());
        if hold.room.bytes > 0 {
            *self.rooms.entry(hold.room).or_default() += 1;
        }
        if leaked || !ticket.is_evictable() {
            self.staying += hold.told.bytes;
            self.stay.insert(key, hold);
        } else {
            self.evictable.insert(key, hold);
        }
    }

    /// Takes a guard out. Returns its size, and where it was acquired.
    pub(crate) fn remove(&mut self, key: HoldKey) -> Option<(u64, &'static Location<'static>)> {
        let staying = self.stay.remove(&key);
        if let Some(hold) = &staying {
            self.staying -= hold.told.bytes;
        }
        let hold = staying.or_else(|| self.evictable.remove(&key))?;
        self.bytes -= hold.told.bytes;
        self.leaked_active -= u64::from(hold.told.is_leaked_active());
        if let Some(wanted) = self.rooms.get_mut(&hold.room) {
            *wanted -= 1;
            if *wanted == 0 {
                self.rooms.remove(&hold.room);
            }
        }
        Some((hold.told.bytes, hold.told.place))
    }
}
