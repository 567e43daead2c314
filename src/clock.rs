//! Time, replaceable in tests.

use crate::sync::{Mutex, Parker, Unparker};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The monotonic clock of a [`Manager`](crate::Manager).
///
/// Deadlines, cooldown, linger and back-off are counted on it. Both methods are called with nothing to catch a
/// panic, and `now` while others wait: they must not panic, nor call the manager.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The present time.
    fn now(&self) -> Instant;

    /// Parks the thread until `sleeper` is woken, the clock has reached `deadline`, or spuriously.
    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>);
}

/// The calling thread's side of one wait: what a [`Clock`] parks.
#[derive(Debug)]
pub struct Sleeper(Parker);

impl Default for Sleeper {
    fn default() -> Self {
        Self::new()
    }
}

impl Sleeper {
    /// For a thread that waits on a [`Clock`].
    #[must_use]
    pub fn new() -> Self {
        Self(Parker::new())
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.0.unparker().clone())
    }

    /// Parks until woken.
    pub fn park(&self) {
        self.0.park();
    }

    /// Parks until woken or until `deadline` on the system's clock.
    pub fn park_deadline(&self, deadline: Instant) {
        self.0.park_deadline(deadline);
    }

    /// A handle that wakes this sleeper from another thread.
    #[must_use]
    pub fn wake_handle(&self) -> Waker {
        self.waker()
    }
}

/// Wakes one [`Sleeper`].
#[derive(Debug, Clone)]
pub struct Waker(Unparker);

impl Waker {
    /// Wakes the sleeper, or lets its next park return at once.
    pub fn wake(&self) {
        self.0.unpark();
    }
}

/// The system's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => sleeper.park_deadline(deadline),
            None => sleeper.park(),
        }
    }
}

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
    /// How often somebody has slept.
    sleeps: u64,
    /// Whoever sleeps until a deadline, by that deadline and the number of the sleep.
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

    /// Moves the time forward and wakes whoever's deadline has come.
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
