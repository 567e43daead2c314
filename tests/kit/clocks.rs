//! A clock on which something happens at a chosen moment.

use mlx_wired::clock::{Clock, FakeClock, Sleeper};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

type Hook = Arc<dyn Fn() + Send + Sync>;

/// A clock that stands still, and calls a function when a thread asks it for the time, before one sleeps on it, and after.
#[derive(Clone)]
pub(crate) struct HookedClock {
    time: FakeClock,
    asked: Hook,
    sleeps: Hook,
    woken: Hook,
}

impl HookedClock {
    pub(crate) fn new(time: FakeClock) -> Self {
        let nothing: Hook = Arc::new(|| {});
        Self {
            time,
            asked: nothing.clone(),
            sleeps: nothing.clone(),
            woken: nothing,
        }
    }

    pub(crate) fn when_asked(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.asked = Arc::new(hook);
        self
    }

    pub(crate) fn before_sleep(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.sleeps = Arc::new(hook);
        self
    }

    pub(crate) fn after_sleep(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.woken = Arc::new(hook);
        self
    }
}

impl fmt::Debug for HookedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedClock")
    }
}

impl Clock for HookedClock {
    fn now(&self) -> Instant {
        (self.asked)();
        self.time.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        (self.sleeps)();
        self.time.park(sleeper, deadline);
        (self.woken)();
    }
}
