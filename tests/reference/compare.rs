//! What the library did against what the model says.

use crate::actors::Reply;
use crate::kit::is_asleep;
use crate::play::Play;
use crate::snapshot;
use crate::words::{Counts, Live, Refusal, Told};
use mlx_wired::Released;
use mlx_wired::ffi::Outcome;
use std::thread::yield_now;
use std::time::Instant;

impl Play<'_> {
    /// Takes the replies that the model foresees. `asked` is who was told to acquire or resize just now.
    pub(crate) fn await_replies(&mut self, asked: Option<usize>) {
        let done = std::mem::take(&mut self.model.done);
        let granted = done.iter().filter(|(_, result)| result.is_ok()).count();
        for (actor, expected) in &done {
            let Reply::Guard(result) = self.actors[*actor].reply() else {
                panic!("another reply");
            };
            let mut result = result.map_err(Refusal::from);
            let resized = self.resizes[*actor];
            let outside = self.model.epoch.is_none();
            let unsure = granted > 1 || outside;
            let begun_or_ended = outside || self.epochs < self.model.epochs;
            if let (Ok(told), Ok(expected)) = (&mut result, expected)
                && begun_or_ended
                && (told.epoch == 0 || told.epoch == self.model.epochs)
            {
                // A reservation may be told of the epoch before or after.
                told.epoch = expected.epoch;
            }
            compare_result(*actor, &result, expected, unsure, resized);
        }
        let Some(actor) = asked else { return };
        if done.iter().any(|(other, _)| *other == actor) {
            return;
        }
        let thread = self.actors[actor].thread();
        let give_up = Instant::now() + self.patience;
        while !is_asleep(thread) {
            if let Some(reply) = self.actors[actor].reply_so_far() {
                panic!("actor {actor} must wait, and got {reply:?}");
            }
            assert!(Instant::now() < give_up, "actor {actor} never came to wait");
            yield_now();
        }
    }

    /// Everything that can be seen must be as the model says.
    pub(crate) fn compare(&mut self) {
        let (model, manager) = (&self.model, &self.manager);
        let calls: Vec<(u64, bool)> = self
            .backend
            .calls()
            .iter()
            .map(|call| (call.requested, call.outcome == Outcome::Applied))
            .collect();
        assert_eq!(calls, model.setter.calls, "calls of the setter");
        assert_eq!(self.backend.current_limit(), model.setter.limit);
        assert_eq!(manager.applied(), model.in_force(), "applied");

        let stats = manager.stats();
        let seen = Counts {
            clamped: stats.clamped,
            foreign_changes: stats.foreign_changes,
            waits: stats.waits,
            timeouts: stats.timeouts,
            cancellations: stats.cancellations,
            longest_wait: stats.longest_wait,
            total_wait: stats.total_wait,
            // Only snapshots tell.
            granted_waits: model.counts.granted_waits,
        };
        assert_eq!(seen, model.counts, "statistics");
        assert_eq!(stats.setter_calls as usize, calls.len());
        assert_eq!(stats.setter_failures as usize, model.setter.failures());

        let waiting: Vec<_> = manager
            .waiting()
            .iter()
            .map(|w| (w.thread, w.bytes, w.since - self.start))
            .collect();
        let mut line: Vec<_> = model.waiters().collect();
        line.sort_by_key(|waiter| (!waiter.request.grows, waiter.arrival));
        let line: Vec<_> = line
            .iter()
            .map(|w| {
                (
                    self.actors[w.request.actor].thread(),
                    w.request.live.bytes,
                    w.since,
                )
            })
            .collect();
        assert_eq!(waiting, line, "who waits, in order");

        let mut holders: Vec<_> = manager
            .holders()
            .iter()
            .map(|h| {
                (
                    h.bytes,
                    h.kind.is_driving(),
                    h.bound,
                    format!("{:?}", h.thread),
                )
            })
            .collect();
        let held = |(guard, live): (&u64, &Live)| {
            let mut line = model.waiters().map(|waiter| &waiter.request);
            // While it is resized, it is held by whoever waits for that.
            let resizer = line.find(|request| request.guard == *guard);
            let actor = resizer.map_or(live.actor, |request| request.actor);
            let bound = !live.owned || resizer.is_some();
            let thread = self.actors[actor].thread();
            (
                live.bytes,
                live.kind.is_driving(),
                bound,
                format!("{thread:?}"),
            )
        };
        let mut live: Vec<_> = model.live.iter().map(held).collect();
        holders.sort();
        live.sort();
        assert_eq!(holders, live, "who holds");
        snapshot::compare(manager, model);
        if let Some(events) = &mut self.events {
            events.compare(&self.model);
        }
        self.epochs = self.model.epochs;
    }

    pub(crate) fn compare_released(&self, released: &Released, before: u64, calls: usize) {
        let limit = self.model.in_force();
        assert_eq!((released.limit, released.lowered), (limit, limit < before));
        let mut failed = self.model.setter.calls[calls..].iter();
        let failed = failed.rfind(|(_, applied)| !applied);
        let told = released.error.clone().map(Refusal::from);
        let expected = failed.map(|(limit, _)| Refusal::SetLimit { limit: *limit });
        assert_eq!(told, expected, "what went wrong with the release");
    }
}

/// `unsure`: what the largest of a group, or a custom policy, called for at each one's admission is not known any more
/// if several were admitted at once, and a custom policy is not asked while nobody drives.
fn compare_result(
    actor: usize,
    result: &Result<Told, Refusal>,
    expected: &Result<Told, Refusal>,
    unsure: bool,
    resized: bool,
) {
    let (Ok(told), Ok(expected)) = (result, expected) else {
        assert_eq!(result, expected, "what actor {actor} got");
        return;
    };
    let mut told = told.clone();
    if unsure {
        told.wanted = expected.wanted;
        told.wired = expected.wired;
    }
    if resized {
        // These are of the first admission.
        told.waited = expected.waited;
        told.epoch = expected.epoch;
    }
    assert_eq!(&told, expected, "what actor {actor} got");
}
