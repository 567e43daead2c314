//! The system's clock, made to cost now and then what a busy machine makes it cost; it counts who was woken.

use mlx_wired::clock::{Clock, Sleeper, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShakyClock {
    wakeups: Arc<AtomicU64>,
}

impl ShakyClock {
    /// How many times a waiting thread has gone on.
    pub(crate) fn wakeups(&self) -> u64 {
        self.wakeups.load(Ordering::Relaxed)
    }
}

impl Clock for ShakyClock {
    /// Called under the manager's lock too, which is then held for longer.
    fn now(&self) -> Instant {
        if fastrand::u8(..) < 8 {
            thread::yield_now();
        }
        SystemClock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        if fastrand::u8(..) < 32 {
            thread::yield_now();
        }
        SystemClock.park(sleeper, deadline);
        self.wakeups.fetch_add(1, Ordering::Relaxed);
        if fastrand::u8(..) < 32 {
            thread::yield_now();
        }
    }
}
