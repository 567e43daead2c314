//! R19 and R29 in the model: would this wait ever end?

use crate::model::Model;
use crate::words::{Live, Refusal, Waiter};
use std::collections::BTreeSet;

/// What is supposed in a search for circles.
#[derive(Debug, Clone, Copy, Default)]
struct Supposing {
    /// Nobody gives up, those with a deadline or a token included.
    nobody_gives_up: bool,
    /// What this actor holds counts as released.
    released: Option<usize>,
}

impl Model {
    /// Whether a new wait would close a circle.
    pub(crate) fn closes_a_circle(&mut self, newcomer: &Waiter) -> bool {
        if !self.holds_something(newcomer) {
            return false;
        }
        let mut with = self.clone();
        with.line_up(newcomer.clone());
        let closes = with.is_in_a_circle(newcomer);
        (self.told, self.circles_told) = (with.told, with.circles_told);
        closes
    }

    /// Whether a waiter is in a circle that nobody in it can leave. If somebody can, that is told of.
    fn is_in_a_circle(&mut self, waiter: &Waiter) -> bool {
        let own = waiter.request.actor;
        if self.stuck(Supposing::default()).contains(&own) {
            return true;
        }
        self.tell_of_a_circle(Some(own));
        false
    }

    /// What has happened since this was asked last may have closed circles: of those that have come back into line, the last
    /// first, as if they had come one after another; and among all.
    pub(crate) fn look_for_circles(&mut self) {
        while let Some(arrival) = self.returned.pop() {
            let waiter = self.line.iter().find(|waiter| waiter.arrival == arrival);
            if let Some(waiter) = waiter.cloned()
                && self.holds_something(&waiter)
                && self.is_in_a_circle(&waiter)
            {
                self.fail(arrival);
            }
        }
        if std::mem::take(&mut self.suspicious) {
            self.break_circles();
        }
    }

    /// Ends waits until no circle is left: one may also close while everybody waits.
    pub(crate) fn break_circles(&mut self) {
        loop {
            let stuck = self.stuck(Supposing::default());
            let mut holding: Vec<&Waiter> = self.waiters().collect();
            holding.retain(|waiter| {
                stuck.contains(&waiter.request.actor) && self.holds_something(waiter)
            });
            holding.sort_by_key(|waiter| (!waiter.request.grows, waiter.arrival));
            let frees_the_rest = |waiter: &&&Waiter| {
                let own = waiter.request.actor;
                let without = Supposing {
                    released: Some(own),
                    ..Supposing::default()
                };
                self.stuck(without).iter().all(|actor| *actor == own)
            };
            // Where more than one must release before anybody goes on: who holds the most.
            let most = || holding.iter().max_by_key(|waiter| self.held_by(waiter));
            let failed = holding.iter().find(frees_the_rest).or_else(most);
            let Some(arrival) = failed.map(|waiter| waiter.arrival) else {
                return self.tell_of_a_circle(None);
            };
            self.fail(arrival);
        }
    }

    fn fail(&mut self, arrival: u64) {
        let request = self.end_wait(arrival).request;
        let requested = request.live.bytes;
        self.finish(request.actor, Err(Refusal::WouldDeadlock { requested }));
        self.examine(request.live.group);
    }

    /// Tells of a circle that somebody can leave, if this actor is in it, once.
    fn tell_of_a_circle(&mut self, with: Option<usize>) {
        let stuck = self.stuck(Supposing {
            nobody_gives_up: true,
            ..Supposing::default()
        });
        let in_it = || {
            self.waiters()
                .filter(|waiter| stuck.contains(&waiter.request.actor))
        };
        let is_circle = in_it().any(|waiter| self.holds_something(waiter));
        if !is_circle || with.is_some_and(|actor| !stuck.contains(&actor)) {
            return;
        }
        let arrivals: BTreeSet<u64> = in_it().map(|waiter| waiter.arrival).collect();
        if !arrivals.is_subset(&self.told) {
            self.circles_told += 1;
            self.told.extend(arrivals);
        }
    }

