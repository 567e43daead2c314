//! R30: a line that admits no waiter is told of by its first one, with all that it waits for.

use crate::kit::{Custom, HookedClock, Pending, Rig, SECOND, kinds, next, quiet, until};
use mlx_wired::snapshot::{Holder, WaitReason};
use mlx_wired::{CancelToken, Error, Event, EventKind, SumPolicy, Wait};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

pub(crate) fn is_stall(kind: &EventKind) -> bool {
    matches!(kind, EventKind::WaitStalled { .. })
}

/// How long the line of a notice has admitted no waiter, how many wait behind its first, and why that waits.
#[track_caller]
pub(crate) fn told(event: &Event) -> (Duration, u64, WaitReason) {
    match &event.kind {
        EventKind::WaitStalled {
            stood, behind, why, ..
        } => (*stood, *behind, *why),
        _ => panic!("{event:?}"),
    }
}

/// How long its first has waited.
#[track_caller]
fn waited(event: &Event) -> Duration {
    match &event.kind {
        EventKind::WaitStalled { waited, .. } => *waited,
        _ => panic!("{event:?}"),
    }
}

/// The largest guard in its way.
#[track_caller]
fn largest(event: &Event) -> &Holder {
    match &event.kind {
        EventKind::WaitStalled { largest, .. } => largest.as_ref().expect("guards are in its way"),
        _ => panic!("{event:?}"),
    }
}

const WORK: WaitReason = WaitReason::Work {
    in_use: 10,
    capacity: Some(10),
};

#[test]
fn r30_a_line_that_admits_no_waiter_is_told_of_by_its_first_alone() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let policy = SumPolicy::capped(10);
    let small = rig.ticket(&policy, 2).label("small");
    let holder = rig.ticket(&policy, 8).label("holder");
    let ticket = rig.ticket(&policy, 4).label("waiter");
    let (small, guard) = (small.acquire_owned()?, holder.acquire()?);
    let first = rig.queued(&ticket);
    rig.clock.advance(SECOND);
    let second = rig.queued(&ticket);
    let thread = rig.manager.waiting()[0].thread;

    for (later, stood) in [(9, 10), (10, 20), (20, 40)] {
        rig.clock.advance(later * SECOND);
        let event = next(&events, is_stall);
        assert_eq!(told(&event), (stood * SECOND, 1, WORK));
        assert_eq!(
            (event.ticket, event.size, event.label.as_deref()),
            (Some(ticket.id()), Some(4), Some("waiter"))
        );
        assert_eq!(event.thread, thread);
        let place = event.place.expect("it was queued somewhere");
        assert!(place.file().ends_with("kit/threads.rs"), "{place}");
        assert_eq!(waited(&event), stood * SECOND);
        let largest = largest(&event);
        assert_eq!(largest.label.as_deref(), Some("holder"));
        assert_eq!((largest.bytes, largest.place.file()), (8, file!()));
    }
    drop((guard, small));
    drop((first.result()?, second.result()?));
    assert!(!kinds(&events).iter().any(is_stall), "three times");
    assert_eq!(rig.manager.stats().stalls, 3);
    rig.finish()
}

#[test]
fn r30_an_admission_begins_the_time_anew() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let first = rig.queued(&ticket);
    let second = rig.queued(&ticket);
    rig.clock.advance(10 * SECOND);
    assert_eq!(told(&next(&events, is_stall)), (10 * SECOND, 1, WORK));
    rig.clock.advance(5 * SECOND);
    drop(guard);
    let first = first.result()?;
    // For the line as it was, a notice would be due now.
    rig.clock.advance(5 * SECOND);
    rig.clock.advance(5 * SECOND);
    assert_eq!(told(&next(&events, is_stall)), (10 * SECOND, 0, WORK));
    drop(first);
    drop(second.result()?);
    assert_eq!(rig.manager.stats().stalls, 2);
    rig.finish()
}

#[test]
fn r30_the_time_goes_on_where_the_first_gives_up() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    // None of them waits for as long as a notice takes.
    let wait = || Wait::new().timeout(6 * SECOND);
    let first = rig.queued_with(&ticket, wait());
    rig.clock.advance(5 * SECOND);
    let second = rig.queued_with(&ticket, wait());
    rig.clock.advance(SECOND);
    assert!(first.result().is_err_and(|error| error.is_timeout()));
    rig.clock.advance(4 * SECOND);
    let event = next(&events, is_stall);
    assert_eq!(told(&event), (10 * SECOND, 0, WORK));
    assert_eq!(waited(&event), 5 * SECOND);
    rig.clock.advance(SECOND);
    assert!(second.result().is_err_and(|error| error.is_timeout()));
    drop(guard);
    assert_eq!(rig.manager.stats().stalls, 1);
    rig.finish()
}

