//! From admission to the guard: the limit must cover the demand first.

use crate::Error;
use crate::error::Obstacle;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::limit::standing::are_gates_left_closed;
use crate::manager::state::demand::Demand;
use crate::manager::state::grant::{Admission, Waited};
use crate::manager::state::group_state::GroupState;
use crate::manager::state::key::next_key;
use crate::manager::state::request::Request;
use crate::manager::state::uncovered::{CallState, Uncovered};
use crate::manager::state::word::Word;
use crate::sync::Ordering;
use std::time::Duration;

impl Inner {
    /// Returns once the limit covers an admitted demand, by this thread's call or another's.
    ///
    /// `key` is the entry in
    /// [`Core::uncovered`](crate::manager::state::core::Core::uncovered) that was made at the admission of a waiter.
    pub(crate) fn cover(
        &self,
        core: &mut Locked<'_>,
        demand: Demand<'_>,
        at_admission: Word,
        waited: Option<Waited>,
        waits: bool,
        mut key: Option<u64>,
    ) -> Result<Admission, Error> {
        let request = demand.request;
        // While work is pending or a subscriber listens, every transition is a session of its own; so is the first of a
        // group after that, which opens its gates. A running session decides again anyway.
        let left_closed =
            request.kind().is_driving() && are_gates_left_closed(core, request.group().index);
        let mut looked = core.busy || !(left_closed || core.must_close_gates(self));
        if looked {
            self.ask_again(core, request);
        }
        if core.has_deferred() {
            // A call that any thread makes from here on is to cover the demand, too.
            key = key.or_else(|| Some(await_cover(core, demand)));
            self.pump_deferred(core);
            self.reconcile(core);
        }
        let (mut slept, mut called) = (false, false);
        let failure = loop {
            let uncovered = key.and_then(|key| core.uncovered.get(&key));
            match uncovered.map(|uncovered| &uncovered.call) {
                Some(CallState::Failed(failure)) => break Some(failure.clone()),
                Some(CallState::Done) if !falls(core, request) => break None,
                _ => {}
            }
            let covered = self.is_covered(core, request) || raises_nothing(core, request);
            if looked && covered && !falls(core, request) {
                break None;
            }
            if core.busy && !waits {
                return Err(self.withdraw(core, demand, key));
            }
            key = key.or_else(|| Some(await_cover(core, demand)));
            if core.busy {
                core.sleepers += 1;
                let seen = self.calls_word.load(Ordering::Acquire);
                core.unlocked(|| crate::sync::wait(&self.calls_word, seen));
                core.sleepers -= 1;
                slept = true;
            } else {
                core.busy = true;
                self.run_session(core);
                called = true;
            }
            looked = true;
        };
        if let Some(key) = key {
            core.uncovered.remove(&key);
        }
        if let Some(failure) = failure
            && !failure.proceed
        {
            return Err(Error::SetLimit {
                limit: failure.limit,
                source: failure.error,
            });
        }
        core.stats.admissions += 1;
        if let Some(waited) = waited {
            core.note_wait(waited.time);
        }
        if slept && !called {
            core.stats.coalesced += 1;
        }
        Ok(self.admission(core, demand, at_admission, waited))
    }

    /// What a guard remembers of its admission.
    pub(crate) fn admission(
        &self,
        core: &Locked<'_>,
        demand: Demand<'_>,
        at_admission: Word,
        waited: Option<Waited>,
    ) -> Admission {
        let request = demand.request;
        let state = core.group(request.group().index);
        Admission {
            word: at_admission,
            waited: waited.map_or(Duration::ZERO, |waited| waited.time),
            since: match waited {
                Some(waited) => Some(waited.until),
                None => self.is_watched().then(|| self.clock.now()),
            },
            wanted: state.limit(at_admission, core.baseline()),
            epoch: if core.epoch.open {
                core.epoch.number
            } else {
                0
            },
            pin: demand.pin,
        }
    }

