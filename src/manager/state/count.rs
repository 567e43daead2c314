//! Counting: demands in their groups' words, pinned ones in their groups' sums, and the policy that speaks for a group.

use crate::kind::Kind;
use crate::manager::state::core::Core;
use crate::manager::state::group::Residents;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::manager::state::spans::Mark;
use crate::manager::state::word::Word;
use crate::sync::{Arc, Ordering};
use std::panic::Location;

impl Core {
    /// Whether `request`'s group can count its demand, in place of `from`'s if there is one.
    pub(crate) fn can_count(&self, request: &Request, from: Option<&Arc<Request>>) -> bool {
        let word = self.group(request.group().index).shared.load();
        let held = from.map_or(0, |from| from.demand());
        Word(word.0.wrapping_sub(held))
            .checked_add(request.demand())
            .is_some()
    }

    /// Counts `request`'s demand in its group. Returns the group's word.
    pub(crate) fn add(&mut self, request: &Request) -> Word {
        // Not before: the group may have been struck off while a policy was asked without the lock.
        self.groups.list(request.group().index);
        let state = self.set_speaker(request);
        if !request.kind().is_driving() {
            state.reservations += 1;
        }
        state.version += 1;
        state.list_size(request);
        let word = request.add();
        if request.kind() == Kind::Resident {
            // After the word: an acquire that goes by fewer residents than there are comes for the lock at worst.
            let residents = &request.group().gates.residents;
            residents.fetch_add(Residents::COMES, Ordering::Release);
        }
        word
    }

    /// Enters a counted demand among the pinned demands of its group.
    pub(crate) fn pin(
        &mut self,
        key: PinKey,
        request: &Request,
        location: &'static Location<'static>,
    ) {
        let state = self.group_mut(request.group().index);
        // A guard that changes its size keeps the location where it was acquired.
        let was = state.pinned.remove(key);
        let location = was.map_or(location, |(_, location)| location);
        state.pinned.add(key, request, location, false);
        let (before, now) = (was.map(|(bytes, _)| bytes), Some(request.bytes()));
        state.mark(before, now);
        // A pinned demand that shrinks completes no deadlock.
        self.may_deadlock |= now > before;
    }

    /// Enters a guard that is leaked among the pinned demands that are not evictable; if it is one already, in place of
    /// that.
    pub(crate) fn leak(
        &mut self,
        key: PinKey,
        request: &Request,
        location: &'static Location<'static>,
    ) {
        let state = self.group_mut(request.group().index);
        state.pinned.remove(key);
        state.pinned.add(key, request, location, true);
        // It stays for ever, and other demands must fit beside it.
        state.mark = Mark::ALL;
        self.may_deadlock = true;
    }

    /// Takes a demand out of the pinned demands of its group, or goes back to what it was before.
    pub(crate) fn unpin(&mut self, key: PinKey, request: &Request, from: Option<&Arc<Request>>) {
        let state = self.group_mut(request.group().index);
        let was = state.pinned.remove(key);
        if let (Some(from), Some((_, location))) = (from, was) {
            state.pinned.add(key, from, location, false);
        }
        state.mark(Some(request.bytes()), from.map(|from| from.bytes()));
    }

    /// Takes `request`'s demand out of its group. Returns the group's word.
    pub(crate) fn subtract(&mut self, request: &Request) -> Word {
        let state = self.group_mut(request.group().index);
        if !request.kind().is_driving() {
            state.reservations -= 1;
        }
        state.version += 1;
        if request.is_grown() {
            self.note_grown(false);
        }
        if request.kind() == Kind::Resident {
            // Before the word: an acquire that sees the resident gone from the word sees it gone here, too.
            let residents = &request.group().gates.residents;
            residents.fetch_add(Residents::GOES, Ordering::Release);
        }
        request.subtract()
    }

    /// Counts `to`'s demand in place of `from`'s, in the same group. Returns the group's word.
    pub(crate) fn replace(&mut self, from: &Request, to: &Request) -> Word {
        let state = if to.bytes() > from.bytes() {
            self.set_speaker(to)
        } else {
            // Less is not admitted: the policy that speaks for the group stays.
            self.group_mut(to.group().index)
        };
        state.version += 1;
        state.list_size(to);
        if from.is_grown() != to.is_grown() {
            self.note_grown(to.is_grown());
        }
        to.add_in_place_of(from)
    }

    /// Notes that a guard that was grown lives, or lives no more. What is called for is rounded then, or no more: so a
    /// session decides.
    fn note_grown(&mut self, lives: bool) {
        if lives {
            self.grown += 1;
        } else {
            self.grown -= 1;
        }
        if self.step_of_grown() > 1 {
            self.standing = None;
        }
    }

    /// Lets the newest admitted policy of a group speak for it.
    fn set_speaker(&mut self, request: &Request) -> &mut GroupState {
        let budget = self.device_budget;
        let index = request.group().index;
        let state = self.groups.get_mut(index);
        state.wants_sizes = request.wants_sizes();
        let speaks = if state.custom() {
            Arc::ptr_eq(&state.policy, request.policy())
        } else {
            state.formula == request.formula()
        };
        if !speaks {
            state.formula = request.formula();
            self.replaced.push(std::mem::replace(
                &mut state.policy,
                request.policy().clone(),
            ));
            state.resolved = request.formula().resolve(budget);
            state.label = request.policy_label().clone();
            // The old formula's cover says nothing about the new one's.
            state.shared.gates.cover.store(0, Ordering::Release);
        }
        state
    }
}
