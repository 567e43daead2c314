//! R15: waiting, and no longer waiting.

use crate::kit::{
    Brake, Custom, Pending, Rig, SECOND, acquiring, eager, numbers, quiet, until, would_block,
};
use mlx_wired::clock::Clock;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    CancelToken, Error, Guard, Kind, Manager, Obstacle, PeakPolicy, SumPolicy, Ticket, Wait,
};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

#[test]
fn r15_acquire_blocks_until_a_release() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    rig.clock.advance(Duration::from_secs(1_000_000));
    waiting.assert_pending();
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r15_try_acquire_tells_the_numbers_and_leaves_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let ticket = rig.ticket(&policy, 70);
    let guard = ticket.acquire()?;
    let refused = ticket.try_acquire().err();
    let expected = would_block(70, (70, 100), Obstacle::Cap);
    assert_eq!(refused, Some(expected));
    assert!(rig.manager.waiting().is_empty());
    drop(rig.ticket(&policy, 30).try_acquire()?);
    drop(guard);
    rig.finish()
}

#[test]
fn r15_try_acquire_does_not_wait_for_anothers_setter_call() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 10);
    let gate = rig.backend.gate();
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    let refused = ticket.try_acquire().err();
    let expected = would_block(10, (10, 100), Obstacle::Setter);
    assert_eq!(refused, Some(expected));
    gate.open();
    let guard = first.result()?;
    assert_eq!(rig.requested(), [10], "the demand went again");
    // It may make a call of its own.
    let second = ticket.try_acquire()?;
    assert_eq!(rig.requested(), [10, 20]);
    drop((guard, second));
    rig.finish()
}

#[test]
fn r15_nobody_makes_a_call_that_another_waits_for_in_addition_to_its_own() -> Result<(), Error> {
    type Way = fn(&Ticket) -> Result<(), Error>;
    let ways: [Way; 3] = [
        |ticket| ticket.try_acquire().map(Guard::leak),
        |ticket| ticket.admit_timeout(SECOND).map(Guard::leak),
        |ticket| ticket.acquire().map(Guard::leak),
    ];
    for (way, reserves) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let rig = Rig::new(quiet())?;
        let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
        let gate = rig.backend.gate();
        let first = Pending::spawn({
            let ticket = ticket.clone();
            move || way(&ticket)
        });
        gate.wait_entered(1);
        let second = if reserves {
            ticket.reservation()
        } else {
            ticket
        };
        let second = acquiring(&second);
        until("it waits", || rig.manager.snapshot().uncovered == 2);
        gate.pass(1);
        // The second's call is in flight, or will be.
        first.result()?;
        gate.open();
        drop(second.result()?);
        assert_eq!(rig.requested(), [10, 20]);
    }
    Ok(())
}

#[test]
fn r15_a_call_for_another_baseline_is_made_by_who_needs_it() -> Result<(), Error> {
    for releases in [false, true] {
        let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
        let reserved = rig.ticket(&PeakPolicy, 1).reservation();
        let reserved = Mutex::new(releases.then(|| reserved.acquire_owned()));
        let brake = Brake::default();
        let asked = brake.clone();
        let always = Custom::new().limits(move |context, _| {
            asked.stop();
            if context.baseline == 7 {
                // Queues and limit are examined again.
                drop(reserved.lock().take());
            }
            50
        });
        let always = rig.ticket(&always, 1);
        let gate = rig.backend.gate();
        let first = Pending::spawn(move || always.try_acquire().map(Guard::leak));
        brake.wait_stopped();
        let above = rig.ticket(&SumPolicy::uncapped(), 50);
        let above = acquiring(&above);
        until("it waits", || rig.manager.snapshot().uncovered == 2);
        brake.release();
        // 50 is enough for both until MLX answers that 7 was in force.
        gate.pass(1);
        first.result()?;
        gate.open();
        drop(above.result()?);
        assert_eq!(rig.requested(), [50, 57]);
    }
    Ok(())
}

