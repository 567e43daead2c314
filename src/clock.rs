//! Time, replaceable in tests.

use crate::sync::{Mutex, Parker, Unparker};
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

impl Sleeper {
    pub(crate) fn new() -> Self {
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
    /// Whoever sleeps until a deadline, with that deadline.
    sleepers: Vec<(Instant, Waker)>,
}

impl FakeClock {
    /// A clock that stands still.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(FakeTime {
            now: Instant::now(),
            sleepers: Vec::new(),
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
            let now = time.now;
            let (due, later) = time.sleepers.drain(..).partition(|(at, _)| *at <= now);
            time.sleepers = later;
            due
        };
        let due: Vec<(Instant, Waker)> = due;
        for (_, waker) in due {
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
        if let Some(deadline) = deadline {
            let mut time = self.0.lock();
            if time.now >= deadline {
                return;
            }
            time.sleepers.push((deadline, sleeper.waker()));
        }
        sleeper.park();
    }
}
