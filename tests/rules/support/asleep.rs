//! Which threads sleep on a manager's clock: only then is a thread that waits done with everything else. To ask the manager
//! who waits takes its lock, and so interferes.

use mlx_wired::clock::{Clock, Sleeper};
use std::collections::HashSet;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

static ASLEEP: LazyLock<Mutex<HashSet<ThreadId>>> = LazyLock::new(Mutex::default);
static CHANGED: Condvar = Condvar::new();

/// A clock that notes who sleeps on it.
#[derive(Debug)]
pub(crate) struct NotingClock<C>(pub(crate) C);

impl<C: Clock> Clock for NotingClock<C> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let thread = thread::current().id();
        asleep().insert(thread);
        CHANGED.notify_all();
        self.0.park(sleeper, deadline);
        asleep().remove(&thread);
    }
}

fn asleep() -> MutexGuard<'static, HashSet<ThreadId>> {
    ASLEEP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits a little for a thread to fall asleep on a [`NotingClock`]. Whether it has, or will without doing anything before.
pub(crate) fn has_fallen_asleep(thread: ThreadId) -> bool {
    const MOMENT: Duration = Duration::from_millis(1);
    let awake = |asleep: &mut HashSet<ThreadId>| !asleep.contains(&thread);
    let waited = CHANGED.wait_timeout_while(asleep(), MOMENT, awake);
    let (asleep, _) = waited.unwrap_or_else(PoisonError::into_inner);
    asleep.contains(&thread)
}
