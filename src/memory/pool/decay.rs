//! Blocks that have been idle for too long are unmapped, also when nobody calls.
//!
//! The thread that does it lives only while blocks are idle, and refers to the pool weakly.

use super::inner::Inner;
use super::state::State;
use crate::clock::{Clock, Sleeper};
use crate::sync::Weak;
use std::time::Instant;

/// The thread sleeps for at least this part of the decay, so that blocks that come and go do not wake it for each.
const SHORTEST: u32 = 8;

impl Inner {
    /// Unmaps what has been idle for too long, and tells when the next block will have been.
    pub(super) fn maintain(&self) -> Option<Instant> {
        let decay = self.decay?;
        let now = self.clock.now();
        let oldest = self.locked(|state, after| match now.checked_sub(decay) {
            Some(bound) => state.evict_until(bound, after),
            None => state.oldest(),
        });
        oldest.and_then(|oldest| oldest.checked_add(decay))
    }

    /// Starts the thread, if there is something for it to do and none.
    pub(super) fn start_housekeeping(&self, state: &mut State) {
        let is_wanted = self.housekeeping && self.decay.is_some() && state.idle() > 0;
        if !is_wanted || state.housekeeper.is_some() {
            return;
        }
        let sleeper = Sleeper::new();
        let waker = sleeper.waker();
        let (this, clock) = (self.this.clone(), self.clock.clone());
        let spawned = crate::sync::spawn("mlx-wired pool", move || {
            keep_house(&this, &*clock, &sleeper);
        });
        // Where no thread is to be had, the next buffer that comes back asks again.
        if spawned.is_ok() {
            state.housekeeper = Some(waker);
        }
    }

    /// When the thread looks again; never, if it has ended.
    fn look(&self) -> Option<Instant> {
        // Before the look: time that passes meanwhile makes the sleep no longer.
        let now = self.clock.now();
        if let Some(due) = self.maintain() {
            let shortest = self.decay.unwrap_or_default() / SHORTEST;
            return Some(due.max(now + shortest));
        }
        // Looked at again with the lock: a block may have come back since.
        self.locked(|state, _| {
            if state.idle() > 0 {
                return Some(self.clock.now());
            }
            state.housekeeper = None;
            None
        })
    }
}

fn keep_house(this: &Weak<Inner>, clock: &dyn Clock, sleeper: &Sleeper) {
    loop {
        // Not held while it sleeps.
        let next = this.upgrade().and_then(|inner| inner.look());
        let Some(next) = next else { return };
        clock.park(sleeper, Some(next));
    }
}
