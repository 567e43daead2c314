//! R19 in the model: would this wait ever end?

use crate::model::Model;
use crate::words::{Live, Patience, Refusal, Waiter};

impl Model {
    /// Whether a new wait would close a circle. A wait that may give up closes one too.
    pub(crate) fn closes_a_circle(&self, newcomer: &Waiter) -> bool {
        let own = newcomer.request.actor;
        let waiter = Waiter {
            patience: Patience::Endless,
            ..newcomer.clone()
        };
        let mut with = self.clone();
        with.line_up(waiter.clone());
        with.holds_something(&waiter) && with.stuck(None).contains(&own)
    }

    /// Ends waits, the first in line first, until no circle is left: one may also close while everybody waits.
    pub(crate) fn break_circles(&mut self) {
        loop {
            let stuck = self.stuck(None);
            let mut holding: Vec<usize> = (0..self.line.len()).collect();
            holding.retain(|place| {
                let waiter = &self.line[*place];
                stuck.contains(&waiter.request.actor) && self.holds_something(waiter)
            });
            let waits_for_itself = |place: &&usize| {
                let own = self.line[**place].request.actor;
                !self.stuck(Some(own)).contains(&own)
            };
            // Where more than one must release before anybody goes on: who holds the most.
            let most = || {
                holding
                    .iter()
                    .max_by_key(|place| self.held_by(&self.line[**place]))
            };
            let Some(place) = holding.iter().find(waits_for_itself).or_else(most).copied() else {
                return;
            };
            let request = self.line.remove(place).request;
            let requested = request.live.bytes;
            self.finish(request.actor, Err(Refusal::WouldDeadlock { requested }));
            self.examine(request.live.group);
        }
    }

    fn holds_something(&self, waiter: &Waiter) -> bool {
        let holds = |live: &Live| !live.owned && live.actor == waiter.request.actor;
        waiter.request.grows || self.live.values().any(holds)
    }

    /// Owned guards are held by no thread, except by one that waits to grow them.
    fn held_by(&self, waiter: &Waiter) -> u64 {
        let request = &waiter.request;
        let held = self.live.iter().filter(|(guard, live)| {
            let grown = request.grows && **guard == request.guard;
            grown || (!live.owned && live.actor == request.actor)
        });
        held.map(|(_, live)| live.bytes)
            .fold(0, u64::saturating_add)
    }

    /// Who would wait for ever: even without pressure, and if all is released that no waiting thread holds, and
    /// whoever is admitted or gives up releases all that it holds. What `released` holds counts as released, too.
    fn stuck(&self, released: Option<usize>) -> Vec<usize> {
        let mut best = self.clone();
        best.supposing = true;
        best.world.pressure = 0.0;
        best.line
            .retain(|waiter| waiter.patience == Patience::Endless);
        loop {
            let line = best.line.clone();
            let is_held = |guard: &u64, live: &Live| {
                let mut holders = line
                    .iter()
                    .filter(|waiter| Some(waiter.request.actor) != released);
                holders.any(|waiter| {
                    let resizes = waiter.request.guard == *guard;
                    resizes || (!live.owned && waiter.request.actor == live.actor)
                })
            };
            best.live.retain(|guard, live| is_held(guard, live));
            best.examine_all();
            if best.line.len() == line.len() {
                return line.iter().map(|waiter| waiter.request.actor).collect();
            }
            // Who passes whom depends on what is released first, so nobody's turn to be passed is used up.
            for waiter in &mut best.line {
                let same = |other: &&Waiter| other.request.actor == waiter.request.actor;
                waiter.overtaken = line.iter().find(same).map_or(0, |other| other.overtaken);
            }
        }
    }
}