#[test]
fn r15_a_call_for_what_its_policy_has_released_is_its_own() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let released = rig.ticket(&SumPolicy::uncapped(), 1);
    let released = Mutex::new(Some(released.acquire_owned()?));
    let releases = Custom::new().limits(move |context, live| {
        drop(released.lock().take());
        context.baseline + live.sum
    });
    let releases = rig.ticket(&releases, 10);
    let gate = rig.backend.gate();
    let first = Pending::spawn(move || releases.try_acquire().map(Guard::leak));
    gate.wait_entered(1);
    let above = rig.ticket(&SumPolicy::uncapped(), 20);
    let above = acquiring(&above);
    until("it waits", || rig.manager.snapshot().uncovered == 2);
    gate.pass(1);
    first.result()?;
    gate.open();
    drop(above.result()?);
    assert_eq!(rig.requested(), [1, 10, 20]);
    Ok(())
}

#[test]
fn r15_who_gives_up_makes_no_call_for_who_gets_in_by_that() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    // While somebody watches, every other transition is a session.
    let _events = rig.manager.subscribe(100);
    let of = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let guard = of(50).acquire_owned()?;
    let token = CancelToken::new();
    let head = rig.queued_with(&of(60), Wait::new().cancel(&token));
    let behind = rig.queued(&of(40));
    let gate = rig.backend.gate();
    token.cancel();
    assert!(head.result().is_err());
    gate.wait_entered(1);
    gate.open();
    drop((behind.result()?, guard));
    rig.finish()
}

#[test]
fn r15_a_release_makes_no_call_that_another_waits_for() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let (stays, leaves) = (ticket(10).acquire_owned()?, ticket(10).acquire_owned()?);
    let gate = rig.backend.gate();
    let leaves = Pending::spawn(move || leaves.release());
    gate.wait_entered(1);
    let raises = acquiring(&ticket(20));
    until("it waits", || rig.manager.snapshot().uncovered == 1);
    rig.backend.fail_next(1);
    gate.pass(1);
    let released = leaves.result();
    assert_eq!((released.lowered, released.error), (true, None));
    gate.open();
    assert!(raises.result().is_err());
    drop(stays);
    rig.finish()
}

#[test]
fn r15_a_timeout_gives_up_on_time_and_tells_the_numbers() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let ticket = rig.ticket(&policy, 70);
    let guard = ticket.acquire()?;
    let waiting = rig.queued_with(&ticket, Wait::new().timeout(5 * SECOND));
    let behind = rig.queued(&ticket);
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    waiting.assert_pending();
    rig.clock.advance(Duration::from_nanos(1));
    let expected = Error::Timeout {
        requested: 70,
        in_use: 70,
        capacity: Some(100),
        waited: 5 * SECOND,
        waiting: 1,
        contention: Box::default(),
        obstacle: Obstacle::Cap,
    };
    assert_eq!(waiting.result().err().map(numbers), Some(expected));
    assert_eq!(rig.manager.stats().timeouts, 1);
    drop(guard);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r15_a_deadline_that_has_passed_admits_what_fits_and_waits_for_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let past = rig.clock.now();
    rig.clock.advance(SECOND);
    for wait in [
        Wait::new().deadline(past),
        Wait::new().timeout(Duration::ZERO),
    ] {
        let guard = ticket.acquire_with(wait.clone())?;
        let refused = ticket.acquire_with(wait).err();
        assert!(refused.is_some_and(|error| error.is_timeout()));
        drop(guard);
    }
    drop(ticket.admit_deadline(past)?);
    drop(ticket.admit_timeout(Duration::ZERO)?);
    rig.finish()
}

#[test]
fn r15_the_earlier_of_timeout_and_deadline_counts() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let now = rig.clock.now();
    let waits = [
        Wait::new().timeout(SECOND).deadline(now + 9 * SECOND),
        Wait::new().deadline(now + SECOND).timeout(9 * SECOND),
    ];
    let waiting = waits.map(|wait| rig.queued_with(&ticket, wait));
    rig.clock.advance(SECOND);
    for pending in waiting {
        assert!(pending.result().is_err_and(|error| error.is_timeout()));
    }
    drop(guard);
    rig.finish()
}

