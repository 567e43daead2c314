//! A fake clock that tells who sleeps, without asking the manager: to ask takes its lock, and so interferes.

use mlx_wired::clock::{Clock, FakeClock, Sleeper};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

#[derive(Clone, Default)]
pub(crate) struct Bedside {
    pub(crate) clock: FakeClock,
    asleep: Arc<(Mutex<BTreeSet<String>>, Condvar)>,
}

/// Threads have no order.
fn name(thread: ThreadId) -> String {
    format!("{thread:?}")
}

impl Bedside {
    fn asleep(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.asleep.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a little for the thread to fall asleep. Whether it has.
    pub(crate) fn has_fallen_asleep(&self, thread: ThreadId) -> bool {
        const MOMENT: Duration = Duration::from_millis(1);
        let name = name(thread);
        let awake = |asleep: &mut BTreeSet<String>| !asleep.contains(&name);
        let waited = self
            .asleep
            .1
            .wait_timeout_while(self.asleep(), MOMENT, awake);
        let (asleep, _) = waited.unwrap_or_else(PoisonError::into_inner);
        asleep.contains(&name)
    }
}

impl Clock for Bedside {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let name = name(thread::current().id());
        self.asleep().insert(name.clone());
        self.asleep.1.notify_all();
        self.clock.park(sleeper, deadline);
        self.asleep().remove(&name);
    }
}

impl fmt::Debug for Bedside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bedside")
    }
}
