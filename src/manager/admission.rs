//! Acquiring when the fast path cannot decide: judging, waiting, and being covered by the limit.

use super::config::WireMode;
use super::core::{Locked, Uncovered};
use super::queue::Waiter;
use super::word::{MAX_DRIVING, MAX_SUM, Word};
use super::{Inner, user_code};
use crate::Error;
use crate::clock::Sleeper;
use crate::error::GroupLimit;
use crate::event::EventKind;
use crate::policy::Sizes;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::ticket::{Ticket, Wait};
use std::panic::Location;
use std::time::{Duration, Instant};

/// How an acquire may wait.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// False for `try_acquire`: neither for admission nor for another's setter call.
    pub(crate) waits: bool,
    pub(crate) wait: Wait,
}

/// An admitted and covered demand.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The group's sum at admission.
    pub(crate) sum: u64,
    pub(crate) waited: Duration,
    /// What the group called for at admission.
    pub(crate) wanted: u64,
    /// The epoch at admission; 0 if none was open.
    pub(crate) epoch: u64,
}

/// A policy's answer.
enum Verdict {
    Admit,
    Wait,
}

impl Inner {
    /// Acquires under the lock.
    pub(crate) fn acquire_slow(
        &self,
        ticket: &Ticket,
        patience: &Patience,
        place: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        self.claim()?;
        let group = ticket.group();
        let judge = group.custom.then(|| group.judge.lock());
        let mut core = self.lock();
        let decided = self.admit(&mut core, ticket, patience, place, judge);
        self.revisit(&mut core);
        match decided? {
            Entered::Admitted(word) => {
                self.cover(core, ticket, word, Duration::ZERO, patience.waits)
            }
            Entered::Queued(waiter, key, sleeper) => {
                drop(core);
                let word = self.wait(&waiter, key, &sleeper, patience)?;
                let waited = self.clock.now().saturating_duration_since(waiter.since);
                let core = self.lock();
                self.cover(core, ticket, word, waited, true)
            }
        }
    }

    /// A demand that the fast path has added and found uncovered.
    pub(crate) fn cover_added(
        &self,
        ticket: &Ticket,
        word: Word,
        patience: &Patience,
        place: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        let inside = user_code::is_inside(self.address());
        let mut core = self.lock();
        let redo = word.overflows() || inside || core.closed || core.routes_closed(self);
        if !redo {
            return self.cover(core, ticket, word, Duration::ZERO, patience.waits);
        }
        // Under the lock the demand is judged, counted and told of properly, or refused.
        core.subtract(ticket);
        self.after_release(&mut core, ticket);
        drop(core);
        if inside {
            return Err(Error::Reentrant);
        }
        self.acquire_slow(ticket, patience, place)
    }

    /// Decides about a new demand: admits it, queues it, or refuses it.
    fn admit(
        &self,
        core: &mut Locked<'_>,
        ticket: &Ticket,
        patience: &Patience,
        place: &'static Location<'static>,
        _judge: Option<MutexGuard<'_, ()>>,
    ) -> Result<Entered, Error> {
        if core.closed {
            return Err(Error::Closed);
        }
        if let Err(uncountable) = self.check_countable(core, ticket) {
            // That the policy would never admit it says more.
            self.check_ever(core, ticket)?;
            return Err(uncountable);
        }
        let group = ticket.group();
        // From here on no fast acquire passes: they go by the flag, and it is set before the word is judged.
        group.word.fetch_or(Word::WAITERS, Ordering::AcqRel);
        let verdict = if core.group(group.index).queue.is_empty() {
            self.judge(core, ticket)
        } else {
            Ok(Verdict::Wait)
        };
        let entered = match verdict {
            Ok(Verdict::Admit) => self.start(core, ticket).map(Entered::Admitted),
            Ok(Verdict::Wait) => self.enqueue(core, ticket, patience, place),
            Err(error) => Err(error),
        };
        let state = core.group(group.index);
        if state.queue.is_empty() {
            group.word.fetch_and(!Word::WAITERS, Ordering::AcqRel);
        }
        entered
    }

    fn check_countable(&self, core: &Locked<'_>, ticket: &Ticket) -> Result<(), Error> {
        let word = core.group(ticket.group().index).shared.load();
        if ticket.bytes() > MAX_SUM {
            return Err(full(GroupLimit::Bytes, ticket));
        }
        if ticket.kind().is_driving() && word.driving() >= MAX_DRIVING {
            return Err(full(GroupLimit::DrivingGuards, ticket));
        }
        Ok(())
    }