#[test]
fn r30_a_first_waiter_tells_before_it_gives_up_at_that_time() -> Result<(), Error> {
    for (timeout, told) in [(10, 1), (9, 0)] {
        let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
        let ticket = rig.ticket(&SumPolicy::capped(10), 10);
        let guard = ticket.acquire()?;
        let wait = Wait::new().timeout(timeout * SECOND);
        let waiting = rig.queued_with(&ticket, wait);
        rig.clock.advance(10 * SECOND);
        assert!(waiting.result().is_err_and(|error| error.is_timeout()));
        assert_eq!(rig.manager.stats().stalls, told, "{timeout} s");
        drop(guard);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r30_a_change_of_the_time_counts_for_waits_that_begin_later() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let earlier = rig.queued(&ticket);
    rig.manager.configure(|config| config.stall_after(SECOND))?;
    let later = rig.queued(&ticket);
    rig.clock.advance(10 * SECOND);
    assert_eq!(told(&next(&events, is_stall)), (10 * SECOND, 1, WORK));
    rig.clock.advance(5 * SECOND);
    drop(guard);
    let earlier = earlier.result()?;
    rig.clock.advance(SECOND);
    assert_eq!(told(&next(&events, is_stall)), (SECOND, 0, WORK));
    drop(earlier);
    drop(later.result()?);
    rig.finish()
}

#[test]
fn r30_a_guard_that_grows_is_the_first_in_line() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let policy = SumPolicy::capped(100);
    let mut grown = rig.ticket(&policy, 60).acquire_owned()?;
    let other = rig.ticket(&policy, 40).acquire_owned()?;
    let waiting = rig.queued(&rig.ticket(&policy, 10));
    let grows = Pending::spawn(move || grown.resize(70).map(|()| grown));
    grows.until_queued(&rig.manager);
    rig.clock.advance(10 * SECOND);
    let event = next(&events, is_stall);
    assert_eq!((event.size, told(&event).1), (Some(70), 1));
    assert_eq!(largest(&event).bytes, 40, "not its own");
    drop(other);
    drop((grows.result()?, waiting.result()?));
    assert_eq!(rig.manager.stats().stalls, 1);
    rig.finish()
}

#[test]
fn r30_under_a_budget_all_groups_have_one_line() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND).budget(10))?;
    let events = rig.manager.subscribe(100);
    let [one, two] = [(); 2].map(|()| rig.ticket(&Custom::new(), 4));
    let held = rig.ticket(&Custom::new(), 8).label("held");
    let held = held.acquire_owned()?;
    let waiting = [rig.queued(&two), rig.queued(&one)];
    rig.clock.advance(10 * SECOND);
    let event = next(&events, is_stall);
    let why = WaitReason::Budget {
        in_use: 8,
        budget: 10,
    };
    assert_eq!(
        (event.ticket, told(&event)),
        (Some(two.id()), (10 * SECOND, 1, why))
    );
    assert_eq!(largest(&event).label.as_deref(), Some("held"));
    drop(held);
    for waiting in waiting {
        drop(waiting.result()?);
    }
    assert_eq!(rig.manager.stats().stalls, 1);
    rig.finish()
}

#[test]
fn r30_a_notice_says_that_a_policy_refuses_and_at_which_pressure() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let policy = Custom::capped(10);
    let guard = rig.ticket(&policy, 8).acquire_owned()?;
    let waiting = rig.queued(&rig.ticket(&policy, 4));
    rig.clock.advance(10 * SECOND);
    assert_eq!(told(&next(&events, is_stall)).2, WaitReason::Policy);
    rig.manager.set_pressure(0.5)?;
    rig.clock.advance(10 * SECOND);
    assert_eq!(told(&next(&events, is_stall)).2, WaitReason::Pressure(0.5));
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r30_a_wait_of_half_a_minute_is_told_of_by_default() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    rig.clock.advance(30 * SECOND - Duration::from_nanos(1));
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(told(&next(&events, is_stall)).0, 30 * SECOND);
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r30_a_wait_that_ends_in_time_is_no_stall() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    let timed = rig.queued_with(&ticket, Wait::new().timeout(9 * SECOND));
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
fn r30_without_a_threshold_nothing_stalls() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(None))?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    rig.clock.advance(1_000_000 * SECOND);
    drop(guard);
    drop(waiting.result()?);
    assert_eq!(rig.manager.stats().stalls, 0);
    rig.finish()
}

#[test]
fn r15_a_waiter_wakes_by_itself_only_to_look_at_its_line() -> Result<(), Error> {
    let parks = Arc::new(AtomicUsize::new(0));
    let parked = || parks.load(Ordering::SeqCst);
    let counts = parks.clone();
    let rig = Rig::clocked(quiet().stall_after(SECOND), |clock| {
        HookedClock::new(clock).before_sleep(move || {
            counts.fetch_add(1, Ordering::SeqCst);
        })
    })?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    until("it sleeps", || parked() == 1);
    for looked in [2, 3, 4] {
        rig.clock.advance(SECOND);
        until("it has looked and sleeps again", || parked() == looked);
    }
    // After one and two seconds; the third look told nothing.
    assert_eq!(rig.manager.stats().stalls, 2);
    rig.clock.advance(1000 * SECOND);
    until("it has looked and sleeps again", || parked() == 5);
    drop(guard);
    drop(waiting.result()?);
    assert_eq!((parked(), rig.manager.stats().stalls), (5, 3));
    rig.finish()
}

/// A notice falls due as the first in line is admitted or gives up: no outcome may be lost, and each
/// notice is counted.
#[test]
fn r30_a_notice_races_the_end_of_a_wait() -> Result<(), Error> {
    for round in 0..300 {
        let rig = Rig::new(quiet().stall_after(SECOND).quiet(true))?;
        let events = rig.manager.subscribe(1000);
        let ticket = rig.ticket(&SumPolicy::capped(10), 10);
        let guard = ticket.acquire_owned()?;
        let token = CancelToken::new();
        let first = match round % 3 {
            0 => rig.queued_with(&ticket, Wait::new().cancel(&token)),
            1 => rig.queued_with(&ticket, Wait::new().timeout(SECOND)),
            _ => rig.queued(&ticket),
        };
        let second = rig.queued(&ticket);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                token.cancel();
                drop(guard);
            });
            start.wait();
            rig.clock.advance(SECOND);
        });
        drop(first.result());
        drop(second.result()?);
        let stalls = kinds(&events).iter().filter(|kind| is_stall(kind)).count();
        assert_eq!(rig.manager.stats().stalls, stalls as u64);
        assert!(stalls <= 1, "{stalls}");
        rig.finish()?;
    }
    Ok(())
}
