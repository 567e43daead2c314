//! The queue: how a wait begins and ends. [`pump`](crate::manager::admission::pump) says which waiter is next.
//!
//! Each group has a queue, in the order in which waiters came into it. A demand that cannot be admitted enters it under
//! the manager's lock, after the group's `WAITERS` flag was set, so that no fast acquire passes it and every release
//! looks. A thread that frees something *pumps*: it asks for the first in the queue, adds the demand on its behalf,
//! takes it out and wakes it. So no thread races for what was freed. With a budget over all groups the queues are one,
//! in the same order.
//!
//! A growing guard comes before all others, since they may be waiting for what it holds.
//!
//! A demand that waits for pinned demands is not in the queue but [set aside](crate::manager::admission::set_aside).
//!
//! A waiter sleeps until it has an outcome, its deadline has come or its token is cancelled. It also wakes by itself:
//!
//! * to look whether its queue stands still ([`stalls`](crate::manager::admission::stalls)),
//! * to ask for memory ([`shortage`]),
//! * when its patience with the pressure is over ([`elastic`](crate::manager::admission::elastic)).

use crate::Error;
use crate::error::Obstacle;
use crate::event::EventKind;
use crate::manager::admission::acquire_wait::AcquireWait;
use crate::manager::admission::beside::Beside;
use crate::manager::admission::shortage;
use crate::manager::admission::stalls::next_stall_check;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::limit::cover::leader_falls;
use crate::manager::state::demand::Demand;
use crate::manager::state::grant::Granted;
use crate::manager::state::key::NEW;
use crate::manager::state::key::next_key;
use crate::manager::state::stall::earlier;
use crate::manager::state::waiter::Enqueued;
use crate::manager::state::waiter::Waiter;
use crate::sync::{Arc, AtomicU64, Mutex, current_thread, unmodelled};
use crate::time::Sleeper;
use crate::trace::WaitSpan;
use std::panic::Location;
use std::time::Instant;

