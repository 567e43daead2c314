//! What a waiter could join if only some guards lived: those that a [search for
//! deadlocks](crate::manager::admission::deadlocks) takes for held.

use crate::Error;
use crate::kind::Kind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::live::Live;
use crate::manager::state::request::Room;
use crate::manager::state::waiter::Waiter;
use crate::snapshot::Holder;
use std::collections::{BTreeMap, BTreeSet};

/// The guards that are supposed to be all that lives: what stuck threads hold, and beside it all pinned demands for a
/// waiter in the queue, or what is leaked for one that is set aside.
pub(crate) struct Supposed<'a> {
    by_stuck: Vec<&'a Holder>,
    /// What they are for the waiters of a group, in the queue or set aside, that grow no guard: counted once (R40).
    counted: BTreeMap<(usize, bool), Counted>,
}

impl<'a> Supposed<'a> {
    pub(crate) fn new(by_stuck: impl Iterator<Item = &'a Holder>) -> Self {
        Self {
            by_stuck: by_stuck.collect(),
            counted: BTreeMap::new(),
        }
    }

    /// The guards that are supposed, as they are for a waiter.
    fn counted(&mut self, core: &Core, waiter: &Waiter, set_aside: bool) -> Counted {
        let group = waiter.request.group().index;
        if waiter.from.is_some() {
            return Counted::new(core, &self.by_stuck, waiter, set_aside);
        }
        let counted = self.counted.entry((group, set_aside));
        counted
            .or_insert_with(|| Counted::new(core, &self.by_stuck, waiter, set_aside))
            .clone()
    }
}

/// Guards of a group.
#[derive(Debug, Clone, Default)]
struct OfGroup {
    sum: u64,
    /// Their single sizes, for a custom policy.
    each: Vec<u64>,
}

impl OfGroup {
    fn add(&mut self, bytes: u64, custom: bool) {
        self.sum = self.sum.saturating_add(bytes);
        if custom {
            self.each.push(bytes);
        }
    }
}

impl From<OfGroup> for Live {
    fn from(guards: OfGroup) -> Self {
        Self {
            sum: guards.sum,
            ..Self::of(guards.each)
        }
    }
}

/// The guards that are supposed, as they are for the waiters of a group.
#[derive(Debug, Clone, Default)]
struct Counted {
    /// Those in the group, and its pinned demands alone.
    guards: OfGroup,
    pinned: OfGroup,
    /// Over all groups.
    total: u64,
    total_pinned: u64,
    /// How many active guards are in the group.
    active: u64,
    /// What the pinned demands of the group want to be left, and the most that one of any group does.
    rooms: BTreeSet<Room>,
    largest_room: u64,
}

impl Counted {
    fn new(core: &Core, by_stuck: &[&Holder], waiter: &Waiter, set_aside: bool) -> Self {
        let state = core.group(waiter.request.group().index);
        let (group, custom) = (state.shared.index, state.custom());
        // A growing guard asks for its new size in place of what it holds.
        let is_own = |holder: &Holder| {
            let from = waiter.from.as_ref();
            from.is_some_and(|it| it.id() == holder.ticket) && holder.thread == waiter.thread
        };
        let own = by_stuck.iter().position(|holder| is_own(holder));
        let mut counted = Self {
            active: state.pinned.leaked_active(),
            ..Self::default()
        };
        for (index, holder) in by_stuck.iter().enumerate() {
            let of_group = (holder.group == group).then_some(custom);
            if Some(index) == own {
                continue;
            }
            if holder.kind == Kind::Active {
                counted.active += u64::from(of_group.is_some());
                counted.add(of_group, holder.bytes);
            } else if set_aside {
                let room = core.group(holder.group).pinned.room_of(holder.ticket);
                counted.add_pinned(of_group, holder.bytes, room);
            }
        }
        let own_pinned = waiter.from.as_ref().and(waiter.pin);
        for state in core.listed_groups() {
            let of_group = (state.shared.index == group).then_some(custom);
            for (key, bytes, room) in state.pinned.each(set_aside) {
                if Some(key) != own_pinned {
                    counted.add_pinned(of_group, bytes, Some(room));
                }
            }
        }
        counted
    }

    /// `of_group`: in the waiters' group, and whether that is custom.
    fn add(&mut self, of_group: Option<bool>, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        if let Some(custom) = of_group {
            self.guards.add(bytes, custom);
        }
    }

    fn add_pinned(&mut self, of_group: Option<bool>, bytes: u64, room: Option<Room>) {
        self.add(of_group, bytes);
        self.total_pinned = self.total_pinned.saturating_add(bytes);
        let room = room.filter(|room| room.bytes > 0);
        if let Some(custom) = of_group {
            self.pinned.add(bytes, custom);
            self.rooms.extend(room);
        }
        let room = room.map_or(0, |room| room.bytes);
        self.largest_room = self.largest_room.max(room);
    }
}

impl Inner {
    /// Whether a waiter could be admitted if nothing lived but what is supposed.
    pub(crate) fn could_join(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        set_aside: bool,
        supposed: &mut Supposed<'_>,
    ) -> Result<bool, Error> {
        let request = &waiter.request;
        let counted = supposed.counted(core, waiter, set_aside);
        if request.group().custom {
            // It is asked without the lock: pinned demands may come and go meanwhile.
            supposed.counted.clear();
        }
        let most = request.most().filter(|_| waiter.from.is_none());
        if most.is_some_and(|most| counted.active >= u64::from(most)) {
            return Ok(false);
        }
        let budget = core.config.budget;
        let exceeds = |sum: u64| budget.is_some_and(|budget| sum > budget);
        if exceeds(counted.total.saturating_add(request.bytes())) {
            return Ok(false);
        }
        if self.are_in_the_way(core, request, &mut counted.guards.into(), counted.total)? {
            return Ok(false);
        }
        if !set_aside || !request.is_pinned() {
            // In the queue it leaves the rooms beside all pinned demands.
            return Ok(true);
        }
        let largest = counted.largest_room.max(request.room().bytes);
        let with = counted.total_pinned.saturating_add(request.bytes());
        if exceeds(with.saturating_add(largest)) {
            return Ok(false);
        }
        let rooms = counted.rooms.iter().copied().chain([request.room()]);
        let rooms: Vec<Room> = rooms.collect();
        self.leaves_given_rooms(core, request, counted.pinned.into(), &rooms)
    }
}