    /// Whether only this actor can release it. What is leaked nobody can.
    fn is_bound(live: &Live, actor: usize) -> bool {
        !live.owned && !live.leaked && live.actor == actor
    }

    fn holds_something(&self, waiter: &Waiter) -> bool {
        let actor = waiter.request.actor;
        let mut live = self.live.values();
        waiter.request.grows || live.any(|live| Self::is_bound(live, actor))
    }

    /// Owned guards are held by no thread, except by one that waits to grow them.
    fn held_by(&self, waiter: &Waiter) -> u64 {
        let request = &waiter.request;
        let held = self.live.iter().filter(|(guard, live)| {
            let grown = request.grows && **guard == request.guard;
            grown || Self::is_bound(live, request.actor)
        });
        held.map(|(_, live)| live.bytes)
            .fold(0, u64::saturating_add)
    }

    /// Who would wait for ever, even without pressure: whoever could be admitted, and whoever may give up, releases all that
    /// it holds.
    fn stuck(&self, supposing: Supposing) -> BTreeSet<usize> {
        let mut left: Vec<&Waiter> = self.waiters().collect();
        let stuck = left.iter();
        let stuck = stuck.filter(|waiter| supposing.nobody_gives_up || !waiter.may_give_up());
        let mut stuck: BTreeSet<usize> = stuck.map(|waiter| waiter.request.actor).collect();
        loop {
            let is_free = |waiter: &&Waiter| {
                !stuck.contains(&waiter.request.actor)
                    || (self.may_be_next(waiter, &left)
                        && self.could_be_let_in(waiter, &left, &stuck, supposing.released))
            };
            let Some(place) = left.iter().position(is_free) else {
                return stuck;
            };
            stuck.remove(&left.remove(place).request.actor);
        }
    }

    /// Whether the order lets it be admitted before those of its line that are left.
    fn may_be_next(&self, waiter: &Waiter, left: &[&Waiter]) -> bool {
        let own_line = |other: &&&Waiter| {
            other.aside == waiter.aside
                && self.same_line(other.request.live.group, waiter.request.live.group)
        };
        let mut before = left
            .iter()
            .take_while(|other| other.arrival != waiter.arrival)
            .filter(own_line);
        let overtakes_none = waiter.request.live.is_hold();
        if waiter.aside {
            return !waiter.is_new_hold() || before.next().is_none();
        }
        before.all(|other| !overtakes_none && other.overtaken < self.settings.overtaking)
    }

    /// Whether a waiter could be admitted beside what these actors hold and will not release; one in line beside all holds,
    /// too, and one set aside beside what is leaked.
    fn could_be_let_in(
        &self,
        waiter: &Waiter,
        left: &[&Waiter],
        stuck: &BTreeSet<usize>,
        released: Option<usize>,
    ) -> bool {
        let request = &waiter.request;
        let by_stuck = |guard: u64, live: &Live| {
            let actors = stuck.iter().filter(|actor| Some(**actor) != released);
            let mut actors = actors.copied();
            actors.any(|actor| {
                let grows_it = |other: &&Waiter| {
                    let other = &other.request;
                    other.grows && other.guard == guard && other.actor == actor
                };
                Self::is_bound(live, actor) || left.iter().any(grows_it)
            })
        };
        let held = self.live.iter().filter(|(guard, live)| {
            let for_ever = live.leaked || (!waiter.aside && live.is_hold());
            **guard != request.guard && (for_ever || by_stuck(**guard, live))
        });
        let held: Vec<&Live> = held.map(|(_, live)| live).collect();
        let holds: Vec<&Live> = held.iter().copied().filter(|it| it.is_hold()).collect();
        self.could_join(request, &held) && self.leaves_rooms_of(request, &holds)
    }
}
