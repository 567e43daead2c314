//! Holds: guards that go when their program says so, not when work ends (R26).
//!
//! Reservations, residents and leaked guards are holds. Those that are not evictable *stay*. What a demand must fit beside
//! is kept here as sums, so that judging it costs nothing that grows with the number of holds.

use crate::error::StayingGuard;
use crate::policy::Formula;
use crate::sync::Arc;
use crate::ticket::Ticket;
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
    stays: bool,
}

/// Room that a hold wants to be left for active demands of its own policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Room {
    pub(crate) formula: Formula,
    pub(crate) bytes: u64,
}

/// The holds of a group.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    all: BTreeMap<HoldKey, Hold>,
    /// Of all.
    bytes: u64,
    /// Of those that stay.
    staying: u64,
    how_many_stay: usize,
    /// The rooms that are wanted, and by how many holds; nearly always one.
    rooms: BTreeMap<Room, usize>,
}

impl Holds {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Their sizes together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sizes of those that stay.
    pub(crate) fn staying(&self) -> u64 {
        self.staying
    }

    /// How many of them stay.
    pub(crate) fn how_many_stay(&self) -> usize {
        self.how_many_stay
    }

    /// The rooms that are wanted, each once.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = Room> {
        self.rooms.keys().copied()
    }

    /// The room that holds of a ticket want.
    pub(crate) fn room_of(&self, ticket: u64) -> Option<Room> {
        let mut all = self.all.values();
        all.find(|hold| hold.ticket == ticket).map(|hold| hold.room)
    }

    /// Each size, of all or of those that stay.
    pub(crate) fn sizes(&self, staying_only: bool) -> Vec<u64> {
        let all = self.all.values();
        all.filter(|hold| hold.stays || !staying_only)
            .map(|hold| hold.told.bytes)
            .collect()
    }

    /// Each hold, or each that is leaked: its size and the room that it wants.
    pub(crate) fn each(&self, leaked_only: bool) -> impl Iterator<Item = (HoldKey, u64, Room)> {
        let all = self.all.iter();
        all.filter(move |(_, hold)| hold.told.leaked || !leaked_only)
            .map(|(key, hold)| (*key, hold.told.bytes, hold.room))
    }

    /// The size of one, and whether it stays.
    pub(crate) fn size_of(&self, key: HoldKey) -> Option<(u64, bool)> {
        let hold = self.all.get(&key)?;
        Some((hold.told.bytes, hold.stays))
    }

    /// Those that their program gives back when it is asked, the oldest first.
    pub(crate) fn evictable(&self) -> impl Iterator<Item = (HoldKey, &Arc<StayingGuard>)> {
        let all = self.all.iter().filter(|(_, hold)| !hold.stays);
        all.map(|(key, hold)| (*key, &hold.told))
    }

    /// The largest that stays, of those that are looked at.
    pub(crate) fn largest_that_stays(&self) -> Option<&Arc<StayingGuard>> {
        let looked_at = self.all.values().take(LOOKED_AT);
        looked_at
            .filter(|hold| hold.stays)
            .map(|hold| &hold.told)
            .max_by_key(|told| told.bytes)
    }

    /// Adds a guard of `ticket`.
    pub(crate) fn add(
        &mut self,
        key: HoldKey,
        ticket: &Ticket,
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
            stays: leaked || !ticket.is_evictable(),
        };
        self.bytes += hold.told.bytes;
        if hold.stays {
            self.staying += hold.told.bytes;
            self.how_many_stay += 1;
        }
        if hold.room.bytes > 0 {
            *self.rooms.entry(hold.room).or_default() += 1;
        }
        self.all.insert(key, hold);
    }

    /// Takes a guard out. Returns where it was acquired.
    pub(crate) fn remove(&mut self, key: HoldKey) -> Option<&'static Location<'static>> {
        let hold = self.all.remove(&key)?;
        self.bytes -= hold.told.bytes;
        if hold.stays {
            self.staying -= hold.told.bytes;
            self.how_many_stay -= 1;
        }
        if let Some(wanted) = self.rooms.get_mut(&hold.room) {
            *wanted -= 1;
            if *wanted == 0 {
                self.rooms.remove(&hold.room);
            }
        }
        Some(hold.told.place)
    }
}