impl Inner {
    /// Puts a demand that must wait into the queue, or says why it may not. `delayed`: it waits for the pressure alone.
    pub(crate) fn enqueue(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        how: &AcquireWait,
        location: &'static Location<'static>,
        delayed: bool,
    ) -> Result<Enqueued, Error> {
        let request = demand.request;
        let mut settings_version = core.settings_version;
        self.check_ever(core, demand)?;
        let beside = self.waits_for(core, demand)?;
        let index = request.group().index;
        let since = self.clock.now();
        if !how.waits {
            return Err(self.would_block_error(core, demand, None));
        }
        if let Some(error) = self.give_up_error(core, demand, how, since, None) {
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
            pin: demand.pin,
            waits_for_pinned: demand.waits_for_pinned,
            request: request.clone(),
            from: demand.from.cloned(),
            waker: sleeper.waker(),
            since,
            location,
            thread: current_thread().id(),
            thread_name: crate::holders::thread_name(),
            has_guard: demand.from.is_some() || crate::holders::thread_has_guard(),
            may_give_up: how.wait.may_give_up(),
            set_aside_since: Mutex::new(None),
            stall_after: core.config.stall_after,
            delayed: unmodelled::Mutex::new(None),
            overtaken: AtomicU64::new(0),
            outcome: Mutex::new(None),
        });
        core.groups.list(index);
        core.group_mut(index).enqueuing.insert(key);
        let set_aside =
            beside == Beside::Pinned || (waiter.is_new_pinned() && self.has_set_aside(core, index));
        let refused = self
            .refuse_deadlock(core, &waiter, set_aside)
            .and_then(|()| {
                // The settings may have changed while a policy was asked: then the demand might wait for ever.
                while core.settings_version != settings_version {
                    settings_version = core.settings_version;
                    self.check_ever(core, demand)?;
                }
                Ok(())
            });
        core.group_mut(index).enqueuing.remove(&key);
        if let Err(error) = refused {
            if core.was_disturbed() {
                // While this one was about to enter, no pump admitted a later demand.
                core.defer_group(request.group());
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
                if core.was_disturbed() {
                    // As above.
                    core.defer_group(request.group());
                }
                return Err(Error::QueueFull { waiting });
            }
        }
        core.stats.waits += 1;
        self.emit(core, EventKind::AdmissionWait, Some(request), |event| {
            event.place = Some(location);
        });
        // Waiters may have been set aside meanwhile.
        let set_aside = set_aside || (waiter.is_new_pinned() && self.has_set_aside(core, index));
        // Pinned demands may have come or gone while a policy was asked without the lock.
        let disturbed = core.was_disturbed();
        core.group_mut(index).mark.all |= disturbed;
        if delayed && !set_aside && waiter.is_new_pinned() {
            self.set_aside_delayed(core, &waiter);
        } else if set_aside {
            core.set_aside(waiter.clone(), since);
        } else {
            core.enqueue(waiter.clone(), since);
            if delayed {
                self.delay(core, &waiter);
            }
        }
        Ok(Enqueued {
            stall_check_at: next_stall_check(core, &waiter, since),
            waiter,
            sleeper,
        })
    }

    /// The error of a demand that would have to wait and may not: for admission, unless `obstacle` is something else.
    pub(crate) fn would_block_error(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
        obstacle: Option<Obstacle>,
    ) -> Error {
        let usage = self.usage(core, demand.request);
        Error::WouldBlock {
            requested: demand.request.bytes(),
            in_use: usage.in_use,
            capacity: usage.capacity,
            waiting: usage.waiting,
            obstacle: obstacle.unwrap_or_else(|| self.obstacle(core, demand, &usage, None)),
        }
    }

    /// The error of a wait that is over without admission, if it is over. `own` is its key in the queue.
    fn give_up_error(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
        how: &AcquireWait,
        since: Instant,
        own: Option<u64>,
    ) -> Option<Error> {
        let request = demand.request;
        let now = self.clock.now();
        let waited = now.saturating_duration_since(since);
        if how.wait.is_cancelled() {
            return Some(Error::Cancelled {
                requested: request.bytes(),
                waited,
            });
        }
        if how
            .wait
            .get_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            let usage = self.usage(core, request);
            // One that is set aside is not in the queue.
            let queue = &core.group(request.group().index).queue;
            let own = own.filter(|key| queue.contains_key(key));
            let mut contention = self.contention(core, request.group().index, own);
            contention.policy = request.policy_label().clone();
            return Some(Error::Timeout {
                requested: request.bytes(),
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
    pub(crate) fn wait(&self, enqueued: &Enqueued, how: &AcquireWait) -> Result<Granted, Error> {
        let waiter = &enqueued.waiter;
        let token = how.wait.get_cancel();
        if let Some(token) = token {
            token.register(waiter.number, waiter.waker.clone());
        }
        let _span = WaitSpan::open(waiter.request.id(), waiter.request.about(), waiter.location);
        let mut stall_check_at = enqueued.stall_check_at;
        let mut asks_at = None;
        let mut patience_ended = None;
        let outcome = loop {
            if let Some(outcome) = waiter.outcome.lock().take() {
                break outcome;
            }
            let deadline = how.wait.get_deadline();
            let has_come = |at: Option<Instant>| at.is_some_and(|at| self.clock.now() >= at);
            let next = earlier(deadline, stall_check_at);
            if next == stall_check_at && has_come(next) {
                stall_check_at = self.report_stall(enqueued);
                continue;
            }
            let is_over = || how.wait.is_cancelled() || has_come(deadline);
            if is_over()
                && let Some(outcome) = self.withdraw_waiter(enqueued, how)
            {
                break outcome;
            }
            let patience_ends = waiter.patience_ends();
            let patience_ends = patience_ends.filter(|at| Some(*at) != patience_ended);
            if has_come(patience_ends) {
                self.pump_after_patience(waiter);
                patience_ended = patience_ends;
                continue;
            }
            let may_ask = self.has_reclaimers() && self.is_first_set_aside(waiter);
            // A waiter that is the first again asks at once.
            asks_at = asks_at.filter(|_| may_ask);
            if may_ask
                && asks_at.is_none_or(|at| has_come(Some(at)))
                && self.ask_for_memory(waiter, is_over)
            {
                asks_at = self.clock.now().checked_add(shortage::AGAIN);
                continue;
            }
            let next = earlier(next, patience_ends);
            self.clock.park(&enqueued.sleeper, earlier(next, asks_at));
        };
        if let Some(token) = token {
            token.unregister(waiter.number);
        }
        outcome
    }

    /// Takes a waiter that gives up out of the queue, unless it was admitted first.
    fn withdraw_waiter(
        &self,
        enqueued: &Enqueued,
        how: &AcquireWait,
    ) -> Option<Result<Granted, Error>> {
        let waiter = &enqueued.waiter;
        let request = &waiter.request;
        // Before another is admitted in its place, and without the lock, since there may be many.
        let cancelled = how.wait.is_cancelled();
        let holders = (!cancelled).then(|| self.in_the_way(request));
        let mut core = self.lock();
        if let Some(outcome) = waiter.outcome.lock().take() {
            return Some(outcome);
        }
        let demand = waiter.demand();
        let own = Some(waiter.key());
        let mut error = self.give_up_error(&core, demand, how, waiter.since, own)?;
        core.remove_waiter(waiter);
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
        self.emit(&mut core, kind, Some(request), |event| {
            event.place = Some(waiter.location);
        });
        // A later waiter may fit where this one did not.
        self.pump_and_reconcile(&mut core, request.group().index);
        Some(Err(error))
    }

    /// Admits from a queue, though nothing was released. Those that are admitted reconcile the limit themselves when
    /// they wake, unless they are covered.
    pub(crate) fn pump_and_reconcile(&self, core: &mut Locked<'_>, index: usize) {
        let admitted = self.pump(core, index);
        if admitted
            && !core.uncovered.values().any(|it| it.call.is_awaited())
            && (core.must_close_gates(self) || leader_falls(core))
        {
            self.reconcile(core);
        }
        self.reconcile_deferred(core);
    }
}
