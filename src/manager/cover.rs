//! From admission to the guard: the limit must cover the demand first.

use super::Inner;
use super::admission::Admission;
use super::core::{Locked, Uncovered};
use super::waiting::next_key;
use super::word::Word;
use crate::Error;
use crate::sync::Ordering;
use crate::ticket::Ticket;
use std::time::Duration;

impl Inner {
    /// Returns once the limit covers an admitted demand, by this thread's call or another's.
    ///
    /// `from` is what a resized guard goes back to if the limit cannot be set.
    pub(super) fn cover(
        &self,
        core: &mut Locked<'_>,
        ticket: &Ticket,
        from: Option<&Ticket>,
        at_admission: Word,
        waited: Duration,
        waits: bool,
    ) -> Result<Admission, Error> {
        core.stats.note_wait(waited);
        // While something is owed or somebody watches, every transition is a session of its own.
        let mut looked = !core.routes_closed(self);
        let mut key = None;
        let failure = loop {
            let uncovered = key.and_then(|key| core.uncovered.get(&key));
            if let Some(failure) = uncovered.and_then(|uncovered| uncovered.failed.clone()) {
                break Some(failure);
            }
            if looked && (self.is_covered(core, ticket) || raises_nothing(core, ticket)) {
                break None;
            }
            if core.busy && !waits {
                return Err(self.withdraw(core, ticket, from, key));
            }
            if key.is_none() {
                let new = next_key();
                let uncovered = Uncovered {
                    ticket: ticket.clone(),
                    from: from.cloned(),
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
                self.session(core);
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
        Ok(self.admission(core, ticket, at_admission, waited))
    }

    /// What a guard remembers of its admission.
    pub(super) fn admission(
        &self,
        core: &Locked<'_>,
        ticket: &Ticket,
        at_admission: Word,
        waited: Duration,
    ) -> Admission {
        let state = core.group(ticket.group().index);
        Admission {
            word: at_admission,
            waited,
            wanted: state.limit(at_admission, core.baseline()),
            epoch: if core.epoch.open {
                core.epoch.number
            } else {
                0
            },
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
    fn withdraw(
        &self,
        core: &mut Locked<'_>,
        ticket: &Ticket,
        from: Option<&Ticket>,
        key: Option<u64>,
    ) -> Error {
        if let Some(key) = key {
            core.uncovered.remove(&key);
        }
        self.take_back(core, ticket, from);
        let error = self.would_block(core, ticket);
        self.after_release(core, ticket);
        error
    }
}

/// Whether the demand is a reservation in an epoch that nobody drives any more: one that lingers, or whose end failed.
fn raises_nothing(core: &Locked<'_>, ticket: &Ticket) -> bool {
    let driven = || {
        core.live_groups()
            .any(|state| state.shared.load().driving() > 0)
    };
    !ticket.kind().is_driving() && !core.busy && !driven()
}
