//! R11: a setter that fails.

use crate::kit::{
    Custom, GIB, Pending, Rig, SECOND, acquiring, eager, kinds, next, quiet, until_started,
};
use mlx_wired::ffi::{Outcome, RecordingBackend};
use mlx_wired::{Config, Error, EventKind, OnApplyFailure, SumPolicy, WireMode};
use std::time::Duration;

fn assert_set_limit(result: Option<Error>, limit: u64) {
    match result {
        Some(Error::SetLimit { limit: asked, .. }) if asked == limit => {}
        other => panic!("expected a failed call for {limit}, got {other:?}"),
    }
}

fn is_failure(kind: &EventKind) -> bool {
    matches!(kind, EventKind::LimitApplyFailed(_))
}

#[test]
fn r11_a_failed_raise_withdraws_the_demand() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    rig.backend.fail_next(1);
    assert_set_limit(ticket.acquire().err(), 10);
    assert_eq!(rig.calls(), 1, "no retry within the acquire");
    let stats = rig.manager.stats();
    assert_eq!((stats.setter_calls, stats.setter_failures), (1, 1));
    // Nothing is left held.
    let guard = ticket.try_acquire()?;
    assert_eq!(rig.limit(), 10);
    drop(guard);
    rig.finish()
}

#[test]
fn r11_every_acquiring_call_tells_the_failure() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    rig.backend.set_failing(true);
    assert_set_limit(ticket.acquire().err(), 10);
    assert_set_limit(ticket.try_acquire().err(), 10);
    assert_set_limit(ticket.admit_timeout(SECOND).err(), 10);
    assert_set_limit(ticket.acquire_owned().err(), 10);
    assert_set_limit(ticket.with(|_| ()).err(), 10);
    assert_set_limit(rig.manager.wire_max(GIB).err(), 48 * GIB);
    rig.backend.set_failing(false);
    drop(ticket.acquire()?);
    rig.finish()
}

#[test]
fn r11_who_was_covered_before_keeps_its_limit() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let first = ticket.acquire()?;
    rig.backend.fail_next(1);
    assert_set_limit(ticket.acquire().err(), 20);
    assert_eq!((rig.limit(), rig.manager.applied()), (10, 10));
    assert!(first.is_wired());
    drop(first);
    rig.finish()
}

#[test]
fn r11_all_whom_the_call_was_to_cover_fail_together() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(10_000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    rig.backend.set_failing(true);
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    let others: Vec<_> = (0..8).map(|_| acquiring(&ticket)).collect();
    until_started(&events, 9);
    gate.open();
    assert_set_limit(first.result().err(), 10);
    for other in others {
        // One call for all that came while the first was in flight.
        assert_set_limit(other.result().err(), 80);
    }
    assert_eq!(rig.calls(), 2);
    rig.backend.set_failing(false);
    rig.manager.maintain();
    assert_eq!(rig.calls(), 2, "nothing is owed");
    rig.finish()
}

#[test]
fn r11_the_queue_is_examined_after_a_withdrawal() -> Result<(), Error> {
    for custom in [false, true] {
        let rig = Rig::new(quiet())?;
        let ticket = if custom {
            rig.ticket(&Custom::capped(10), 10)
        } else {
            rig.ticket(&SumPolicy::capped(10), 10)
        };
        let gate = rig.backend.gate();
        rig.backend.fail_next(1);
        let first = acquiring(&ticket);
        gate.wait_entered(1);
        let second = rig.queued(&ticket);
        gate.open();
        assert_set_limit(first.result().err(), 10);
        drop(second.result()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r11_an_admitted_waiter_whose_raise_fails_holds_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let guard = rig.ticket(&policy, 50).acquire_owned()?;
    let large = rig.ticket(&policy, 60);
    let waiting = rig.queued(&large);
    rig.clock.advance(SECOND);
    rig.backend.set_failing(true);
    drop(guard);
    assert_set_limit(waiting.result().err(), 60);
    let stats = rig.manager.stats();
    assert_eq!(stats.longest_wait, Duration::ZERO, "no guard came of it");
    rig.backend.set_failing(false);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 0);
    drop(rig.ticket(&policy, 100).try_acquire()?);
    rig.finish()
}

#[test]
fn r11_a_panicking_setter_is_a_failing_one() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    rig.backend.panic_next(1);
    let error = ticket.acquire().err();
    assert!(
        error
            .as_ref()
            .is_some_and(|e| format!("{e:#}").contains("panicked")),
        "{error:?}"
    );
    let guard = ticket.acquire()?;
    rig.backend.panic_next(1);
    drop(guard);
    rig.manager.maintain();
    let outcomes: Vec<_> = rig
        .backend
        .calls()
        .into_iter()
        .map(|call| call.outcome)
        .collect();
    let expected = [
        Outcome::Panicked,
        Outcome::Applied,
        Outcome::Panicked,
        Outcome::Applied,
    ];
    assert_eq!(outcomes, expected);
    rig.finish()
}