    /// Marks the demands that the limit covers by now: a session has decided with all of them counted. They need no
    /// call, and no session of their own even while work is pending.
    pub(crate) fn cover_waiters(&self, core: &mut Locked<'_>) {
        let limit = in_force_meanwhile(core);
        let mut uncovered = std::mem::take(&mut core.uncovered);
        for Uncovered { request, call, .. } in uncovered.values_mut() {
            if call.is_awaited()
                && (is_covered_by(core, limit, request) || raises_nothing(core, request))
            {
                *call = CallState::Done;
            }
        }
        core.uncovered = uncovered;
    }

    /// Whether the limit covers an admitted demand.
    pub(crate) fn is_covered(&self, core: &Locked<'_>, request: &Request) -> bool {
        is_covered_by(core, core.guaranteed, request)
    }

    /// Takes the demand of a `try_acquire` back: another thread's setter call is in flight.
    fn withdraw(&self, core: &mut Locked<'_>, demand: Demand<'_>, key: Option<u64>) -> Error {
        let request = demand.request;
        if let Some(key) = key {
            core.uncovered.remove(&key);
        }
        self.undo_admission(core, demand, |_| {});
        let error = self.would_block_error(core, demand, Some(Obstacle::Setter));
        self.after_release(core, request);
        error
    }
}

/// Enters a demand in the list of those that a call is to cover. Returns its key there.
fn await_cover(core: &mut Locked<'_>, demand: Demand<'_>) -> u64 {
    let key = next_key();
    core.await_cover(key, demand);
    key
}

impl CallState {
    /// Whether the demand waits for a call: one yet to be made, or one more since the last gave another baseline.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Needed | Self::Called)
    }
}

/// Whether a limit covers an admitted demand.
fn is_covered_by(core: &Locked<'_>, limit: Option<u64>, request: &Request) -> bool {
    if !request.kind().is_driving() && !core.epoch.open {
        return true;
    }
    let state = core.group(request.group().index);
    core.covers(limit, state, state.shared.load(), request.bytes())
}

/// What the limit does not fall below while the session's next call raises it: `guaranteed`, if that is open. Else, in
/// an open epoch, the limit in force, if that covers the groups with reservations. Driving guards were given for what
/// was covered; the others are among the uncovered.
fn in_force_meanwhile(core: &Locked<'_>) -> Option<u64> {
    if core.guaranteed.is_some() || !core.epoch.open || !core.epoch.captured || !core.known {
        return core.guaranteed;
    }
    let in_force = Some(core.applied);
    let covers = |state: &GroupState| {
        let (word, size) = (state.shared.load(), state.largest());
        state.reservations == 0 || core.covers(in_force, state, word, size)
    };
    in_force.filter(|_| core.listed_groups().all(covers))
}

/// Whether the demand is a reservation in an epoch without driving guards, one that lingers or whose end failed, and a
/// session has closed the covers on its account.
fn raises_nothing(core: &Locked<'_>, request: &Request) -> bool {
    let driven = || {
        core.listed_groups()
            .any(|state| state.shared.load().driving() > 0)
    };
    let has_ended = !core.busy && !core.left_over;
    !request.kind().is_driving() && has_ended && !core.epoch.ready && !driven()
}

/// Whether a shrink may be due since another policy speaks for the request's group.
fn falls(core: &Locked<'_>, request: &Request) -> bool {
    let index = request.group().index;
    core.standing.is_some_and(|it| it.leader == Some(index)) && leader_falls(core)
}

/// Whether a shrink may be due since another policy speaks for the group that calls for the most. Then a session must
/// decide; a running one does so anyway.
pub(crate) fn leader_falls(core: &Locked<'_>) -> bool {
    let published = core.standing.filter(|_| !core.busy);
    published.is_some_and(|published| {
        published.leader.is_some_and(|index| {
            let state = core.group(index);
            let limit = state.limit(state.shared.load(), core.epoch.baseline);
            Some(limit) <= published.shrink_to
        })
    })
}
