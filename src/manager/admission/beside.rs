//! What a demand fits beside: the holds of its queue alone (R26), and the rooms that holds were promised (R26b).
//!
//! A demand that does not fit beside the holds gains nothing by waiting for work. Beside those that stay it is refused, if
//! it is active; in every other case it is set aside until holds go.

use crate::Error;
use crate::arbiter::Resolved;
use crate::error::StayingGuard;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::demand::Demand;
use crate::manager::state::holds::Holds;
use crate::manager::state::live::Live;
use crate::manager::state::request::Request;
use crate::manager::state::request::Room;
use crate::mode::WireMode;
use crate::sync::Arc;

/// What a demand that cannot be admitted now waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// It fits beside all holds: it waits for work, in the queue.
    Work,
    /// It does not: it waits for holds, set aside.
    Holds,
}

/// Which of the bounds a demand breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Policy,
    Budget,
    /// How many may be active at once.
    AtMost(u32),
}

/// Which holds count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Staying,
}

impl Which {
    fn bytes(self, holds: &Holds) -> u64 {
        match self {
            Self::All => holds.bytes(),
            Self::Staying => holds.staying(),
        }
    }

    fn rooms(self, holds: &Holds) -> impl Iterator<Item = Room> {
        let all = (self == Self::All).then(|| holds.rooms());
        let staying = (self == Self::Staying).then(|| holds.rooms_that_stay());
        all.into_iter()
            .flatten()
            .chain(staying.into_iter().flatten())
    }
}