    /// Asks the ticket's own policy. Custom ones run without the manager's lock, but under the group's.
    fn judge(&self, core: &mut Locked<'_>, ticket: &Ticket) -> Result<Verdict, Error> {
        let state = core.group(ticket.group().index);
        let word = state.shared.load();
        let verdict = |admit| Ok(if admit { Verdict::Admit } else { Verdict::Wait });
        if core.mode == WireMode::Off {
            return verdict(true);
        }
        if !state.custom() {
            let formula = ticket.formula().resolve(core.budget);
            let sum = word.sum().saturating_add(ticket.bytes());
            return verdict(sum < formula.admitted(core.admission_baseline()));
        }
        if !ticket.can_refuse() {
            return verdict(true);
        }
        let policy = ticket.policy();
        let count = word.driving() + state.reservations;
        let max = state.largest();
        let each = if ticket.wants_sizes() {
            state.each_size()
        } else {
            Vec::new()
        };
        let context = self.context(core, core.admission_baseline());
        let answer = core.unlocked(|| {
            let live = Sizes {
                count,
                sum: word.sum(),
                max,
                each: &each,
            };
            user_code::call(self.address(), || {
                policy.can_admit(&context, &live, ticket.bytes())
            })
        });
        match answer {
            Ok(admit) => verdict(admit),
            Err(message) => Err(self.policy_panicked(core, ticket, message)),
        }
    }

    fn policy_panicked(&self, core: &mut Locked<'_>, ticket: &Ticket, message: String) -> Error {
        let kind = EventKind::PolicyPanicked(message.clone());
        self.emit(core, kind, Some(ticket), |_| {});
        Error::PolicyPanicked {
            policy: ticket.policy_label().to_string(),
            message,
        }
    }

    /// Whether the ticket's policy could ever admit it; if not, the error.
    fn check_ever(&self, core: &mut Locked<'_>, ticket: &Ticket) -> Result<(), Error> {
        let baseline = core.admission_baseline();
        let capacity = self.capacity(core, ticket);
        let never = if ticket.group().custom {
            let policy = ticket.policy();
            let context = self.context(core, baseline);
            let answer = core.unlocked(|| {
                user_code::call(self.address(), || {
                    policy.can_ever_admit(&context, ticket.bytes())
                })
            });
            !answer.map_err(|message| self.policy_panicked(core, ticket, message))?
        } else {
            let formula = ticket.formula().resolve(core.budget);
            formula.can_refuse() && ticket.bytes() >= formula.admitted(baseline)
        };
        if never {
            return Err(Error::NeverAdmissible {
                size: ticket.bytes(),
                capacity,
            });
        }
        Ok(())
    }

    /// The most that the ticket's group may hold, where the policy is a built-in one.
    fn capacity(&self, core: &Locked<'_>, ticket: &Ticket) -> Option<u64> {
        let formula = ticket.formula().resolve(core.budget);
        let admitted = formula.admitted(core.admission_baseline());
        (formula.can_refuse()).then(|| admitted.saturating_sub(1))
    }

    /// Counts an admitted demand and tells of it.
    fn start(&self, core: &mut Locked<'_>, ticket: &Ticket) -> Result<Word, Error> {
        let fits = core
            .group(ticket.group().index)
            .shared
            .load()
            .checked_add(ticket.demand());
        if fits.is_none() {
            return Err(full(GroupLimit::Bytes, ticket));
        }
        if ticket.kind().is_driving() && self.is_watched() {
            self.open_epoch(core);
        }
        self.emit(core, EventKind::AdmissionGranted, Some(ticket), |_| {});
        let word = core
            .add(ticket)
            .ok_or_else(|| full(GroupLimit::Bytes, ticket))?;
        self.emit(core, EventKind::TicketStarted, Some(ticket), |_| {});
        Ok(word)
    }

    fn enqueue(
        &self,
        core: &mut Locked<'_>,
        ticket: &Ticket,
        patience: &Patience,
        place: &'static Location<'static>,
    ) -> Result<Entered, Error> {
        self.check_ever(core, ticket)?;
        let index = ticket.group().index;
        let since = self.clock.now();
        if !patience.waits {
            return Err(Error::WouldBlock {
                requested: ticket.bytes(),
                in_use: core.group(index).shared.load().sum(),
                capacity: self.capacity(core, ticket),
                waiting: core.group(index).queue.len(),
            });
        }
        if let Some(error) = self.given_up(core, ticket, patience, since, since) {
            return Err(error);
        }
        // The manager may have been closed while a policy was asked.
        if core.closed {
            return Err(Error::Closed);
        }
        let sleeper = Sleeper::new();
        let waiter = Arc::new(Waiter {
            ticket: ticket.clone(),
            waker: sleeper.waker(),
            since,
            place,
            thread: std::thread::current().id(),
            outcome: Mutex::new(None),
        });
        let key = next_key();
        core.stats.waits += 1;
        self.emit(core, EventKind::AdmissionWait, Some(ticket), |_| {});
        core.group_mut(index).queue.insert(key, waiter.clone());
        Ok(Entered::Queued(waiter, key, sleeper))
    }

