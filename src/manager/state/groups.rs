//! The groups of a manager: which there are, and which of them a transition looks at.
//!
//! A server may keep a policy for each of ten thousand sessions, and most of their groups are idle: no guard lives in them
//! and no demand waits. A transition must not pay for those. So it walks the *listed* groups only.
//!
//! A group that is not listed is idle and its gates are closed, so the next acquire comes for the lock and lists it. A
//! group is struck off only under the lock: its gates are closed first, then its word is read by a read-modify-write.
//! An acquire that adds its demand later finds the cover closed, as it would in a session, and comes for the lock.
//!
//! To list a group again costs a session. So idle groups stay listed until the list has doubled, or until no acquire of a
//! whole round of acquires under the lock was for them. So a program that uses a few policies in turn never pays for this,
//! and beside many idle groups a transition soon looks at those in use alone.
//!
//! A group that no ticket refers to is *unused*. Unused groups are forgotten when the next ticket is made after as many
//! tickets have gone as there are groups. So on average a ticket that goes pays for a look at one group, and the memory of a
//! burst of policies goes back.

use crate::manager::state::group::Group;
use crate::manager::state::group_state::{GroupKey, GroupState};
use crate::sync::Arc;
use std::collections::HashMap;

/// How many groups are listed, and how many tickets go, before any group is looked at for that. The models have few groups.
const FEW: usize = if cfg!(any(loom, shuttle)) { 1 } else { 32 };

/// After so many acquires under the lock, idle groups are struck off that none of them was for.
const ROUND: u32 = if cfg!(any(loom, shuttle)) { 2 } else { 64 };

/// The part under the manager's lock.
#[derive(Debug)]
pub(crate) struct Groups {
    slots: Vec<Option<GroupState>>,
    /// The empty slots.
    free: Vec<usize>,
    /// By id and form: policies of different forms never share a group.
    by_id: HashMap<GroupKey, usize>,
    /// Those that a transition looks at, in ascending order.
    listed: Vec<usize>,
    /// At how many listed groups the idle ones are struck off.
    strike_at: usize,
    /// The acquires of the present round.
    acquires: u32,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            listed: Vec::new(),
            strike_at: FEW,
            acquires: 0,
        }
    }
}

impl Groups {
    pub(crate) fn get(&self, index: usize) -> &GroupState {
        self.slots[index]
            .as_ref()
            .expect("a ticket keeps its group")
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut GroupState {
        self.slots[index]
            .as_mut()
            .expect("a ticket keeps its group")
    }

    /// The group of an id and form, if there is one.
    pub(crate) fn find(&self, key: &GroupKey) -> Option<usize> {
        self.by_id.get(key).copied()
    }

    /// Those that a transition looks at: all that have guards or waiters, and some that are idle.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &GroupState> {
        self.listed.iter().map(|index| self.get(*index))
    }

    /// All of them, to be destroyed.
    pub(crate) fn into_states(self) -> impl Iterator<Item = GroupState> {
        self.slots.into_iter().flatten()
    }

    /// One of them, idle or not.
    pub(crate) fn any(&self) -> Option<&Arc<Group>> {
        self.slots
            .iter()
            .flatten()
            .map(|state| &state.shared)
            .next()
    }

    /// All of them, idle ones too.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut GroupState> {
        self.slots.iter_mut().flatten()
    }

    /// Sees to it that transitions look at a group, before anything is counted or queued in it under the lock.
    pub(crate) fn list(&mut self, index: usize) {
        self.get_mut(index).asked_for = true;
        self.acquires += 1;
        let is_new = self.listed.binary_search(&index);
        if let Err(position) = is_new {
            self.listed.insert(position, index);
        }
        let are_many = is_new.is_err() && self.listed.len() >= self.strike_at;
        if are_many || self.acquires >= ROUND {
            self.strike_off(index, are_many);
        }
    }

    /// Strikes idle groups off the list: those that this round was not for, or all but one that is about to be used.
    fn strike_off(&mut self, used: usize, all: bool) {
        let Self { slots, listed, .. } = self;
        listed.retain(|index| {
            let state = slots[*index].as_mut().expect("a listed group is there");
            let spared = std::mem::take(&mut state.asked_for) && !all;
            *index == used || spared || !state.close_if_idle()
        });
        self.acquires = 0;
        self.strike_at = (self.listed.len() * 2).max(FEW);
    }

    /// Adds a group. Returns where it is.
    pub(crate) fn add(&mut self, mut state: GroupState) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        state.shared = Arc::new(Group::new(index, state.shared.custom));
        self.by_id.insert(state.key.clone(), index);
        self.slots[index] = Some(state);
        index
    }

    /// Whether unused groups are looked for, after so many tickets have gone.
    pub(crate) fn may_be_unused(&self, gone: u64) -> bool {
        gone >= self.by_id.len().max(FEW) as u64
    }

    /// Forgets the groups that no ticket refers to any more and nothing lives in. Returns them.
    pub(crate) fn forget_unused(&mut self) -> Vec<GroupState> {
        let mut forgotten = Vec::new();
        let mut end = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(unused) = slot.take_if(|state| state.is_unused()) {
                self.by_id.remove(&unused.key);
                forgotten.push(unused);
            }
            if slot.is_some() {
                end = index + 1;
            }
        }
        if forgotten.is_empty() {
            return forgotten;
        }
        self.listed.retain(|index| self.slots[*index].is_some());
        self.slots.truncate(end);
        // The lowest is used first.
        let free = (0..end).rev().filter(|index| self.slots[*index].is_none());
        self.free = free.collect();
        self.shrink_memory();
        forgotten
    }

    /// Gives back the memory that is far more than what there is needs.
    fn shrink_memory(&mut self) {
        let many = (2 * self.by_id.len()).max(FEW);
        if self.slots.capacity() > 2 * many {
            self.slots.shrink_to(many);
            self.listed.shrink_to(many);
        }
        if self.by_id.capacity() > 4 * many {
            self.by_id.shrink_to(many);
        }
    }
}
