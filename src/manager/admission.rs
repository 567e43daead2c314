//! Acquiring and resizing when the fast path cannot decide.

pub(crate) mod acquire_wait;
pub(crate) mod beside;
pub(crate) mod deadlocks;
pub(crate) mod elastic;
pub(crate) mod judge;
pub(crate) mod marks;
pub(crate) mod obstacle;
pub(crate) mod pump;
pub(crate) mod release;
pub(crate) mod set_aside;
pub(crate) mod shortage;
pub(crate) mod stalls;
pub(crate) mod supposed;
pub(crate) mod waiting;

use crate::Error;
use crate::error::GroupLimit;
use crate::event::{Event, EventKind};
use crate::manager::admission::acquire_wait::AcquireWait;
use crate::manager::admission::judge::{Verdict, group_full_error};
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::limit::cover::leader_falls;
use crate::manager::state::demand::Demand;
use crate::manager::state::grant::Admission;
use crate::manager::state::grant::Granted;
use crate::manager::state::grant::Waited;
use crate::manager::state::group_state::Foreseen;
use crate::manager::state::key::next_key;
use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::manager::state::waiter::Enqueued;
use crate::manager::state::waiter::Waiter;
use crate::manager::state::word::Word;
use crate::mode::WireMode;
use crate::sync::Arc;
use crate::user_code;
use std::panic::Location;

/// What became of a new demand.
enum Decided {
    Admitted(Word),
    Queued(Enqueued),
}

impl Inner {
    /// Acquires under the lock.
    pub(crate) fn acquire_slow(
        &self,
        request: &Arc<Request>,
        how: &AcquireWait,
        location: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        let demand = Demand {
            pin: request.is_pinned().then(next_key),
            waits_for_pinned: how.wait.waits_for_pinned(),
            ..request.into()
        };
        self.acquire_or_grow(demand, how, location)
    }

    /// Changes a live guard's demand `from` to `request`, all or nothing. `pin`: its key among the pinned demands.
    pub(crate) fn resize(
        &self,
        from: &Arc<Request>,
        request: &Arc<Request>,
        pin: Option<PinKey>,
        how: &AcquireWait,
        location: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        let demand = Demand {
            from: Some(from),
            pin,
            waits_for_pinned: how.wait.waits_for_pinned(),
            ..request.into()
        };
        if request.bytes() > from.bytes() {
            return self.acquire_or_grow(demand, how, location);
        }
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        let mut core = self.lock();
        // Less than what was covered needs no cover. It cannot fail: what it frees may be given away at once.
        let word = self.count_and_emit(&mut core, demand, location);
        self.pump(&mut core, request.group().index);
        self.reconcile(&mut core);
        self.reconcile_deferred(&mut core);
        Ok(self.admission(&core, demand, word, None))
    }

    fn acquire_or_grow(
        &self,
        demand: Demand<'_>,
        how: &AcquireWait,
        location: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        if user_code::may_not_wait(self.address()) {
            return Err(Error::Reentrant);
        }
        self.claim()?;
        let request = demand.request;
        let group = request.group();
        let judge = group.custom.then(|| group.judge.lock());
        let mut core = self.lock();
        let decided = self.decide_demand(&mut core, demand, how, location);
        drop(judge);
        let disturbed = core.was_disturbed();
        match decided {
            Err(error) => {
                self.reconcile_deferred(&mut core);
                drop(core);
                Err(self.name_holders(error, request))
            }
            Ok(Decided::Admitted(word)) => {
                self.cover(&mut core, demand, word, None, how.waits, None)
            }
            Ok(Decided::Queued(enqueued)) => {
                self.reconcile_deferred(&mut core);
                if disturbed && enqueued.waiter.has_guard {
                    self.break_deadlocks(&mut core);
                    if leader_falls(&core) {
                        self.reconcile(&mut core);
                    }
                    // Policies were asked again, and may have released a guard.
                    self.reconcile_deferred(&mut core);
                }
                drop(core);
                let waited = self.wait(&enqueued, how);
                let word = match waited.map_err(|error| self.name_holders_late(error, request))? {
                    Granted::Covered(admission) => return Ok(admission),
                    Granted::Added(word) => word,
                };
                let waited = Some(self.waited(&enqueued.waiter));
                let key = Some(enqueued.waiter.number);
                self.cover(&mut self.lock(), demand, word, waited, true, key)
            }
        }
    }

