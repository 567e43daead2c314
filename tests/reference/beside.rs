//! R26, R26a and R26b in the model: what a demand fits beside, and who is set aside.

use crate::model::Model;
use crate::policies::{Judging, Rule, World};
use crate::words::{Live, Mode, Refusal, Request, Waiter};
use mlx_wired::Kind;

/// What keeps a demand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Policy,
    Budget,
    AtMost,
}

/// Guards that are supposed to be all that lives.
type Held<'a> = Vec<&'a Live>;

fn bytes_of(held: &Held<'_>) -> u64 {
    held.iter().map(|live| live.bytes).sum()
}

fn of_group<'a>(held: &Held<'a>, group: &str) -> Held<'a> {
    let held = held.iter().filter(|live| live.group == group);
    held.copied().collect()
}

impl Model {
    /// The holds that are so, but for the guard that the demand is about.
    fn holds(&self, request: &Request, which: impl Fn(&Live) -> bool) -> Held<'_> {
        let others = self
            .live
            .iter()
            .filter(|(guard, _)| **guard != request.guard);
        let holds = others.map(|(_, live)| live).filter(|live| live.is_hold());
        holds.filter(|live| which(live)).collect()
    }

    /// Asks about `new` bytes beside these guards of the group, without pressure. That a policy of the user's own says no
    /// counts only where it says yes to an empty group.
    fn says_yes(&self, rule: Rule, sizes: &[u64], total_live: u64, new: u64) -> bool {
        let quiet = Judging {
            baseline: self.admission_baseline(),
            device: self.settings.device(),
            total_live,
            world: World {
                pressure: 0.0,
                ..self.world
            },
        };
        let alone = Judging {
            total_live: 0,
            ..quiet
        };
        rule.admits(&quiet, sizes, new) || (rule.is_custom() && !rule.admits(&alone, &[], new))
    }

    /// What keeps a demand out beside these guards, of which a policy of the user's own is told that `total_live` bytes
    /// live.
    fn keeps_out(&self, request: &Request, held: &Held<'_>, total_live: u64) -> Option<Bound> {
        let (live, new) = (&request.live, request.live.bytes);
        let own_group = of_group(held, live.group);
        let active = own_group.iter().filter(|it| it.kind == Kind::Active);
        if !request.grows && live.is_one_too_many(active.count()) {
            return Some(Bound::AtMost);
        }
        let budget = self.settings.budget;
        if budget.is_some_and(|budget| bytes_of(held).saturating_add(new) > budget) {
            return Some(Bound::Budget);
        }
        let sizes: Vec<u64> = own_group.iter().map(|live| live.bytes).collect();
        let admitted = self.says_yes(live.rule, &sizes, total_live, new);
        (!admitted).then_some(Bound::Policy)
    }

    /// R29: whether a demand could be admitted if these were all that lives.
    pub(crate) fn could_join(&self, request: &Request, held: &Held<'_>) -> bool {
        self.settings.mode == Mode::Off || self.keeps_out(request, held, bytes_of(held)).is_none()
    }

    /// R26b: whether a hold leaves each of these its room, and itself its own. Other demands leave all that there is.
    pub(crate) fn leaves_rooms_of(&self, request: &Request, holds: &Held<'_>) -> bool {
        let new = &request.live;
        if !new.is_hold() {
            return true;
        }
        let largest = |held: &Held<'_>| {
            let rooms = held.iter().map(|live| live.room);
            rooms.chain([new.room]).max().expect("its own")
        };
        let with = bytes_of(holds).saturating_add(new.bytes);
        let budget = self.settings.budget;
        if budget.is_some_and(|budget| with.saturating_add(largest(holds)) > budget) {
            return false;
        }
        let mut own_group = of_group(holds, new.group);
        let room = largest(&own_group);
        own_group.push(new);
        let sizes: Vec<u64> = own_group.iter().map(|live| live.bytes).collect();
        let total = sizes
            .iter()
            .fold(0, |sum: u64, size| sum.saturating_add(*size));
        if new.rule.is_custom() {
            return room == 0 || self.says_yes(new.rule, &sizes, total, room);
        }
        let wanting = own_group.iter().filter(|live| live.room > 0);
        let mut fits = wanting.map(|live| self.says_yes(live.rule, &sizes, total, live.room));
        fits.all(|fits| fits)
    }

    /// [`leaves_rooms_of`](Self::leaves_rooms_of) for the holds that live.
    pub(crate) fn leaves_rooms(&self, request: &Request) -> bool {
        self.leaves_rooms_of(request, &self.holds(request, |_| true))
    }

    /// R26: whether a demand that cannot be admitted now waits for holds rather than for work, unless it is refused.
    pub(crate) fn waits_for_holds(&self, request: &Request) -> Result<bool, Refusal> {
        let new = &request.live;
        let group_of = |held: &Held<'_>| bytes_of(&of_group(held, new.group));
        let all = self.holds(request, |_| true);
        if self.keeps_out(request, &all, group_of(&all)).is_none() {
            return Ok(!self.leaves_rooms_of(request, &all));
        }
        let staying = self.holds(request, Live::stays);
        let bound = self.keeps_out(request, &staying, group_of(&staying));
        let Some(bound) = bound.filter(|_| !new.is_hold() && !request.for_holds) else {
            return Ok(true);
        };
        let baseline = self.admission_baseline();
        let (held, capacity) = match bound {
            Bound::Policy | Bound::AtMost => (
                of_group(&staying, new.group),
                new.rule.capacity(baseline, self.settings.device()),
            ),
            Bound::Budget => (staying, self.settings.budget),
        };
        Err(Refusal::NoRoom {
            size: new.bytes,
            capacity,
            held: bytes_of(&held),
            largest: {
                let meant = held
                    .iter()
                    .filter(|live| bound != Bound::AtMost || live.kind == Kind::Active);
                meant.map(|live| live.bytes).max().unwrap_or(0)
            },
            others: held.len().saturating_sub(1),
        })
    }

    /// R26a: whether a demand for a hold would come after one that is set aside.
    pub(crate) fn is_behind_one_aside(&self, group: &str) -> bool {
        let mut aside = self.aside.iter();
        aside.any(|waiter| self.same_line(waiter.request.live.group, group))
    }

    /// The holds of a group have changed: who waits there is to be judged again.
    pub(crate) fn note_hold(&mut self, live: &Live) {
        if live.is_hold() {
            self.unjudged.insert(live.group);
        }
    }

    /// R26a: judges who waits in a group's line, and who is set aside there, in the order of arrival, if what they fit beside
    /// has changed.
    pub(crate) fn judge_again(&mut self, group: &str) {
        let of_line: Vec<&'static str> = self.unjudged.iter().copied().collect();
        let of_line = of_line
            .into_iter()
            .filter(|other| self.same_line(other, group));
        let of_line: Vec<_> = of_line.collect();
        if of_line.is_empty() {
            return;
        }
        for group in of_line {
            self.unjudged.remove(group);
        }
        let mut arrivals: Vec<u64> = self
            .waiters()
            .filter(|waiter| self.same_line(waiter.request.live.group, group))
            .map(|waiter| waiter.arrival)
            .collect();
        arrivals.sort_unstable();
        let mut held_back = false;
        for arrival in arrivals {
            held_back |= self.judge_one_again(arrival, held_back);
        }
    }

    pub(crate) fn is_unjudged(&self, group: &str) -> bool {
        let mut unjudged = self.unjudged.iter();
        unjudged.any(|other| self.same_line(other, group))
    }

    /// Judges one again. `held_back`: an earlier one is set aside. Tells whether this one is.
    pub(crate) fn judge_one_again(&mut self, arrival: u64, held_back: bool) -> bool {
        let waiter = self.waiters().find(|waiter| waiter.arrival == arrival);
        let waiter = waiter.expect("nobody leaves meanwhile").clone();
        let waits = match self.never(&waiter.request) {
            Some(never) => Err(never),
            None => self.waits_for_holds(&waiter.request),
        };
        let for_holds = match waits {
            Ok(for_holds) => for_holds,
            Err(refusal) => {
                self.take_waiter(arrival);
                self.finish(waiter.request.actor, Err(refusal));
                return false;
            }
        };
        let place = self.line.iter().position(|it| it.arrival == arrival);
        let may_stay = waiter.aside && waiter.is_new_hold() && !for_holds;
        let delayed = may_stay && !held_back && self.is_delayed(&waiter.request, Some(&waiter));
        let mut judged = self.take_waiter(arrival);
        judged.aside = for_holds || (may_stay && held_back) || delayed;
        judged.delayed = delayed || (may_stay && held_back && waiter.delayed);
        if delayed {
            self.delay(&mut judged);
        }
        let is_aside = judged.aside;
        match place.filter(|_| !is_aside) {
            // It keeps its place.
            Some(place) => self.line.insert(place, judged),
            None => self.line_up(judged),
        }
        if waiter.aside && !is_aside {
            self.returned.push(arrival);
        }
        is_aside
    }

    /// Takes a waiter out, wherever it waits.
    fn take_waiter(&mut self, arrival: u64) -> Waiter {
        let is_it = |waiter: &Waiter| waiter.arrival == arrival;
        if let Some(place) = self.line.iter().position(is_it) {
            return self.line.remove(place);
        }
        let place = self.aside.iter().position(is_it).expect("it waits");
        self.aside.remove(place)
    }

    /// The same for one whose wait is over: a demand for a hold may have been set aside behind it.
    pub(crate) fn end_wait(&mut self, arrival: u64) -> Waiter {
        let waiter = self.take_waiter(arrival);
        if waiter.aside {
            self.unjudged.insert(waiter.request.live.group);
        }
        waiter
    }
}
