//! A clock that knows who sleeps, and who is awake.

use mlx_wired::clock::{Clock, FakeClock, Sleeper};
use shuttle::thread::{ThreadId, current};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

shuttle::thread_local! {
    /// That this thread has looked at the clock.
    static PRESENCE: OnceCell<Presence> = const { OnceCell::new() };
}

/// What no model checker sees.
#[derive(Debug, Default)]
struct Threads {
    /// Those that have looked at the clock and have not ended.
    present: HashSet<ThreadId>,
    asleep: HashSet<ThreadId>,
}

#[derive(Debug, Clone, Default)]
struct Watch(Arc<Mutex<Threads>>);

impl Watch {
    fn change<R>(&self, change: impl FnOnce(&mut Threads) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A thread is present until this is dropped, as it ends.
struct Presence {
    me: ThreadId,
    watch: Watch,
}

impl Presence {
    fn begin(watch: Watch) -> Self {
        let me = current().id();
        watch.change(|threads| threads.present.insert(me));
        Self { me, watch }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.watch
            .change(|threads| threads.present.remove(&self.me));
    }
}

#[derive(Debug, Clone)]
pub(super) struct WatchedClock {
    clock: FakeClock,
    watch: Watch,
}

impl WatchedClock {
    pub(super) fn new(clock: FakeClock) -> Self {
        Self {
            clock,
            watch: Watch::default(),
        }
    }

    /// How many of these threads sleep, or are about to wake.
    pub(super) fn asleep(&self, among: &[ThreadId]) -> usize {
        self.watch.change(|threads| {
            among
                .iter()
                .filter(|id| threads.asleep.contains(id))
                .count()
        })
    }

    /// Whether a thread that is not known is awake: the manager's own, which looks at the clock before it does anything.
    pub(super) fn is_awake_beside(&self, is_known: impl Fn(&ThreadId) -> bool) -> bool {
        self.watch.change(|threads| {
            let mut awake = threads.present.difference(&threads.asleep);
            awake.any(|id| !is_known(id))
        })
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> Instant {
        // A thread may look once more while it ends.
        let _gone = PRESENCE.try_with(|presence| {
            presence.get_or_init(|| Presence::begin(self.watch.clone()));
        });
        self.clock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        let me = current().id();
        self.watch.change(|threads| threads.asleep.insert(me));
        self.clock.park(sleeper, deadline);
        self.watch.change(|threads| threads.asleep.remove(&me));
    }
}