    /// A wait that ends now.
    pub(crate) fn waited(&self, waiter: &Waiter) -> Waited {
        let until = self.clock.now();
        Waited {
            time: until.saturating_duration_since(waiter.since),
            until,
        }
    }

    /// A demand that the fast path has added and found uncovered.
    pub(crate) fn cover_added(
        &self,
        request: &Arc<Request>,
        word: Word,
        how: &AcquireWait,
        location: &'static Location<'static>,
    ) -> Result<Admission, Error> {
        let inside = user_code::is_inside(self.address());
        let mut core = self.lock();
        core.groups.list(request.group().index);
        let coordinates = core.mode != WireMode::Uncoordinated;
        let too_many = |most| {
            let most = u64::from(most);
            coordinates
                && word.driving() > most
                && request.group().active(request.group().load()) > most
        };
        // A waiter has come later, unless its `WAITERS` was seen.
        let passes = word.has_waiters() && !self.is_queue_empty(&core, request.group().index);
        let redo = word.overflows()
            || inside
            || core.admits_under_lock_only(self)
            || passes
            || request.most().is_some_and(too_many)
            || !self.fits_policy(&core, request, word.sum())
            || core.is_over_share(request, word.sum());
        if !redo {
            return self.cover(&mut core, request.into(), word, None, how.waits, None);
        }
        // Under the lock the demand is judged, counted and told of anew, or refused.
        core.subtract(request);
        self.after_release(&mut core, request);
        drop(core);
        if inside {
            return Err(Error::Reentrant);
        }
        self.acquire_slow(request, how, location)
    }

    /// Decides about a new demand: admits it, queues it, or refuses it. The caller holds a custom group's judge lock.
    fn decide_demand(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        how: &AcquireWait,
        location: &'static Location<'static>,
    ) -> Result<Decided, Error> {
        let request = demand.request;
        if core.closed {
            return Err(Error::Closed);
        }
        if let Err(uncountable) = self.check_countable(core, demand) {
            // An error that the policy would never admit it says more.
            self.check_ever(core, demand)?;
            return Err(uncountable);
        }
        let group = request.group();
        // From here on no fast acquire passes: they go by `WAITERS`, and that is set before the word is judged.
        group.set_waiters();
        let settings_version = core.settings_version;
        let first = self.is_first(core, demand);
        let verdict = if first {
            self.judge(core, demand)
        } else {
            Ok(Verdict::Wait)
        };
        let verdict = if core.settings_version != settings_version && !self.is_first(core, demand) {
            // The queues of several groups may have become one while a policy was asked without the lock.
            verdict.map(|_| Verdict::Wait)
        } else {
            verdict
        };
        // The manager may have been closed while a policy was asked without the lock.
        let verdict = if core.closed {
            Err(Error::Closed)
        } else {
            verdict
        };
        let decided = match verdict {
            Ok(Verdict::Admit) => self
                .count_admitted(core, demand, location)
                .map(Decided::Admitted),
            Ok(Verdict::Wait) => self
                .enqueue(core, demand, how, location, false)
                .map(Decided::Queued),
            Ok(Verdict::Delayed) => self
                .enqueue(core, demand, how, location, true)
                .map(Decided::Queued),
            Err(error) => Err(error),
        };
        if matches!(decided, Ok(Decided::Queued(_))) && core.was_disturbed() {
            // While a policy was asked, without the lock, another thread may have freed something, seen no waiter, and
            // cleared `WAITERS`.
            group.set_waiters();
            core.defer_group(group);
        }
        self.clear_waiters_if_unneeded(core, group.index);
        if request.is_pinned() && matches!(decided, Ok(Decided::Admitted(_))) {
            // Those in the queue may not fit beside it.
            core.defer_group(group);
        }
        if !first && decided.is_ok() && core.config.overtaking > 0 {
            // It may pass the waiters.
            core.defer_group(group);
        }
        decided
    }

