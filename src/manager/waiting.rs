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
//! A demand that waits for holds is not in line but [set aside](super::aside).
//!
//! A waiter sleeps until it has an outcome, its deadline has come or its token is cancelled; and it wakes by itself now and
//! then to look whether its line stands still ([`stalls`](super::stalls)), or to ask for memory
//! ([`shortage`](super::shortage)).

use super::Inner;
use super::admission::Patience;
use super::beside::Beside;
use super::cover::holder_falls;
use super::group::GroupState;
use super::judge::{Demand, Verdict};
use super::locked::Locked;
use super::queue::{Granted, Waiter};
use super::shortage;
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
    sleeper: Sleeper,
    /// When it is to look at its line.
    look_at: Option<Instant>,
}

/// Set in the keys of new guards, so that growing ones come first.
pub(super) const NEW: u64 = 1 << 63;

/// How many waiters that do not fit are looked past at once, where overtaking is allowed (R40).
pub(super) const MOST_PASSED: usize = 64;

/// A number for a wait; later ones are larger. Process-wide, since one token may cancel waits in several managers.
pub(super) fn next_key() -> u64 {
    static NEXT: unmodelled::AtomicU64 = unmodelled::AtomicU64::new(0);
    // Taken under the manager's lock, which orders the waits of one manager.
    NEXT.fetch_add(1, Ordering::Relaxed)
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
        self.check_ever(core, demand)?;
        let beside = self.waits_for(core, demand)?;
        let index = ticket.group().index;
        let since = self.clock.now();
        if !patience.waits {
            return Err(self.would_block(core, demand, None));
        }
        if let Some(error) = self.given_up(core, demand, patience, since, None) {
            return Err(error);
        }
        let sleeper = Sleeper::new();
        let number = next_key();
        let key = if demand.from.is_some() {
            number
        } else {
            number | NEW
        };
        let waiter = Arc::new(Waiter {
            number,
            key: AtomicU64::new(key),
            hold: demand.hold,
            for_holds: demand.for_holds,
            ticket: ticket.clone(),
            from: demand.from.cloned(),
            waker: sleeper.waker(),
            since,
            place,
            thread: current_thread().id(),
            thread_name: crate::holders::thread_name(),
            may_give_up: patience.wait.may_give_up(),
            aside_since: Mutex::new(None),
            stall_after: core.config.stall_after,
            overtaken: AtomicU64::new(0),
            outcome: Mutex::new(None),
        });
        core.groups.list(index);
        core.group_mut(index).entering.insert(key);
        let aside = beside == Beside::Holds
            || (waiter.is_new_hold() && self.is_set_aside_before(core, index));
        let refused = self.check_circle(core, &waiter, aside).and_then(|()| {
            // The settings may have changed while a policy was asked: then it might wait for ever.
            while core.settings != settings {
                settings = core.settings;
                self.check_ever(core, demand)?;
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
        if let Some(most) = core.config.max_waiting
            && demand.from.is_none()
        {
            let waiting = core.waiters() as usize;
            if waiting >= most {
                return Err(Error::QueueFull { waiting });
            }
        }
        core.stats.waits += 1;
        self.emit(core, EventKind::AdmissionWait, Some(ticket), |event| {
            event.place = Some(place);
        });
        // Waiters may have been set aside meanwhile.
        let aside = aside || (waiter.is_new_hold() && self.is_set_aside_before(core, index));
        // Without the lock, while a policy was asked, holds may have come or gone.
        let disturbed = core.was_disturbed();
        core.group_mut(index).rejudge |= disturbed;
        if aside {
            core.set_aside(waiter.clone(), since);
        } else {
            core.enqueue(waiter.clone(), since);
        }
        Ok(Place {
            look_at: next_look(core, &waiter, since),
            waiter,
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
            // One that is set aside is not in the line.
            let queue = &core.group(ticket.group().index).queue;
            let own = own.filter(|key| queue.contains_key(key));
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
            token.register(waiter.number, waiter.waker.clone());
        }
        let _span = WaitSpan::enter(waiter);
        let mut look_at = place.look_at;
        let mut asks_at = None;
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
            let may_ask = self.has_reclaimers() && self.is_first_set_aside(waiter);
            // One that is the first again asks at once.
            asks_at = asks_at.filter(|_| may_ask);
            if may_ask && asks_at.is_none_or(|at| has_come(Some(at))) && self.ask_for_memory(waiter)
            {
                asks_at = self.clock.now().checked_add(shortage::AGAIN);
                continue;
            }
            self.clock.park(&place.sleeper, earlier(next, asks_at));
        };
        if let Some(token) = token {
            token.unregister(waiter.number);
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
        let own = Some(waiter.key());
        let mut error = self.given_up(&core, demand, patience, waiter.since, own)?;
        core.take_waiter(waiter);
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
    /// whom they would pass has been passed often enough, or very many would be passed.
    pub(crate) fn pump(&self, core: &mut Locked<'_>, index: usize) -> bool {
        let mut admitted = false;
        loop {
            self.judge_again(core, index);
            admitted |= self.pump_line(core, index);
            if !self.is_to_judge_again(core, index) {
                break;
            }
        }
        self.look_for_circles(core);
        admitted
    }

    /// [`pump`](Self::pump) for what is held and what may be held as they are.
    fn pump_line(&self, core: &mut Locked<'_>, index: usize) -> bool {
        let allowed = core.config.overtaking;
        // Under the manager's lock.
        let exhausted = |waiter: &Arc<Waiter>| waiter.overtaken.load(Ordering::Relaxed) >= allowed;
        let mut passed: Vec<Arc<Waiter>> = Vec::new();
        let mut admitted = false;
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
                // A demand for a hold overtakes nobody.
                Ok(()) if waiter.ticket.is_hold() && !passed.is_empty() => Ok(Verdict::Wait),
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
                if exhausted(&waiter) || passed.len() >= MOST_PASSED {
                    break;
                }
                passed.push(waiter.clone());
                after = Some(key);
                continue;
            }
            core.take_waiter(&waiter);
            let outcome = verdict.and_then(|_| self.start(core, demand, waiter.place));
            // Not before the demand is counted: a fast acquire would take what it was promised.
            self.clear_flag(core, group.index);
            let outcome = outcome.map(|word| self.grant(core, &waiter, word));
            if outcome.is_ok() {
                admitted = true;
                for waiter in &passed {
                    // Under the manager's lock.
                    waiter.overtaken.fetch_add(1, Ordering::Relaxed);
                }
                self.resolve(core, &waiter, outcome);
                if passed.iter().any(exhausted) {
                    // Who might have overtaken is behind a head now, which may be waiting for it.
                    core.look_for_circles = true;
                    break;
                }
                if waiter.ticket.is_hold() {
                    // Those behind may not fit beside it: they are judged before they count as overtaken.
                    break;
                }
            } else {
                self.resolve(core, &waiter, outcome);
            }
        }
        self.clear_flag(core, index);
        admitted
    }

    /// What a waiter gets whose demand was counted just now.
    fn grant(&self, core: &mut Locked<'_>, waiter: &Waiter, word: Word) -> Granted {
        let ticket = &waiter.ticket;
        let waited = self.waited(waiter);
        core.note_progress(ticket.group().index, waited.until);
        if !self.is_covered(core, ticket) {
            // From now on: a call that fails before it wakes fails it too.
            core.await_cover(waiter.number, waiter.demand());
            return Granted::Added(word);
        }
        // All that is left to do: when it wakes it needs the lock no more.
        core.stats.admissions += 1;
        core.note_wait(waited.time);
        Granted::Covered(self.admission(core, waiter.demand(), word, Some(waited)))
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
