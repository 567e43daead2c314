//! How waiters come and go: with their numbers, and since when their queues stand still.

use crate::manager::state::core::Core;
use crate::manager::state::group_state::GroupState;
use crate::manager::state::stall::Stall;
use crate::manager::state::waiter::Waiter;
use crate::sync::{Arc, Ordering};
use std::time::Instant;

impl Core {
    /// Puts a waiter in the queue, at its key.
    pub(crate) fn enqueue(&mut self, waiter: Arc<Waiter>, now: Instant) {
        let begun = Some(Stall::begin(now));
        if self.queued == 0 {
            self.stall = begun;
        }
        self.queued += 1;
        self.waiting_with_guards += u64::from(waiter.has_guard);
        let state = self.group_mut(waiter.request.group().index);
        if state.queue.is_empty() {
            state.stall = begun;
        }
        state.queued_spans.include(&waiter);
        state.queue.insert(waiter.key(), waiter);
        state.publish_waiters();
    }

    /// Sets a waiter aside that is in no queue.
    pub(crate) fn set_aside(&mut self, waiter: Arc<Waiter>, now: Instant) {
        self.set_aside_count += 1;
        self.waiting_with_guards += u64::from(waiter.has_guard);
        *waiter.set_aside_since.lock() = Some(Stall::begin(now));
        let state = self.group_mut(waiter.request.group().index);
        state.set_aside_spans.include(&waiter);
        state.set_aside.insert(waiter.number, waiter);
        state.publish_waiters();
    }

    /// Whether a waiter is set aside.
    pub(crate) fn is_set_aside(&self, waiter: &Waiter) -> bool {
        let state = self.group(waiter.request.group().index);
        state.set_aside.contains_key(&waiter.number)
    }

    /// Takes a waiter out of the queue, or from those set aside, if it is there.
    pub(crate) fn remove_waiter(&mut self, waiter: &Waiter) -> Option<Arc<Waiter>> {
        let state = self.group_mut(waiter.request.group().index);
        if let Some(taken) = state.queue.remove(&waiter.key()) {
            state.publish_waiters();
            self.queued -= 1;
            self.waiting_with_guards -= u64::from(taken.has_guard);
            return Some(taken);
        }
        let taken = state.set_aside.remove(&waiter.number)?;
        state.delayed.remove(&waiter.number);
        // Demands to be pinned may have been set aside behind it.
        state.mark.freed = true;
        state.publish_waiters();
        self.set_aside_count -= 1;
        self.waiting_with_guards -= u64::from(taken.has_guard);
        Some(taken)
    }

    /// Takes all waiters of a group.
    pub(crate) fn remove_waiters(&mut self, index: usize) -> Vec<Arc<Waiter>> {
        let state = self.group_mut(index);
        let queue = std::mem::take(&mut state.queue);
        let set_aside = std::mem::take(&mut state.set_aside);
        state.delayed.clear();
        state.publish_waiters();
        self.queued -= queue.len() as u64;
        self.set_aside_count -= set_aside.len() as u64;
        let all: Vec<_> = queue.into_values().chain(set_aside.into_values()).collect();
        self.waiting_with_guards -= all.iter().filter(|waiter| waiter.has_guard).count() as u64;
        all
    }

    /// How many are in the queue in all groups.
    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    /// How many are in the queue of a group: that of all groups, under a budget over them.
    pub(crate) fn queue_length(&self, index: usize) -> u64 {
        match self.config.budget {
            Some(_) => self.queued,
            None => self.group(index).queue.len() as u64,
        }
    }

    /// How many wait in all groups, in the queue or set aside.
    pub(crate) fn waiters(&self) -> u64 {
        self.queued + self.set_aside_count
    }
}

impl GroupState {
    fn publish_waiters(&self) {
        // Relaxed: a figure for people.
        let waiters = &self.shared.waiters;
        let count = (self.queue.len() + self.set_aside.len()) as u64;
        waiters.store(count, Ordering::Relaxed);
    }
}
