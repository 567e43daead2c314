//! Which threads sleep on a manager's clock: only then is a thread that waits done with everything else. To ask the manager
//! who waits takes its lock, and so interferes.

use arc_swap::ArcSwapOption;
use mlx_wired::clock::{Clock, Sleeper};
use std::collections::HashSet;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Instant;

/// Without a lock of the standard library, into which ThreadSanitizer does not see.
static ASLEEP: ArcSwapOption<HashSet<ThreadId>> = ArcSwapOption::const_empty();

/// A clock that notes who sleeps on it.
#[derive(Debug)]
pub(crate) struct NotingClock<C>(pub(crate) C);

impl<C: Clock> Clock for NotingClock<C> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let thread = thread::current().id();
        note(|asleep| asleep.insert(thread));
        self.0.park(sleeper, deadline);
        note(|asleep| asleep.remove(&thread));
    }
}

fn note(change: impl Fn(&mut HashSet<ThreadId>) -> bool) {
    ASLEEP.rcu(|asleep| {
        let mut asleep = asleep.as_deref().cloned().unwrap_or_default();
        change(&mut asleep);
        Some(Arc::new(asleep))
    });
}

/// Whether a thread sleeps on a [`NotingClock`], or will without doing anything before.
pub(crate) fn is_asleep(thread: ThreadId) -> bool {
    let asleep = ASLEEP.load();
    asleep.as_ref().is_some_and(|it| it.contains(&thread))
}
