//! The forms of acquiring: owned beside borrowed, and a wait of zero beside `try_`.

use crate::kit::{Rig, quiet};
use mlx_wired::clock::Clock;
use mlx_wired::{CancelToken, Error, Manager, SumPolicy, Wait};
use std::time::Duration;

fn would_block<T>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| error.is_would_block())
}

#[test]
fn r15_each_form_has_an_owned_one_that_fails_as_it_does() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let second = Duration::from_secs(1);
    let deadline = rig.clock.now() + second;
    drop(ticket.try_acquire_owned()?);
    drop(ticket.admit_timeout_owned(second)?);
    drop(ticket.admit_deadline_owned(deadline)?);
    let held = ticket.acquire_owned()?;
    assert!(would_block(ticket.try_acquire_owned()));
    let now = Duration::ZERO;
    let timed_out = |result: Result<_, Error>| result.is_err_and(|error| error.is_timeout());
    assert!(timed_out(ticket.admit_timeout_owned(now)));
    let past = rig.clock.now() + now;
    assert!(timed_out(ticket.admit_deadline_owned(past)));
    drop(held);
    rig.finish()
}

#[test]
fn r15_an_owned_guard_with_a_timeout_comes_in_one_line_and_names_its_caller() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (policy, second) = (SumPolicy::capped(10), Duration::from_secs(1));
    let line = line!() + 1;
    let _timed = rig.ticket(&policy, 1).admit_timeout_owned(second)?;
    let _tried = rig.ticket(&policy, 1).try_acquire_owned()?;
    let lines = rig.manager.holders().into_iter().map(|it| it.place.line());
    let mut lines: Vec<u32> = lines.collect();
    lines.sort_unstable();
    assert_eq!(lines, [line, line + 1]);
    Ok(())
}

#[test]
fn r15_a_wait_of_none_is_as_the_try_forms() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 6);
    drop(ticket.acquire_with(Wait::none())?);
    let mut held = ticket.acquire_owned_with(Wait::none())?;
    let tried = ticket.try_acquire().err();
    assert_eq!(ticket.acquire_with(Wait::none()).err(), tried);
    assert_eq!(ticket.acquire_owned_with(Wait::none()).err(), tried);
    let rest = rig.ticket(&SumPolicy::capped(10), 4);
    let other = rest.try_acquire_owned()?;
    assert!(would_block(held.resize_with(7, Wait::none())));
    assert_eq!(held.bytes(), 6);
    drop(other);
    held.resize_with(7, Wait::none())?;
    let stats = rig.manager.stats();
    assert_eq!((stats.waits, stats.timeouts), (0, 0));
    drop(held);
    rig.finish()
}

#[test]
fn r15_a_wait_of_none_does_not_pass_who_waits() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(10), bytes);
    let held = ticket(6).acquire_owned()?;
    let waiting = rig.queued(&ticket(6));
    assert!(would_block(ticket(1).acquire_with(Wait::none())));
    drop(held);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r15_a_wait_of_none_does_not_wait_for_a_call_in_flight() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    std::thread::scope(|scope| {
        // In here, so that a failure opens it.
        let gate = gate;
        let first = scope.spawn(|| ticket.acquire_owned());
        gate.wait_entered(1);
        assert!(would_block(ticket.acquire_owned_with(Wait::none())));
        gate.open();
        first.join().expect("it ends well").map(drop)
    })?;
    rig.finish()
}

#[test]
fn r39_what_was_set_can_be_read() -> Result<(), Error> {
    let token = CancelToken::new();
    let rig = Rig::new(quiet())?;
    let at = rig.clock.now();
    let wait = Wait::new()
        .deadline(at)
        .timeout(Duration::MAX)
        .cancel(&token);
    assert_eq!(wait.get_deadline(), Some(at));
    assert_eq!(wait.get_timeout(), Some(Duration::MAX));
    token.cancel();
    assert!(wait.get_cancel().is_some_and(CancelToken::is_cancelled));
    assert!(!wait.is_none() && Wait::none().is_none());
    let unset = Wait::new();
    assert_eq!((unset.get_deadline(), unset.get_timeout()), (None, None));
    assert!(unset.get_cancel().is_none());
    let ticket = rig.ticket(&SumPolicy::new(), 1);
    assert_eq!(ticket.get_label(), None);
    assert_eq!(ticket.label("step").get_label(), Some("step"));
    let builder = Manager::builder();
    assert!(builder.get_backend().is_none());
    let builder = builder.backend(rig.backend.clone()).config(quiet());
    assert_eq!(builder.get_config(), &quiet());
    assert!(builder.get_backend().is_some());
    Ok(())
}