#[test]
fn r15_a_timeout_beyond_the_clock_is_none() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued_with(&ticket, Wait::new().timeout(Duration::MAX));
    rig.clock.advance(Duration::from_secs(1 << 40));
    waiting.assert_pending();
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r15_a_wait_that_failed_holds_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let ticket = rig.ticket(&policy, 60);
    let guard = ticket.acquire()?;
    let token = CancelToken::new();
    for _ in 0..5 {
        let wait = Wait::new().timeout(SECOND).cancel(&token);
        let pending = rig.queued_with(&ticket, wait);
        rig.clock.advance(SECOND);
        assert!(pending.result().is_err());
        assert!(rig.manager.waiting().is_empty());
        // What is free is free, without a lock's detour: nobody waits.
        drop(rig.ticket(&policy, 40).try_acquire()?);
    }
    drop(guard);
    drop(rig.ticket(&policy, 100).try_acquire()?);
    rig.finish()
}

#[test]
fn r15_cancelling_races_with_admission_without_loss() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let (mut admitted, mut cancelled) = (0, 0);
    for _ in 0..200 {
        let guard = ticket.acquire()?;
        let token = CancelToken::new();
        let waiting = rig.queued_with(&ticket, Wait::new().cancel(&token));
        let cancelling = Pending::spawn(move || token.cancel());
        drop(guard);
        match waiting.result() {
            Ok(guard) => {
                admitted += 1;
                assert_eq!(rig.limit(), 10);
                drop(guard);
            }
            Err(Error::Cancelled { .. }) => cancelled += 1,
            Err(other) => return Err(other),
        }
        cancelling.result();
        assert_eq!(rig.limit(), 0);
    }
    assert_eq!(admitted + cancelled, 200);
    assert_eq!(rig.manager.stats().cancellations, cancelled);
    rig.finish()
}

#[test]
fn r15_waiting_tells_who_waits_in_order() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10);
    let first = rig.ticket(&policy, 10).label("first");
    let second = rig.ticket(&policy, 9).label("second").resident();
    let guard = first.acquire()?;
    let since = rig.clock.now();
    let waiting = (rig.queued(&first), rig.queued(&second));
    let told = rig.manager.waiting();
    let names: Vec<_> = told
        .iter()
        .map(|w| w.label.as_deref().unwrap_or(""))
        .collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(told[1].kind, Kind::Resident);
    assert!(told.iter().all(|w| w.since == since));
    assert!(
        told.iter()
            .all(|w| w.place.file().ends_with("kit/threads.rs"))
    );
    assert_ne!(told[0].thread, told[1].thread);
    drop(guard);
    drop(waiting.0.result()?);
    drop(waiting.1.result()?);
    rig.finish()
}

#[test]
fn r15_deadlines_are_kept_on_the_systems_clock_too() -> Result<(), Error> {
    let manager = Manager::builder()
        .backend(mlx_wired::ffi::NoMlx::new())
        .config(quiet())
        .build()?;
    let ticket = manager.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire_owned()?;
    let patience = Duration::from_millis(5);
    let begin = Instant::now();
    match ticket.admit_timeout(patience).err() {
        // In the queue: less than the call took, and less than it was allowed by what came before.
        Some(Error::Timeout { waited, .. }) => assert!(waited <= begin.elapsed()),
        other => panic!("{other:?}"),
    }
    assert!(begin.elapsed() >= patience);
    let refused = ticket.admit_deadline(Instant::now() + patience).err();
    assert!(refused.is_some_and(|error| error.is_timeout()));
    assert!(begin.elapsed() >= 2 * patience);
    drop(guard);
    drop(ticket.try_acquire()?);
    Ok(())
}
