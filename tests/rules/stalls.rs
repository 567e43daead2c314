//! The stall watch: a wait that goes on for too long is told of once, with the state that it waits in.

use crate::support::{NotingClock, Rig, SECOND, kinds, next, queued, quiet, until};
use mlx_wired::clock::{Clock, FakeClock, Sleeper};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, EventKind, Manager, SumPolicy, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn is_stall(kind: &EventKind) -> bool {
    matches!(kind, EventKind::WaitStalled { .. })
}

#[test]
fn r24_a_stalled_wait_is_told_of_once_with_the_whole_state() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let policy = SumPolicy::capped(10);
    let holder = rig.manager.ticket(&policy, 10).label("holder");
    let waiter = rig.manager.ticket(&policy, 4).label("waiter");
    let guard = holder.acquire()?;
    let waiting = queued(&rig.manager, &waiter, Wait::new());
    rig.clock.advance(10 * SECOND - Duration::from_nanos(1));
    rig.clock.advance(Duration::from_nanos(1));

    let event = next(&events, is_stall);
    assert_eq!(
        (event.ticket, event.size, event.label.as_deref()),
        (Some(waiter.id()), Some(4), Some("waiter"))
    );
    let EventKind::WaitStalled { waited, snapshot } = &event.kind else {
        panic!("{event:?}");
    };
    assert_eq!(*waited, 10 * SECOND);
    assert_eq!(snapshot.guards[0].label.as_deref(), Some("holder"));
    assert_eq!(snapshot.waiters[0].waited, 10 * SECOND);
    assert_eq!(event.thread, snapshot.waiters[0].thread);

    rig.clock.advance(100 * SECOND);
    waiting.assert_pending();
    drop(guard);
    assert_eq!(waiting.result()?.waited(), 110 * SECOND);
    assert!(!kinds(&events).iter().any(is_stall), "once");
    assert_eq!(rig.manager.stats().stalls, 1);
    rig.finish()
}

#[test]
fn r24_a_wait_that_ends_in_time_is_no_stall() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.manager.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = queued(&rig.manager, &ticket, Wait::new());
    let timed = queued(&rig.manager, &ticket, Wait::new().timeout(9 * SECOND));
    rig.clock.advance(9 * SECOND);
    assert!(timed.result().is_err_and(|error| error.is_timeout()));
    drop(guard);
    drop(waiting.result()?);
    rig.clock.advance(100 * SECOND);
    assert!(!kinds(&events).iter().any(is_stall));
    assert_eq!(rig.manager.stats().stalls, 0);
    rig.finish()
}

#[test]
fn r24_without_a_threshold_nothing_stalls() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.manager.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = queued(&rig.manager, &ticket, Wait::new());
    rig.clock.advance(1_000_000 * SECOND);
    drop(guard);
    drop(waiting.result()?);
    assert_eq!(rig.manager.stats().stalls, 0);
    rig.finish()
}

/// Counts how often somebody is parked.
#[derive(Debug, Clone)]
struct Counting {
    clock: FakeClock,
    parked: Arc<AtomicUsize>,
}

impl Clock for Counting {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        self.parked.fetch_add(1, Ordering::SeqCst);
        self.clock.park(sleeper, deadline);
    }
}

#[test]
fn r15_the_stall_watch_wakes_a_waiter_once() -> Result<(), Error> {
    let clock = Counting {
        clock: FakeClock::new(),
        parked: Arc::default(),
    };
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .clock(NotingClock(clock.clone()))
        .config(quiet().stall_after(SECOND))
        .build()?;
    let parked = || clock.parked.load(Ordering::SeqCst);
    let ticket = manager.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = queued(&manager, &ticket, Wait::new());
    until(|| parked() == 1, "it sleeps");
    clock.clock.advance(SECOND);
    until(|| parked() == 2, "it has told and sleeps again");
    clock.clock.advance(1000 * SECOND);
    drop(guard);
    drop(waiting.result()?);
    assert_eq!((parked(), manager.stats().stalls), (2, 1));
    Ok(())
}