    /// The error of a wait that is over without admission, if it is over.
    fn given_up(
        &self,
        core: &Locked<'_>,
        ticket: &Ticket,
        patience: &Patience,
        since: Instant,
        now: Instant,
    ) -> Option<Error> {
        let waited = now.saturating_duration_since(since);
        if patience.wait.is_cancelled() {
            return Some(Error::Cancelled {
                requested: ticket.bytes(),
                waited,
            });
        }
        if patience
            .wait
            .deadline_at()
            .is_some_and(|deadline| now >= deadline)
        {
            let state = core.group(ticket.group().index);
            return Some(Error::Timeout {
                requested: ticket.bytes(),
                in_use: state.shared.load().sum(),
                capacity: self.capacity(core, ticket),
                waited,
                waiting: state.queue.len(),
            });
        }
        None
    }

    /// Sleeps until admitted. Returns the group's word at admission.
    fn wait(
        &self,
        waiter: &Arc<Waiter>,
        key: u64,
        sleeper: &Sleeper,
        patience: &Patience,
    ) -> Result<Word, Error> {
        let token = patience.wait.token();
        if let Some(token) = token {
            token.register(key, waiter.waker.clone());
        }
        let outcome = loop {
            if let Some(outcome) = waiter.outcome.lock().take() {
                break outcome;
            }
            let over = patience.wait.is_cancelled()
                || patience
                    .wait
                    .deadline_at()
                    .is_some_and(|deadline| self.clock.now() >= deadline);
            if over && let Some(outcome) = self.leave_queue(waiter, key, patience) {
                break outcome;
            }
            self.clock.park(sleeper, patience.wait.deadline_at());
        };
        if let Some(token) = token {
            token.unregister(key);
        }
        outcome.map(|sum| Word(Word::demand(sum, false)))
    }

    /// Takes a waiter that gives up out of the queue, unless it was admitted first.
    fn leave_queue(
        &self,
        waiter: &Arc<Waiter>,
        key: u64,
        patience: &Patience,
    ) -> Option<Result<u64, Error>> {
        let ticket = &waiter.ticket;
        let group = ticket.group();
        let judge = group.custom.then(|| group.judge.lock());
        let mut core = self.lock();
        if let Some(outcome) = waiter.outcome.lock().take() {
            return Some(outcome);
        }
        core.group_mut(group.index).queue.remove(&key);
        let error = self.given_up(&core, ticket, patience, waiter.since, self.clock.now())?;
        let kind = if error.is_timeout() {
            core.stats.timeouts += 1;
            EventKind::AdmissionTimedOut
        } else {
            core.stats.cancellations += 1;
            EventKind::AdmissionCancelled
        };
        self.emit(&mut core, kind, Some(ticket), |_| {});
        // The one behind may fit where this one did not. It settles its own limit when it wakes.
        self.pump(&mut core, group.index);
        drop(judge);
        self.revisit(&mut core);
        Some(Err(error))
    }

    /// Admits from the head of the group's queue while its policy says so. For a custom group the
    /// caller holds its judge.
    pub(crate) fn pump(&self, core: &mut Locked<'_>, index: usize) {
        loop {
            let Some((key, waiter)) = core
                .group(index)
                .queue
                .first_key_value()
                .map(|(key, waiter)| (*key, waiter.clone()))
            else {
                let group = &core.group(index).shared;
                group.word.fetch_and(!Word::WAITERS, Ordering::AcqRel);
                return;
            };
            let verdict = match self.check_countable(core, &waiter.ticket) {
                Ok(()) => self.judge(core, &waiter.ticket),
                // It may fit once others have left.
                Err(_) => return,
            };
            // Without the lock the head may have been closed away.
            if !core.group(index).queue.contains_key(&key) {
                continue;
            }
            if let Ok(Verdict::Wait) = verdict {
                return;
            }
            core.group_mut(index).queue.remove(&key);
            let outcome = match verdict {
                Ok(_) => self.start(core, &waiter.ticket).map(Word::sum),
                Err(error) => Err(error),
            };
            self.resolve(core, &waiter, outcome);
        }
    }