#[test]
fn r11_proceed_gives_guards_that_say_they_run_unwired() -> Result<(), Error> {
    let rig = Rig::new(quiet().on_apply_failure(OnApplyFailure::Proceed))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    rig.backend.set_failing(true);
    let first = ticket.acquire()?;
    let second = ticket.acquire()?;
    assert!(!first.is_wired() && !second.is_wired());
    assert_eq!(rig.manager.applied(), 0, "the shadow is truthful");
    rig.backend.set_failing(false);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 20, "the raise was still owed");
    assert!(first.is_wired() && second.is_wired());
    drop((first, second));
    rig.finish()
}

#[test]
fn r11_proceed_keeps_those_wired_that_were() -> Result<(), Error> {
    let rig = Rig::new(quiet().on_apply_failure(OnApplyFailure::Proceed))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let first = ticket.acquire()?;
    rig.backend.fail_next(1);
    let second = ticket.acquire()?;
    assert!(first.is_wired() && !second.is_wired());
    // The next transition tries again what is owed.
    let third = ticket.acquire()?;
    assert_eq!(rig.limit(), 30);
    assert!(second.is_wired());
    drop((first, second, third));
    rig.finish()
}

#[test]
fn r11_a_failed_restore_is_reported_and_retried_at_the_next_transition() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1000);
    let work = rig.ticket(&SumPolicy::uncapped(), 10);
    let reservation = rig.ticket(&SumPolicy::uncapped(), 1).reservation();
    let guard = work.acquire()?;
    rig.backend.fail_next(1);
    let released = guard.release();
    assert_set_limit(released.error, 0);
    assert_eq!((released.limit, released.lowered), (10, false));
    assert_eq!((rig.limit(), rig.manager.applied()), (10, 10));
    assert!(kinds(&events).iter().any(is_failure));
    drop(reservation.acquire()?);
    assert_eq!(rig.limit(), 0);
    rig.finish()
}

#[test]
fn r11_a_reservation_does_not_wait_for_a_restore_that_fails() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let guard = rig.ticket(&policy, 10).acquire_owned()?;
    rig.backend.set_failing(true);
    drop(guard);
    let large = rig.ticket(&policy, 1000).reservation();
    let large = acquiring(&large).result()?;
    assert_eq!(rig.calls(), 3, "one more try");
    rig.backend.set_failing(false);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 0);
    drop(large);
    rig.finish()
}

