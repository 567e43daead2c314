//! What a waiter could join if only some guards lived: those that a [search for circles](super::circles) takes for held.

use super::Inner;
use super::holds::Room;
use super::judge::Live;
use super::locked::Locked;
use super::queue::Waiter;
use super::registry::Holder;
use crate::Error;
use crate::ticket::Kind;

/// The guards that are supposed to be all that lives.
#[derive(Default)]
struct Counted {
    /// The sizes in the waiter's group, and those of holds alone.
    each: Vec<u64>,
    holds: Vec<u64>,
    /// Over all groups.
    total: u64,
    total_holds: u64,
    /// How many active guards are in the waiter's group.
    active: u64,
    /// What the holds of the waiter's group want to be left, and the most that one of any group does.
    rooms: Vec<Room>,
    largest_room: u64,
}

impl Counted {
    /// `own`: of the waiter's group.
    fn add(&mut self, own: bool, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        if own {
            self.each.push(bytes);
        }
    }

    fn add_hold(&mut self, own: bool, bytes: u64, room: Option<Room>) {
        self.add(own, bytes);
        self.total_holds = self.total_holds.saturating_add(bytes);
        if own {
            self.holds.push(bytes);
            self.rooms.extend(room.filter(|room| room.bytes > 0));
        }
        let room = room.map_or(0, |room| room.bytes);
        self.largest_room = self.largest_room.max(room);
    }
}

impl Inner {
    /// Whether a waiter could be admitted if nothing lived but `held` by stuck threads, and beside that all holds if it is in
    /// line, or what is leaked if it is set `aside`.
    pub(super) fn could_join(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        aside: bool,
        held: &[&Holder],
    ) -> Result<bool, Error> {
        let (ticket, group) = (&waiter.ticket, waiter.ticket.group().index);
        // A growing guard asks for its new size in place of what it holds.
        let is_own = |holder: &Holder| {
            let from = waiter.from.as_ref();
            from.is_some_and(|it| it.id() == holder.ticket) && holder.thread == waiter.thread
        };
        let own = held.iter().position(|holder| is_own(holder));
        let by_stuck = held
            .iter()
            .enumerate()
            .filter(|(place, _)| Some(*place) != own)
            .map(|(_, holder)| *holder);
        // What is counted of each group: the sizes, those of holds among them, and the rooms that these want.
        let mut counted = Counted::default();
        for holder in by_stuck {
            if holder.kind == Kind::Active {
                counted.active += u64::from(holder.group == group);
                counted.add(holder.group == group, holder.bytes);
            } else if aside {
                let room = core.group(holder.group).holds.room_of(holder.ticket);
                counted.add_hold(holder.group == group, holder.bytes, room);
            }
        }
        let own_hold = waiter.from.as_ref().and(waiter.hold);
        for state in core.live_groups() {
            let holds = state
                .holds
                .each(aside)
                .filter(|(key, ..)| Some(*key) != own_hold);
            for (_, bytes, room) in holds {
                counted.add_hold(state.shared.index == group, bytes, Some(room));
            }
        }
        let leaked = core.group(group).holds.leaked_active();
        let Counted {
            each,
            active,
            total,
            holds,
            total_holds,
            mut rooms,
            largest_room,
        } = counted;
        let most = ticket.most().filter(|_| waiter.from.is_none());
        if most.is_some_and(|most| active.saturating_add(leaked) >= u64::from(most)) {
            return Ok(false);
        }
        let budget = core.config.budget;
        let exceeds = |sum: u64| budget.is_some_and(|budget| sum > budget);
        if exceeds(total.saturating_add(ticket.bytes())) {
            return Ok(false);
        }
        let mut live = Live::of(each);
        if self.are_in_the_way(core, ticket, &mut live, total)? {
            return Ok(false);
        }
        if !aside || !ticket.is_hold() {
            // In line it leaves the rooms beside all holds.
            return Ok(true);
        }
        let largest = largest_room.max(ticket.room().bytes);
        let with = total_holds.saturating_add(ticket.bytes());
        if exceeds(with.saturating_add(largest)) {
            return Ok(false);
        }
        rooms.push(ticket.room());
        self.leaves_these(core, ticket, Live::of(holds), &rooms)
    }
}