    /// Gives a waiter that was taken out of the queue its outcome, and wakes it.
    pub(crate) fn resolve(
        &self,
        core: &mut Locked<'_>,
        waiter: &Waiter,
        outcome: Result<u64, Error>,
    ) {
        *waiter.outcome.lock() = Some(outcome);
        core.wake(waiter.waker.clone());
    }

    /// Pumps a group of any kind from a place that holds the manager's lock and no judge.
    pub(crate) fn pump_any(&self, core: &mut Locked<'_>, group: &Arc<super::group::Group>) {
        if !group.custom {
            return self.pump(core, group.index);
        }
        core.unlocked(|| {
            let _judge = group.judge.lock();
            let mut core = self.lock();
            self.pump(&mut core, group.index);
        });
    }

    /// Does what a release inside user code has left to the call around it.
    pub(crate) fn revisit(&self, core: &mut Locked<'_>) {
        if user_code::is_inside(self.address()) {
            return;
        }
        while let Some(group) = core.revisit.pop() {
            self.pump_any(core, &group);
            self.settle(core);
        }
    }

    /// Returns once the limit covers an admitted demand, by this thread's call or another's.
    fn cover(
        &self,
        mut core: Locked<'_>,
        ticket: &Ticket,
        at_admission: Word,
        waited: Duration,
        waits: bool,
    ) -> Result<Admission, Error> {
        let mut admission = Admission {
            sum: at_admission.sum(),
            waited,
            wanted: 0,
            epoch: 0,
        };
        core.stats.note_wait(waited);
        // While something is owed or somebody watches, every transition is a session of its own.
        let mut looked = !core.routes_closed(self);
        let mut key = None;
        let failure = loop {
            if let Some(failure) = key
                .and_then(|key| core.uncovered.get(&key))
                .and_then(|u| u.failed.clone())
            {
                break Some(failure);
            }
            if looked && self.is_covered(&core, ticket) {
                break None;
            }
            if core.busy && !waits {
                return Err(self.withdraw(core, ticket, key));
            }
            if key.is_none() {
                let new = next_key();
                let uncovered = Uncovered {
                    ticket: ticket.clone(),
                    included: false,
                    failed: None,
                };
                core.uncovered.insert(new, uncovered);
                key = Some(new);
            }
            if core.busy {
                core.sleepers += 1;
                let turn = self.turn.load(Ordering::Acquire);
                core.unlocked(|| crate::sync::wait(&self.turn, turn));
                core.sleepers -= 1;
            } else {
                core.busy = true;
                self.session(&mut core);
            }
            looked = true;
        };
        if let Some(key) = key {
            core.uncovered.remove(&key);
        }
        let state = core.group(ticket.group().index);
        admission.wanted = state.limit(at_admission, core.baseline());
        if core.epoch.open {
            admission.epoch = core.epoch.number;
        }
        match failure {
            Some(failure) if !failure.proceed => Err(Error::SetLimit {
                limit: failure.limit,
                source: failure.error,
            }),
            _ => Ok(admission),
        }
    }

    fn is_covered(&self, core: &Locked<'_>, ticket: &Ticket) -> bool {
        if !ticket.kind().is_driving() && !core.epoch.open {
            return true;
        }
        let state = core.group(ticket.group().index);
        core.covers(state, state.shared.load(), ticket.bytes(), core.bound())
    }

    /// `try_acquire` found another's setter call in flight: the demand goes again.
    fn withdraw(&self, mut core: Locked<'_>, ticket: &Ticket, key: Option<u64>) -> Error {
        if let Some(key) = key {
            core.uncovered.remove(&key);
        }
        let word = core.subtract(ticket);
        let error = Error::WouldBlock {
            requested: ticket.bytes(),
            in_use: word.sum(),
            capacity: self.capacity(&core, ticket),
            waiting: core.group(ticket.group().index).queue.len(),
        };
        self.emit(&mut core, EventKind::TicketEnded, Some(ticket), |_| {});
        self.after_release(&mut core, ticket);
        error
    }
}

/// A number for a wait; later ones are larger. Process-wide, since one token may cancel waits in several managers.
fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Taken under the manager's lock, which orders the waits of one manager.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What became of a new demand.
enum Entered {
    Admitted(Word),
    Queued(Arc<Waiter>, u64, Sleeper),
}

fn full(what: GroupLimit, ticket: &Ticket) -> Error {
    Error::GroupFull {
        what,
        requested: ticket.bytes(),
        maximum: match what {
            GroupLimit::Bytes => MAX_SUM,
            GroupLimit::DrivingGuards => MAX_DRIVING,
        },
    }
}