#[test]
fn r11_maintain_retries_a_failed_restore() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    rig.backend.fail_next(0);
    let guard = ticket.acquire()?;
    rig.backend.fail_next(2);
    drop(guard);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 10);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r11_a_failed_restore_after_linger_is_retried_at_once() -> Result<(), Error> {
    let linger = Duration::from_secs(100);
    for becomes_longer in [false, true] {
        let rig = Rig::new(quiet().linger(linger))?;
        drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
        rig.clock.advance(linger);
        rig.backend.fail_next(1);
        rig.manager.maintain();
        assert_eq!((rig.limit(), rig.calls()), (10, 2));
        if becomes_longer {
            rig.manager.configure(|config| config.linger(2 * linger))?;
        } else {
            rig.manager.maintain();
        }
        assert_eq!(rig.limit(), 0, "linger is over and does not begin again");
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r11_a_failed_shrink_is_retried_at_the_next_transition() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let first = ticket.acquire()?;
    let second = ticket.acquire()?;
    rig.backend.fail_next(1);
    let released = second.release();
    assert_set_limit(released.error, 10);
    assert_eq!(rig.manager.applied(), 20);
    drop(rig.ticket(&SumPolicy::uncapped(), 0).acquire()?);
    assert_eq!(rig.limit(), 10);
    drop(first);
    rig.finish()
}

#[test]
fn r11_housekeeping_retries_with_back_off() -> Result<(), Error> {
    let rig = Rig::new(Config::default())?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let guard = ticket.acquire()?;
    rig.backend.set_failing(true);
    drop(guard);
    let first = next(&events, is_failure);
    // After 1 s, then 2 s, then 4 s, each counted from the failure before.
    let mut last = first.time;
    for seconds in [1, 2, 4] {
        // Behind the lock under which the next try was scheduled.
        let _limit = rig.manager.applied();
        // A moment too early nothing happens: the failure that comes is the one on time.
        rig.clock
            .advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        rig.clock.advance(Duration::from_millis(1));
        let again = next(&events, is_failure);
        assert_eq!(again.time - last, Duration::from_secs(seconds));
        last = again.time;
    }
    assert_eq!(rig.calls(), 5);
    rig.backend.set_failing(false);
    let _limit = rig.manager.applied();
    rig.clock.advance(Duration::from_secs(8));
    let _restored = next(&events, |kind| *kind == EventKind::BaselineRestored);
    rig.finish()
}

#[test]
fn r11_the_baseline_never_ratchets() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut epochs = Vec::new();
    for _ in 0..5 {
        let guard = ticket.acquire()?;
        assert_eq!(rig.limit(), 17);
        epochs.push(guard.epoch());
        // The restoring call fails; the next guard comes before it was tried again.
        rig.backend.fail_next(1);
        drop(guard);
        assert_eq!(rig.limit(), 17);
    }
    assert_eq!(epochs, [epochs[0]; 5], "one epoch, one baseline");
    rig.manager.maintain();
    assert_eq!(rig.limit(), 7);
    rig.finish()
}

#[test]
fn r11_a_first_set_that_fails_captures_nothing() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    rig.backend.fail_next(1);
    assert_set_limit(ticket.acquire().err(), 10);
    drop(ticket.acquire()?);
    assert_eq!(rig.requested(), [10, 10, 17, 7]);
    rig.finish()
}

#[test]
fn r11_a_recomputation_that_fails_leaves_the_captured_baseline() -> Result<(), Error> {
    let rig = Rig::on(
        RecordingBackend::metal().initial_limit(7).fail_call(2),
        quiet(),
    )?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    assert_set_limit(ticket.acquire().err(), 17);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r11_the_mode_does_not_change_under_a_restore_that_is_owed() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10);
    let guard = guard.acquire()?;
    rig.backend.set_failing(true);
    drop(guard);
    // Refused or not: what was owed is not forgotten.
    let _changed = rig.manager.configure(|config| config.mode(WireMode::Never));
    rig.backend.set_failing(false);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r11_close_during_failures_restores_at_last() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let guard = ticket.acquire_owned()?;
    rig.backend.set_failing(true);
    rig.manager.close();
    let released = Pending::spawn(move || guard.release()).result();
    assert_set_limit(released.error, 0);
    rig.backend.set_failing(false);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r11_whom_the_call_before_has_covered_keeps_its_guard() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().fail_call(2), quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(100), 10);
    let gate = rig.backend.gate();
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    let second = acquiring(&ticket);
    until_started(&events, 2);
    gate.open();
    assert_set_limit(second.result().err(), 20);
    let first = first.result()?;
    assert_eq!((rig.limit(), first.is_wired()), (10, true));
    drop(first);
    rig.finish()
}

#[test]
fn r11_admitted_waiters_fail_together() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(80);
    let weights = rig.ticket(&policy, 80).reservation().evictable();
    let ticket = rig.ticket(&policy, 10);
    let held = weights.acquire_owned()?;
    let waiting = [(); 8].map(|()| rig.queued(&ticket));
    rig.backend.set_failing(true);
    drop(held);
    for pending in waiting {
        assert_set_limit(pending.result().err(), 80);
    }
    assert_eq!(rig.calls(), 1);
    rig.backend.set_failing(false);
    drop(ticket.acquire()?);
    rig.finish()
}
