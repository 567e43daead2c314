//! Blocks that have been idle for too long are unmapped, also without a call.
//!
//! The thread that does it lives only while blocks are idle, and refers to the pool weakly.

use super::inner::Inner;
use super::state::State;
use crate::clock::{Clock, Sleeper};
use crate::sync::spawn;
use std::sync::Weak;
use std::time::Instant;

/// The thread sleeps for at least this part of the decay, so that blocks that come and go do not wake it for each.
const SHORTEST: u32 = 8;

impl Inner {
    /// Unmaps what has been idle for too long, and tells since when the oldest of the rest is idle.
    pub(super) fn maintain(&self) -> Option<Instant> {
        let decay = self.decay?;
        let now = self.clock.now();
        self.locked(|state, after| match now.checked_sub(decay) {
            Some(bound) => state.evict_until(bound, after),
            None => state.oldest(),
        })
    }

    /// Starts the thread, if there is something for it to do and none.
    pub(super) fn start_housekeeping(&self, state: &mut State) {
        let is_wanted = self.housekeeping && self.decay.is_some() && state.idle() > 0;
        if !is_wanted || state.housekeeper.is_some() {
            return;
        }
        let sleeper = Sleeper::new();
        let waker = sleeper.wake_handle();
        let (this, clock) = (self.this.clone(), self.clock.clone());
        let spawned = spawn("mlx-wired pool", move || {
            run_housekeeping(&this, &*clock, &sleeper);
        });
        // Where no thread is to be had, the next buffer that comes back asks again.
        if spawned.is_ok() {
            state.housekeeper = Some(waker);
        }
    }

    fn evict_due(&self) -> Next {
        // Before the look: time that passes meanwhile makes the sleep no longer.
        let now = self.clock.now();
        if let Some(oldest) = self.maintain() {
            let decay = self.decay.unwrap_or_default();
            let due = oldest.checked_add(decay);
            let earliest = now.checked_add(decay / SHORTEST);
            let next = due.zip(earliest);
            return Next::Check(next.map(|(due, earliest)| due.max(earliest)));
        }
        // Looked at again with the lock: a block may have come back since.
        self.locked(|state, _| {
            if state.idle() > 0 {
                return Next::Check(Some(now));
            }
            state.housekeeper = None;
            Next::End
        })
    }
}

/// What the thread does next.
enum Next {
    /// It looks then; later than the clock can tell is when the pool ends.
    Check(Option<Instant>),
    End,
}

fn run_housekeeping(this: &Weak<Inner>, clock: &dyn Clock, sleeper: &Sleeper) {
    loop {
        // Not held while it sleeps.
        let next = this.upgrade().map_or(Next::End, |inner| inner.evict_due());
        let Next::Check(when) = next else { return };
        clock.park(sleeper, when);
    }
}
