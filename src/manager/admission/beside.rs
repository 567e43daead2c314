//! What a demand fits beside: the pinned demands of its scope alone (R26), and the rooms that pinned demands were
//! promised (R26b).
//!
//! A demand that does not fit beside the pinned demands gains nothing by waiting for work. Beside those that are not
//! evictable it is refused, if it is active; in every other case it is set aside until pinned demands go.

use crate::Error;
use crate::arbiter::Resolved;
use crate::error::StayingGuard;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::demand::Demand;
use crate::manager::state::live::Live;
use crate::manager::state::pinned::PinnedDemands;
use crate::manager::state::request::Request;
use crate::manager::state::request::Room;
use crate::mode::WireMode;
use crate::sync::Arc;

/// What a demand that cannot be admitted now waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// It fits beside all pinned demands: it waits for work, in the queue.
    Work,
    /// It does not: it waits for pinned demands, set aside.
    Pinned,
}

/// Which cap a demand breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BrokenCap {
    Policy,
    Budget,
    /// How many may be active at once.
    AtMost(u32),
}

/// Which pinned demands count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Unevictable,
}

impl Which {
    fn bytes(self, pinned: &PinnedDemands) -> u64 {
        match self {
            Self::All => pinned.bytes(),
            Self::Unevictable => pinned.unevictable_bytes(),
        }
    }

    fn rooms(self, pinned: &PinnedDemands) -> impl Iterator<Item = Room> {
        let all = (self == Self::All).then(|| pinned.rooms());
        let unevictable = (self == Self::Unevictable).then(|| pinned.unevictable_rooms());
        all.into_iter()
            .flatten()
            .chain(unevictable.into_iter().flatten())
    }
}

