//! The queue: who waits, who is next, and how a wait ends.
//!
//! Each group has a queue in the order of arrival. A demand that cannot be admitted enters it under the
//! manager's lock, after the group's `WAITERS` flag was set, so that no fast acquire passes it and every
//! release looks. Whoever frees something *pumps*: it asks for the first in line, adds the demand on its
//! behalf, takes it out and wakes it: nobody races for what was freed. With a budget over all groups the queues are
//! one line, in the order of arrival.
//!
//! A growing guard comes before everybody else, since they may be waiting for what it holds.
//!
//! A waiter sleeps until it has an outcome, its deadline has come or its token is cancelled; and it wakes by itself now and
//! then to look whether its line stands still ([`stalls`](super::stalls)).

use super::Inner;
use super::admission::Patience;
use super::cover::holder_falls;
use super::group::GroupState;
use super::judge::{Demand, Verdict};
use super::locked::Locked;
use super::queue::{Granted, Waiter};
use super::stalls::next_look;
use super::word::Word;
use crate::Error;
use crate::clock::Sleeper;
use crate::error::Obstacle;
use crate::event::EventKind;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, current_thread, unmodelled};
use crate::trace::WaitSpan;
use std::panic::Location;
use std::time::Instant;

/// A place in the queue, and the means to sleep in it.
pub(super) struct Place {
    pub(super) waiter: Arc<Waiter>,
    pub(super) key: u64,
    sleeper: Sleeper,
    /// When it is to look at its line.
    look_at: Option<Instant>,
}

/// Set in the keys of new guards, so that growing ones come first.
const NEW: u64 = 1 << 63;

