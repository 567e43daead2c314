//! Which threads sleep on a manager's clock: only then is a thread that waits done with everything else.

use mlx_wired::clock::{Clock, Sleeper};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

static ASLEEP: Mutex<Option<HashSet<ThreadId>>> = Mutex::new(None);

/// A clock that notes who sleeps on it.
#[derive(Debug)]
pub(crate) struct NotingClock<C>(pub(crate) C);

impl<C: Clock> Clock for NotingClock<C> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let thread = thread::current().id();
        noted().get_or_insert_default().insert(thread);
        self.0.park(sleeper, deadline);
        noted().get_or_insert_default().remove(&thread);
    }
}

fn noted() -> MutexGuard<'static, Option<HashSet<ThreadId>>> {
    ASLEEP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a thread sleeps on any such clock, or is about to without doing anything before.
pub(super) fn is_asleep(thread: ThreadId) -> bool {
    noted().as_ref().is_some_and(|it| it.contains(&thread))
}