impl Inner {
    /// What a demand waits for that cannot be admitted now. A custom policy is asked without the lock.
    ///
    /// # Errors
    ///
    /// [`Error::NoRoom`] for an active demand that does not fit beside what stays, unless it waits for holds;
    /// [`Error::PolicyPanicked`].
    pub(crate) fn waits_for(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<Beside, Error> {
        if self.breaks(core, demand, Which::All)?.is_none() {
            let leaves_rooms = !demand.ticket.is_hold() || self.leaves_rooms(core, demand)?;
            return Ok(if leaves_rooms {
                Beside::Work
            } else {
                Beside::Holds
            });
        }
        if demand.ticket.is_hold() || demand.for_holds {
            return Ok(Beside::Holds);
        }
        let Some(bound) = self.breaks(core, demand, Which::Staying)? else {
            return Ok(Beside::Holds);
        };
        // None stays any more if the last has gone while a policy was asked, without the lock.
        no_room(self, core, demand, bound).map_or(Ok(Beside::Work), Err)
    }

    /// Whether a demand would fit if every evictable hold went, and leave the others their rooms.
    pub(crate) fn fits_beside_what_stays(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<bool, Error> {
        let fits = self.breaks(core, demand, Which::Staying)?.is_none();
        Ok(fits
            && (!demand.ticket.is_hold()
                || self.leaves_rooms_beside(core, demand, Which::Staying)?))
    }

    /// How many bytes of holds must go so that a demand fits beside the rest, where its policy or the budget over all
    /// groups tells; else what it asks for.
    pub(crate) fn missing(&self, core: &Locked<'_>, demand: Demand<'_>) -> u64 {
        let ticket = demand.ticket;
        let holds = &core.group(ticket.group().index).holds;
        let own = demand.own_hold(holds, Which::All).unwrap_or(0);
        let wanted = ticket.bytes().saturating_add(ticket.room().bytes);
        let over = |held: u64, capacity: Option<u64>| {
            let with = held.saturating_sub(own).saturating_add(wanted);
            capacity.map(|capacity| with.saturating_sub(capacity))
        };
        let all = core
            .live_groups()
            .fold(0, |sum: u64, state| sum.saturating_add(state.holds.bytes()));
        let by_policy = over(holds.bytes(), self.capacity(core, ticket));
        let by_budget = over(all, core.config.budget);
        let missing = by_policy.into_iter().chain(by_budget).max();
        missing.filter(|bytes| *bytes > 0).unwrap_or(wanted)
    }

    /// Which bound a demand breaks beside such holds and nothing else.
    fn breaks(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        which: Which,
    ) -> Result<Option<Bound>, Error> {
        let ticket = demand.ticket;
        if core
            .queue_groups(ticket.group().index)
            .all(|state| state.holds.is_empty())
        {
            return Ok(None);
        }
        let most = ticket.most().filter(|_| demand.from.is_none());
        let leaked = core.group(ticket.group().index).holds.leaked_active();
        if let Some(most) =
            most.filter(|most| leaked >= u64::from(*most) && core.mode != WireMode::Uncoordinated)
        {
            return Ok(Some(Bound::AtMost(most)));
        }
        let total = total_beside(core, demand, which);
        if exceeds(total.saturating_add(ticket.bytes()), core.config.budget) {
            return Ok(Some(Bound::Budget));
        }
        let mut live = holds_beside(core, demand, which);
        let of_group = live.sum;
        let kept_out = self.are_in_the_way(core, ticket, &mut live, of_group);
        core.group_mut(ticket.group().index).give_back(live.each);
        Ok(kept_out?.then_some(Bound::Policy))
    }

    /// Whether a hold, new or grown, leaves each live hold the room that it was promised, and itself its own.
    pub(crate) fn leaves_rooms(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<bool, Error> {
        self.leaves_rooms_beside(core, demand, Which::All)
    }

    /// The same beside such holds alone.
    fn leaves_rooms_beside(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        which: Which,
    ) -> Result<bool, Error> {
        let ticket = demand.ticket;
        let mut groups = core.queue_groups(ticket.group().index);
        let wanted = groups.any(|state| which.rooms(&state.holds).next().is_some());
        drop(groups);
        if !wanted && ticket.room().bytes == 0 {
            return Ok(true);
        }
        if core.config.budget.is_some() {
            let of_all = core
                .live_groups()
                .flat_map(|state| which.rooms(&state.holds));
            let all = of_all.chain([ticket.room()]).map(|room| room.bytes);
            let largest = all.max().unwrap_or(0);
            let total = total_beside(core, demand, which).saturating_add(ticket.bytes());
            if exceeds(total.saturating_add(largest), core.config.budget) {
                return Ok(false);
            }
        }
        let live = holds_beside(core, demand, which);
        let rooms = which.rooms(&core.group(ticket.group().index).holds);
        let rooms = rooms.chain([ticket.room()]);
        if !ticket.group().custom {
            return Ok(fit_all(
                core,
                rooms,
                live.sum.saturating_add(ticket.bytes()),
            ));
        }
        let largest = rooms.map(|room| room.bytes).max().unwrap_or(0);
        self.leaves_largest(core, ticket, live, largest)
    }

    /// Whether a hold could leave itself its own room if nothing else were held.
    pub(crate) fn leaves_own_room_alone(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<bool, Error> {
        let (ticket, room) = (demand.ticket, demand.ticket.room());
        let both = ticket.bytes().saturating_add(room.bytes);
        if room.bytes == 0 {
            return Ok(true);
        }
        if exceeds(both, core.config.budget) {
            return Ok(false);
        }
        if !ticket.group().custom {
            let formula = room.formula.resolve(core.budget);
            return Ok(fits_into(formula, core.admission_baseline(), both));
        }
        let each = std::mem::take(&mut core.group_mut(ticket.group().index).scratch);
        self.leaves_largest(core, ticket, Live::of(each), room.bytes)
    }
}

impl Inner {
    /// Whether a hold leaves these rooms beside these holds of its group.
    pub(crate) fn leaves_these(
        &self,
        core: &mut Locked<'_>,
        ticket: &Request,
        live: Live,
        rooms: &[Room],
    ) -> Result<bool, Error> {
        let with = live.sum.saturating_add(ticket.bytes());
        if !ticket.group().custom {
            return Ok(fit_all(core, rooms.iter().copied(), with));
        }
        let largest = rooms.iter().map(|room| room.bytes).max().unwrap_or(0);
        self.leaves_largest(core, ticket, live, largest)
    }

    /// Whether a hold under a custom policy leaves so much room beside these holds of its group.
    fn leaves_largest(
        &self,
        core: &mut Locked<'_>,
        ticket: &Request,
        live: Live,
        room: u64,
    ) -> Result<bool, Error> {
        let mut each = live.each;
        each.push(ticket.bytes());
        let mut live = Live::of(each);
        let with = live.sum;
        let kept_out = if room > 0 {
            self.would_keep_out(core, ticket, &mut live, with, room)
        } else {
            Ok(false)
        };
        core.group_mut(ticket.group().index).give_back(live.each);
        kept_out.map(|kept_out| !kept_out)
    }
}

impl Demand<'_> {
    /// The size of the hold that a demand is to change, if it counts among such holds.
    fn own_hold(&self, holds: &Holds, which: Which) -> Option<u64> {
        let own = self.from.and(self.hold).and_then(|key| holds.size_of(key));
        own.filter(|(_, stays)| *stays || which == Which::All)
            .map(|(bytes, _)| bytes)
    }
}

/// Whether each of these rooms of built-in policies is left beside so many bytes of its group.
fn fit_all(core: &Locked<'_>, mut rooms: impl Iterator<Item = Room>, with: u64) -> bool {
    let (budget, baseline) = (core.budget, core.admission_baseline());
    rooms.all(|room| {
        let formula = room.formula.resolve(budget);
        fits_into(formula, baseline, with.saturating_add(room.bytes))
    })
}

/// The holds of a demand's group, without the one that it is to change. Single sizes only for custom policies.
fn holds_beside(core: &mut Locked<'_>, demand: Demand<'_>, which: Which) -> Live {
    let group = demand.ticket.group();
    let mut each = std::mem::take(&mut core.group_mut(group.index).scratch);
    let holds = &core.group(group.index).holds;
    let own = demand.own_hold(holds, which);
    if !group.custom {
        return Live {
            count: 0,
            sum: which.bytes(holds).saturating_sub(own.unwrap_or(0)),
            each,
        };
    }
    each.extend(holds.sizes(which == Which::Staying));
    let place = own.and_then(|own| each.iter().position(|size| *size == own));
    if let Some(place) = place {
        each.swap_remove(place);
    }
    Live::of(each)
}

/// The bytes of the holds of all groups, without the one that a demand is to change.
fn total_beside(core: &Locked<'_>, demand: Demand<'_>, which: Which) -> u64 {
    let holds = &core.group(demand.ticket.group().index).holds;
    let own = demand.own_hold(holds, which).unwrap_or(0);
    let bytes = core.live_groups().map(|state| which.bytes(&state.holds));
    bytes.fold(0, u64::saturating_add).saturating_sub(own)
}

/// Whether a built-in policy lets its group hold `sum`.
fn fits_into(formula: Resolved, baseline: u64, sum: u64) -> bool {
    !formula.can_refuse() || sum < formula.admitted(baseline)
}

fn exceeds(sum: u64, budget: Option<u64>) -> bool {
    budget.is_some_and(|budget| sum > budget)
}

/// The error of a demand that does not fit beside what stays, if anything does.
fn no_room(inner: &Inner, core: &Locked<'_>, demand: Demand<'_>, bound: Bound) -> Option<Error> {
    let index = demand.ticket.group().index;
    let of_all = bound == Bound::Budget;
    let groups = core.live_groups();
    let groups = groups.filter(|state| of_all || state.shared.index == index);
    let at_most = match bound {
        Bound::AtMost(most) => Some(most),
        Bound::Policy | Bound::Budget => None,
    };
    let (mut held, mut stay) = (0, 0);
    let mut largest: Option<&Arc<StayingGuard>> = None;
    for state in groups {
        held += state.holds.staying();
        stay += state.holds.how_many_stay();
        let of_group = state.holds.largest_that_stays(at_most.is_some());
        let looked_at = largest.into_iter().chain(of_group);
        largest = looked_at.max_by_key(|told| told.bytes);
    }
    let capacity = if of_all {
        core.config.budget
    } else {
        inner.capacity(core, demand.ticket)
    };
    largest.map(|holder| Error::NoRoom {
        size: demand.ticket.bytes(),
        capacity,
        held,
        holder: Arc::clone(holder),
        others: stay.saturating_sub(1),
        at_most,
    })
}
