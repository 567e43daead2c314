//! A clock that knows who sleeps.

use mlx_wired::clock::{Clock, FakeClock, Sleeper};
use shuttle::thread::{ThreadId, current};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct WatchedClock {
    clock: FakeClock,
    /// No model checker sees it.
    asleep: Arc<Mutex<HashSet<ThreadId>>>,
}

impl WatchedClock {
    pub(super) fn new(clock: FakeClock) -> Self {
        Self {
            clock,
            asleep: Arc::default(),
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut HashSet<ThreadId>) -> R) -> R {
        change(&mut self.asleep.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many of these threads sleep, or are about to wake.
    pub(super) fn asleep(&self, among: &[ThreadId]) -> usize {
        self.change(|asleep| among.iter().filter(|id| asleep.contains(id)).count())
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let me = current().id();
        self.change(|asleep| asleep.insert(me));
        self.clock.park(sleeper, deadline);
        self.change(|asleep| asleep.remove(&me));
    }
}
