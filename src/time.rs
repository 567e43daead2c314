//! Time, replaceable in tests.

use crate::sync::{Parker, Unparker};
use std::fmt;
use std::time::Instant;

/// The monotonic clock of a [`Manager`](crate::Manager).
///
/// Deadlines, cooldown, linger and back-off are counted on it. Neither method may panic, since nothing catches that, nor
/// call the manager: `now` runs while other threads wait for it.
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