/// A number for a wait; later ones are larger. Process-wide, since one token may cancel waits in several managers.
pub(super) fn next_key() -> u64 {
    static NEXT: unmodelled::AtomicU64 = unmodelled::AtomicU64::new(0);
    // Taken under the manager's lock, which orders the waits of one manager.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The number of the wait whose key in the queue this is.
pub(super) fn arrival(key: u64) -> u64 {
    key & !NEW
}

/// Whether a key in the queue is that of a new guard, not of one that grows.
pub(super) fn is_of_new(key: u64) -> bool {
    key & NEW != 0
}

/// The earlier of two times, either of which may never come.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

impl Inner {
    /// Puts a demand that must wait into the queue, or says why it may not.
    pub(super) fn enqueue(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        patience: &Patience,
        place: &'static Location<'static>,
    ) -> Result<Place, Error> {
        let ticket = demand.ticket;
        let mut settings = core.settings;
        self.check_ever(core, ticket)?;
        let index = ticket.group().index;
        let since = self.clock.now();
        if !patience.waits {
            return Err(self.would_block(core, demand, None));
        }
        if let Some(error) = self.given_up(core, demand, patience, since, None) {
            return Err(error);
        }
        let sleeper = Sleeper::new();
        let waiter = Arc::new(Waiter {
            ticket: ticket.clone(),
            from: demand.from.cloned(),
            waker: sleeper.waker(),
            since,
            place,
            thread: current_thread().id(),
            thread_name: crate::holders::thread_name(),
            may_give_up: patience.wait.may_give_up(),
            stall_after: core.config.stall_after,
            overtaken: AtomicU64::new(0),
            outcome: Mutex::new(None),
        });
        let number = next_key();
        let key = if demand.from.is_some() {
            number
        } else {
            number | NEW
        };
        core.groups.list(index);
        core.group_mut(index).entering.insert(key);
        let refused = self.check_circle(core, &waiter, key).and_then(|()| {
            // The settings may have changed while a policy was asked: then it might wait for ever.
            while core.settings != settings {
                settings = core.settings;
                self.check_ever(core, ticket)?;
            }
            Ok(())
        });
        core.group_mut(index).entering.remove(&key);
        if let Err(error) = refused {
            if core.was_disturbed() {
                // Nobody was admitted meanwhile who came later.
                core.revisit_later(ticket.group());
            }
            return Err(error);
        }
        // The manager may have been closed while a policy was asked.
        if core.closed {
            return Err(Error::Closed);
        }
        core.stats.waits += 1;
        self.emit(core, EventKind::AdmissionWait, Some(ticket), |event| {
            event.place = Some(place);
        });
        core.enqueue(index, key, waiter.clone());
        Ok(Place {
            look_at: next_look(core, &waiter, since),
            waiter,
            key,
            sleeper,
        })
    }

    /// The error of a demand that would have to wait and may not: for admission, unless `obstacle` is something else.
    pub(super) fn would_block(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
        obstacle: Option<Obstacle>,
    ) -> Error {
        let usage = self.usage(core, demand.ticket);
        Error::WouldBlock {
            requested: demand.ticket.bytes(),
            in_use: usage.in_use,
            capacity: usage.capacity,
            waiting: usage.waiting,
            obstacle: obstacle.unwrap_or_else(|| self.obstacle(core, demand, &usage, None)),
        }
    }

    /// The error of a wait that is over without admission, if it is over. `own` is its key in the queue.
    fn given_up(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
        patience: &Patience,
        since: Instant,
        own: Option<u64>,
    ) -> Option<Error> {
        let ticket = demand.ticket;
        let now = self.clock.now();
        let waited = now.saturating_duration_since(since);
        if patience.wait.is_cancelled() {
            return Some(Error::Cancelled {
                requested: ticket.bytes(),
                waited,
            });
        }
        if patience
            .wait
            .get_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            let usage = self.usage(core, ticket);
            let mut contention = self.contention(core, ticket.group().index, own);
            contention.policy = ticket.policy_label().clone();
            return Some(Error::Timeout {
                requested: ticket.bytes(),
                in_use: usage.in_use,
                capacity: usage.capacity,
                waited,
                waiting: usage.waiting - usize::from(own.is_some()),
                obstacle: self.obstacle(core, demand, &usage, own),
                contention,
            });
        }
        None
    }

    /// Sleeps until admitted.
    pub(super) fn wait(&self, place: &Place, patience: &Patience) -> Result<Granted, Error> {
        let waiter = &place.waiter;
        let token = patience.wait.get_cancel();
        if let Some(token) = token {
            token.register(place.key, waiter.waker.clone());
        }
        let _span = WaitSpan::enter(waiter);
        let mut look_at = place.look_at;
        let outcome = loop {
            if let Some(outcome) = waiter.outcome.lock().take() {
                break outcome;
            }
            let deadline = patience.wait.get_deadline();
            let has_come = |at: Option<Instant>| at.is_some_and(|at| self.clock.now() >= at);
            let next = earlier(deadline, look_at);
            if next == look_at && has_come(next) {
                look_at = self.look_at_line(place);
                continue;
            }
            let over = patience.wait.is_cancelled() || has_come(deadline);
            if over && let Some(outcome) = self.leave_queue(place, patience) {
                break outcome;
            }
            self.clock.park(&place.sleeper, next);
        };
        if let Some(token) = token {
            token.unregister(place.key);
        }
        outcome
    }

    /// Takes a waiter that gives up out of the queue, unless it was admitted first.
    fn leave_queue(&self, place: &Place, patience: &Patience) -> Option<Result<Granted, Error>> {
        let waiter = &place.waiter;
        let ticket = &waiter.ticket;
        // Before anybody is admitted in its place, and without the lock, since there may be many.
        let cancelled = patience.wait.is_cancelled();
        let holders = (!cancelled).then(|| self.in_the_way(ticket));
        let mut core = self.lock();
        if let Some(outcome) = waiter.outcome.lock().take() {
            return Some(outcome);
        }
        let demand = waiter.demand();
        let mut error = self.given_up(&core, demand, patience, waiter.since, Some(place.key))?;
        core.dequeue(ticket.group().index, place.key);
        if let (Error::Timeout { contention, .. }, Some(holders)) = (&mut error, holders) {
            contention.name(holders);
        }
        let kind = if error.is_timeout() {
            core.stats.timeouts += 1;
            EventKind::AdmissionTimedOut
        } else {
            core.stats.cancellations += 1;
            EventKind::AdmissionCancelled
        };
        self.emit(&mut core, kind, Some(ticket), |event| {
            event.place = Some(waiter.place);
        });
        // The one behind may fit where this one did not. It settles its own limit when it wakes, unless it is covered.
        let admitted = self.pump(&mut core, ticket.group().index);
        if admitted
            && !core.uncovered.values().any(|it| it.cover.is_awaited())
            && (core.routes_closed(self) || holder_falls(&core))
        {
            self.settle(&mut core);
        }
        self.revisit(&mut core);
        Some(Err(error))
    }

    /// The next in line after `after`: in the group's queue, or with a budget in all queues together.
    pub(super) fn next_in_line(
        &self,
        core: &Locked<'_>,
        index: usize,
        after: Option<u64>,
    ) -> Option<(u64, Arc<Waiter>)> {
        let from = after.map_or(0, |key| key + 1);
        let first = |queue: &std::collections::BTreeMap<u64, Arc<Waiter>>| {
            queue
                .range(from..)
                .next()
                .map(|(key, waiter)| (*key, waiter.clone()))
        };
        if core.config.budget.is_none() {
            return first(&core.group(index).queue);
        }
        core.live_groups()
            .filter_map(|state| first(&state.queue))
            .min_by_key(|(key, _)| *key)
    }

    /// The key of the first in line.
    pub(super) fn first_in_line(&self, core: &Locked<'_>, index: usize) -> Option<u64> {
        self.next_in_line(core, index, None).map(|(key, _)| key)
    }

    /// Whether nobody is in line before a new demand of this group.
    pub(super) fn is_line_empty(&self, core: &Locked<'_>, index: usize) -> bool {
        let together = core.config.budget.is_some();
        core.group(index).is_awaited_by_none()
            && (!together || core.live_groups().all(GroupState::is_awaited_by_none))
    }

    /// The key of who is about to enter the group's line, before all others who are.
    fn first_to_enter(&self, core: &Locked<'_>, index: usize) -> Option<u64> {
        let first = |state: &GroupState| state.entering.first().copied();
        if core.config.budget.is_none() {
            return first(core.group(index));
        }
        core.live_groups().filter_map(first).min()
    }

    /// Whether a growing guard waits in line already, or is about to.
    pub(super) fn somebody_grows(&self, core: &Locked<'_>, index: usize) -> bool {
        let first = self.first_in_line(core, index);
        let entering = self.first_to_enter(core, index);
        first.into_iter().chain(entering).any(|key| !is_of_new(key))
    }

    /// Admits from the head of the line while it may be admitted, and tells whether it admitted anybody. The caller
    /// holds no judge.
    ///
    /// If the configuration allows overtaking, those behind a head that must wait are tried too, unless somebody
    /// whom they would pass has been passed often enough.
    pub(crate) fn pump(&self, core: &mut Locked<'_>, index: usize) -> bool {
        let allowed = core.config.overtaking;
        // Under the manager's lock.
        let exhausted = |waiter: &Arc<Waiter>| waiter.overtaken.load(Ordering::Relaxed) >= allowed;
        let mut passed: Vec<Arc<Waiter>> = Vec::new();
        let mut admitted = false;
        let mut overtaken_out = false;
        let mut after = None;
        while let Some((key, waiter)) = self.next_in_line(core, index, after) {
            let first = self.first_to_enter(core, index);
            if first.is_some_and(|first| first < key) {
                // It came before this one, and examines the queue when it has entered.
                break;
            }
            core.keep([&waiter]);
            let group = waiter.ticket.group();
            // Taken without the manager's lock, which comes after it.
            let _judge = group.custom.then(|| core.unlocked(|| group.judge.lock()));
            // Meanwhile it may have left, and its guard with it.
            if !core.group(group.index).queue.contains_key(&key) {
                continue;
            }
            let demand = waiter.demand();
            let settings = core.settings;
            let verdict = match self.check_countable(core, demand) {
                Ok(()) => self.judge(core, demand),
                // It may fit once others have left.
                Err(_) => Ok(Verdict::Wait),
            };
            if core.settings != settings {
                // A policy was asked without the lock, and what was one line may be many by now, or the other way round: the
                // first in line may be another.
                passed.clear();
                after = None;
                continue;
            }
            // Without the lock it may have left.
            if !core.group(group.index).queue.contains_key(&key) {
                continue;
            }
            // Nor may others have let anybody pass, so that it is somebody's turn who would be passed again.
            if passed.iter().any(exhausted) {
                break;
            }
            if verdict == Ok(Verdict::Wait) {
                if exhausted(&waiter) {
                    break;
                }
                passed.push(waiter.clone());
                after = Some(key);
                continue;
            }
            core.dequeue(group.index, key);
            let outcome = verdict.and_then(|_| self.start(core, demand, waiter.place));
            // Not before the demand is counted: a fast acquire would take what it was promised.
            self.clear_flag(core, group.index);
            let outcome = outcome.map(|word| self.grant(core, key, &waiter, word));
            if outcome.is_ok() {
                admitted = true;
                for waiter in &passed {
                    // Under the manager's lock.
                    waiter.overtaken.fetch_add(1, Ordering::Relaxed);
                }
                self.resolve(core, &waiter, outcome);
                if passed.iter().any(exhausted) {
                    overtaken_out = true;
                    break;
                }
            } else {
                self.resolve(core, &waiter, outcome);
            }
        }
        self.clear_flag(core, index);
        if overtaken_out {
            // Who might have overtaken is behind a head now, which may be waiting for it.
            self.break_circles(core);
        }
        admitted
    }

    /// What a waiter gets whose demand was counted just now.
    fn grant(&self, core: &mut Locked<'_>, key: u64, waiter: &Waiter, word: Word) -> Granted {
        let ticket = &waiter.ticket;
        let waited = self.waited(waiter);
        core.note_progress(ticket.group().index, waited.until);
        if !self.is_covered(core, ticket) {
            // From now on: a call that fails before it wakes fails it too.
            core.await_cover(key, waiter.demand());
            return Granted::Added(word);
        }
        // All that is left to do: when it wakes it needs the lock no more.
        core.stats.admissions += 1;
        core.note_wait(waited.time);
        Granted::Covered(self.admission(core, ticket, word, Some(waited)))
    }

    /// Clears the group's `WAITERS` flag if nobody waits in it.
    pub(super) fn clear_flag(&self, core: &mut Locked<'_>, index: usize) {
        let state = core.group(index);
        if state.is_awaited_by_none() {
            state.shared.clear_flag();
        }
    }

    /// Gives a waiter that was taken out of the queue its outcome, and wakes it. Its admission was told of before.
    pub(crate) fn resolve(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        outcome: Result<Granted, Error>,
    ) {
        if let Err(error) = &outcome {
            let kind = EventKind::AdmissionFailed(error.to_string());
            self.emit(core, kind, Some(&waiter.ticket), |event| waiter.sign(event));
        }
        *waiter.outcome.lock() = Some(outcome);
        core.wake(waiter.waker.clone());
    }
}
