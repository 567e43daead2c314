//! Time that stands still, for tests.

use crate::sync::Mutex;
use crate::time::{Clock, Sleeper, Waker};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A clock that stands still until it is told to go on, for tests without sleeping.
///
/// Clones share the time.
///
/// ```
/// use mlx_wired::clock::{Clock, FakeClock};
/// use std::time::Duration;
///
/// let clock = FakeClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now() - before, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone)]
pub struct FakeClock(Arc<Mutex<FakeTime>>);

#[derive(Debug)]
struct FakeTime {
    now: Instant,
    /// How often a thread has slept.
    sleeps: u64,
    /// The threads that sleep until a deadline, by that deadline and the number of the sleep.
    sleepers: BTreeMap<(Instant, u64), Waker>,
}

impl FakeClock {
    /// A clock that stands still.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(FakeTime {
            now: Instant::now(),
            sleeps: 0,
            sleepers: BTreeMap::new(),
        })))
    }

    /// Moves the time forward and wakes the threads whose deadline has come.
    ///
    /// # Panics
    ///
    /// If the time is beyond what an [`Instant`] can hold.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut time = self.0.lock();
            time.now += by;
            let last = (time.now, u64::MAX);
            let later = time.sleepers.split_off(&last);
            std::mem::replace(&mut time.sleepers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.0.lock().now
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let Some(deadline) = deadline else {
            return sleeper.park();
        };
        let key = {
            let mut time = self.0.lock();
            if time.now >= deadline {
                return;
            }
            time.sleeps += 1;
            let key = (deadline, time.sleeps);
            time.sleepers.insert(key, sleeper.waker());
            key
        };
        sleeper.park();
        // It may have been woken before its deadline.
        self.0.lock().sleepers.remove(&key);
    }
}