    /// Whether no waiter is in the queue before a new demand. A growing guard does not wait behind those that may be
    /// waiting for it.
    fn is_first(&self, core: &Locked<'_>, demand: Demand<'_>) -> bool {
        let index = demand.request.group().index;
        let grows = demand.from.is_some() && !self.is_growing_guard_queued(core, index);
        // A demand to be pinned stays behind those that are set aside.
        let behind =
            demand.request.is_pinned() && demand.from.is_none() && self.has_set_aside(core, index);
        grows || (!behind && self.is_queue_empty(core, index))
    }

    /// Counts an admitted demand and tells of it.
    pub(crate) fn count_admitted(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        location: &'static Location<'static>,
    ) -> Result<Word, Error> {
        if !core.can_count(demand.request, demand.from) {
            return Err(group_full_error(GroupLimit::Bytes, demand.request));
        }
        let index = demand.request.group().index;
        let foreseen = core.group_mut(index).foreseen.take();
        let word = self.count_and_emit(core, demand, location);
        if word.overflows() {
            // Others were counted without the lock since it was looked at. A guard that has left meanwhile may have taken this
            // for one that stays.
            self.undo_admission(core, demand, |_| {});
            core.defer_group(demand.request.group());
            let what = if word.drives_too_many() {
                GroupLimit::DrivingGuards
            } else {
                GroupLimit::Bytes
            };
            return Err(group_full_error(what, demand.request));
        }
        let state = core.group_mut(index);
        if let Some(Foreseen { baseline, limit }) = foreseen {
            state.answered = Some((state.version, baseline, limit));
        }
        Ok(word)
    }

    /// [`count_admitted`](Self::count_admitted) for a demand that the state word can hold.
    fn count_and_emit(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        location: &'static Location<'static>,
    ) -> Word {
        let Demand {
            request,
            from,
            waiter,
            pin,
            ..
        } = demand;
        if let Some(key) = pin {
            core.pin(
                key,
                request,
                waiter.map_or(location, |waiter| waiter.location),
            );
        }
        let attribute = |event: &mut Event| match waiter {
            Some(waiter) => waiter.attribute(event),
            None => event.place = Some(location),
        };
        if let Some(from) = from {
            let word = core.replace(from, request);
            let kind = resized(from);
            self.emit(core, kind, Some(request), attribute);
            self.note_resident(core, request, Some(from));
            return word;
        }
        if request.kind().is_driving() && self.is_watched() {
            self.open_epoch(core);
        }
        self.emit(core, EventKind::AdmissionGranted, Some(request), attribute);
        let word = core.add(request);
        self.emit(core, EventKind::TicketStarted, Some(request), attribute);
        self.note_resident(core, request, None);
        word
    }

    /// Undoes an admission: of a new guard, or of a grown one, which goes back to `from`.
    pub(crate) fn undo_admission(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        attribute: impl FnOnce(&mut Event),
    ) {
        let Demand { request, from, .. } = demand;
        if let Some(key) = demand.pin {
            core.unpin(key, request, from);
        }
        let (kind, told) = match from {
            None => {
                core.subtract(request);
                (EventKind::TicketEnded, request)
            }
            Some(from) => {
                core.replace(request, from);
                (resized(request), from)
            }
        };
        self.emit(core, kind, Some(told), attribute);
    }
}

/// A guard has another ticket in place of `from`.
fn resized(from: &Request) -> EventKind {
    EventKind::TicketResized {
        from: from.bytes(),
        from_ticket: from.id(),
    }
}