impl Inner {
    /// What a demand waits for that cannot be admitted now. A custom policy is asked without the lock.
    ///
    /// # Errors
    ///
    /// [`Error::NoRoom`] for an active demand that does not fit beside what is not evictable, unless it waits for
    /// pinned demands; [`Error::PolicyPanicked`].
    pub(crate) fn waits_for(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<Beside, Error> {
        if self.breaks(core, demand, Which::All)?.is_none() {
            let leaves_rooms = !demand.request.is_pinned() || self.leaves_rooms(core, demand)?;
            return Ok(if leaves_rooms {
                Beside::Work
            } else {
                Beside::Pinned
            });
        }
        if demand.request.is_pinned() || demand.waits_for_pinned {
            return Ok(Beside::Pinned);
        }
        let Some(broken) = self.breaks(core, demand, Which::Unevictable)? else {
            return Ok(Beside::Pinned);
        };
        // None is left if the last has gone while a policy was asked, without the lock.
        no_room_error(self, core, demand, broken).map_or(Ok(Beside::Work), Err)
    }

    /// Whether a demand would fit if every evictable pinned demand went, and leave the others their rooms.
    pub(crate) fn fits_beside_unevictable(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<bool, Error> {
        let fits = self.breaks(core, demand, Which::Unevictable)?.is_none();
        Ok(fits
            && (!demand.request.is_pinned()
                || self.leaves_rooms_beside(core, demand, Which::Unevictable)?))
    }

    /// How many bytes of pinned demands must go so that a demand fits beside the rest, where its policy or the budget
    /// over all groups tells; else what it asks for.
    pub(crate) fn missing(&self, core: &Locked<'_>, demand: Demand<'_>) -> u64 {
        let request = demand.request;
        let pinned = &core.group(request.group().index).pinned;
        let own = demand.own_pinned(pinned, Which::All).unwrap_or(0);
        let wanted = request.bytes().saturating_add(request.room().bytes);
        let over = |held: u64, capacity: Option<u64>| {
            let with = held.saturating_sub(own).saturating_add(wanted);
            capacity.map(|capacity| with.saturating_sub(capacity))
        };
        let all = core.listed_groups().fold(0, |sum: u64, state| {
            sum.saturating_add(state.pinned.bytes())
        });
        let by_policy = over(pinned.bytes(), self.capacity(core, request));
        let by_budget = over(all, core.config.budget);
        let missing = by_policy.into_iter().chain(by_budget).max();
        missing.filter(|bytes| *bytes > 0).unwrap_or(wanted)
    }

    /// Which cap a demand breaks beside such pinned demands and nothing else.
    fn breaks(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        which: Which,
    ) -> Result<Option<BrokenCap>, Error> {
        let request = demand.request;
        if core
            .scope_groups(request.group().index)
            .all(|state| state.pinned.is_empty())
        {
            return Ok(None);
        }
        let most = request.most().filter(|_| demand.from.is_none());
        let leaked = core.group(request.group().index).pinned.leaked_active();
        if let Some(most) =
            most.filter(|most| leaked >= u64::from(*most) && core.mode != WireMode::Uncoordinated)
        {
            return Ok(Some(BrokenCap::AtMost(most)));
        }
        let total = total_beside(core, demand, which);
        if exceeds(total.saturating_add(request.bytes()), core.config.budget) {
            return Ok(Some(BrokenCap::Budget));
        }
        let mut live = pinned_beside(core, demand, which);
        let of_group = live.sum;
        let kept_out = self.are_in_the_way(core, request, &mut live, of_group);
        core.group_mut(request.group().index)
            .keep_scratch(live.each);
        Ok(kept_out?.then_some(BrokenCap::Policy))
    }

    /// Whether a pinned demand, new or grown, leaves each live pinned demand the room that it was promised, and itself
    /// its own.
    pub(crate) fn leaves_rooms(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<bool, Error> {
        self.leaves_rooms_beside(core, demand, Which::All)
    }

    /// The same beside such pinned demands alone.
    fn leaves_rooms_beside(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        which: Which,
    ) -> Result<bool, Error> {
        let request = demand.request;
        let mut groups = core.scope_groups(request.group().index);
        let wanted = groups.any(|state| which.rooms(&state.pinned).next().is_some());
        drop(groups);
        if !wanted && request.room().bytes == 0 {
            return Ok(true);
        }
        if core.config.budget.is_some() {
            let of_all = core
                .listed_groups()
                .flat_map(|state| which.rooms(&state.pinned));
            let all = of_all.chain([request.room()]).map(|room| room.bytes);
            let largest = all.max().unwrap_or(0);
            let total = total_beside(core, demand, which).saturating_add(request.bytes());
            if exceeds(total.saturating_add(largest), core.config.budget) {
                return Ok(false);
            }
        }
        let live = pinned_beside(core, demand, which);
        let rooms = which.rooms(&core.group(request.group().index).pinned);
        let rooms = rooms.chain([request.room()]);
        if !request.group().custom {
            return Ok(fit_all(
                core,
                rooms,
                live.sum.saturating_add(request.bytes()),
            ));
        }
        let largest = rooms.map(|room| room.bytes).max().unwrap_or(0);
        self.leaves_largest(core, request, live, largest)
    }

    /// Whether a pinned demand could leave itself its own room if nothing else were held.
    pub(crate) fn leaves_own_room_alone(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
    ) -> Result<bool, Error> {
        let (request, room) = (demand.request, demand.request.room());
        let both = request.bytes().saturating_add(room.bytes);
        if room.bytes == 0 {
            return Ok(true);
        }
        if exceeds(both, core.config.budget) {
            return Ok(false);
        }
        if !request.group().custom {
            let formula = room.formula.resolve(core.device_budget);
            return Ok(fits_into(formula, core.admission_baseline(), both));
        }
        let each = std::mem::take(&mut core.group_mut(request.group().index).scratch);
        self.leaves_largest(core, request, Live::of(each), room.bytes)
    }
}

impl Inner {
    /// Whether a pinned demand leaves these rooms beside these pinned demands of its group.
    pub(crate) fn leaves_given_rooms(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
        live: Live,
        rooms: &[Room],
    ) -> Result<bool, Error> {
        let with = live.sum.saturating_add(request.bytes());
        if !request.group().custom {
            return Ok(fit_all(core, rooms.iter().copied(), with));
        }
        let largest = rooms.iter().map(|room| room.bytes).max().unwrap_or(0);
        self.leaves_largest(core, request, live, largest)
    }

    /// Whether a pinned demand under a custom policy leaves so much room beside these pinned demands of its group.
    fn leaves_largest(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
        live: Live,
        room: u64,
    ) -> Result<bool, Error> {
        let mut each = live.each;
        each.push(request.bytes());
        let mut live = Live::of(each);
        let with = live.sum;
        let kept_out = if room > 0 {
            self.would_keep_out(core, request, &mut live, with, room)
        } else {
            Ok(false)
        };
        core.group_mut(request.group().index)
            .keep_scratch(live.each);
        kept_out.map(|kept_out| !kept_out)
    }
}

impl Demand<'_> {
    /// The size of the pinned demand that a demand is to change, if it counts among such pinned demands.
    fn own_pinned(&self, pinned: &PinnedDemands, which: Which) -> Option<u64> {
        let own = self.from.and(self.pin).and_then(|key| pinned.size_of(key));
        own.filter(|(_, unevictable)| *unevictable || which == Which::All)
            .map(|(bytes, _)| bytes)
    }
}

/// Whether each of these rooms of built-in policies is left beside so many bytes of its group.
fn fit_all(core: &Locked<'_>, mut rooms: impl Iterator<Item = Room>, with: u64) -> bool {
    let (budget, baseline) = (core.device_budget, core.admission_baseline());
    rooms.all(|room| {
        let formula = room.formula.resolve(budget);
        fits_into(formula, baseline, with.saturating_add(room.bytes))
    })
}

/// The pinned demands of a demand's group, without the one that it is to change. Single sizes only for custom policies.
fn pinned_beside(core: &mut Locked<'_>, demand: Demand<'_>, which: Which) -> Live {
    let group = demand.request.group();
    let mut each = std::mem::take(&mut core.group_mut(group.index).scratch);
    let pinned = &core.group(group.index).pinned;
    let own = demand.own_pinned(pinned, which);
    if !group.custom {
        return Live {
            count: 0,
            sum: which.bytes(pinned).saturating_sub(own.unwrap_or(0)),
            each,
        };
    }
    each.extend(pinned.sizes(which == Which::Unevictable));
    let index = own.and_then(|own| each.iter().position(|size| *size == own));
    if let Some(index) = index {
        each.swap_remove(index);
    }
    Live::of(each)
}

/// The bytes of the pinned demands of all groups, without the one that a demand is to change.
fn total_beside(core: &Locked<'_>, demand: Demand<'_>, which: Which) -> u64 {
    let pinned = &core.group(demand.request.group().index).pinned;
    let own = demand.own_pinned(pinned, which).unwrap_or(0);
    let bytes = core.listed_groups().map(|state| which.bytes(&state.pinned));
    bytes.fold(0, u64::saturating_add).saturating_sub(own)
}

/// Whether a built-in policy lets its group hold `sum`.
fn fits_into(formula: Resolved, baseline: u64, sum: u64) -> bool {
    !formula.can_refuse() || sum < formula.admitted(baseline)
}

fn exceeds(sum: u64, budget: Option<u64>) -> bool {
    budget.is_some_and(|budget| sum > budget)
}

/// The error of a demand that does not fit beside what is not evictable, if anything is.
fn no_room_error(
    inner: &Inner,
    core: &Locked<'_>,
    demand: Demand<'_>,
    broken: BrokenCap,
) -> Option<Error> {
    let index = demand.request.group().index;
    let of_all = broken == BrokenCap::Budget;
    let groups = core.listed_groups();
    let groups = groups.filter(|state| of_all || state.shared.index == index);
    let at_most = match broken {
        BrokenCap::AtMost(most) => Some(most),
        BrokenCap::Policy | BrokenCap::Budget => None,
    };
    let (mut held, mut count) = (0, 0);
    let mut largest: Option<&Arc<StayingGuard>> = None;
    for state in groups {
        held += state.pinned.unevictable_bytes();
        count += state.pinned.unevictable_count();
        let of_group = state.pinned.largest_unevictable(at_most.is_some());
        let looked_at = largest.into_iter().chain(of_group);
        largest = looked_at.max_by_key(|told| told.bytes);
    }
    let capacity = if of_all {
        core.config.budget
    } else {
        inner.capacity(core, demand.request)
    };
    largest.map(|holder| Error::NoRoom {
        size: demand.request.bytes(),
        capacity,
        held,
        holder: Arc::clone(holder),
        others: count.saturating_sub(1),
        at_most,
    })
}
