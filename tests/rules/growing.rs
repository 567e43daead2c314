//! R21, R16: guards that wait to grow, and who waits with them.

use crate::kit::{
    Brake, Custom, Pending, Rig, SECOND, Worker, acquiring, deadlock, eager, kinds, numbers, quiet,
    until, would_block,
};
use mlx_wired::{CancelToken, Error, EventKind, Obstacle, OwnedGuard, SumPolicy, Wait};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Grows a guard on another thread, seen to wait.
fn growing(
    rig: &Rig,
    mut guard: OwnedGuard,
    to: u64,
    wait: Wait,
) -> Pending<(Result<(), Error>, OwnedGuard)> {
    let pending = Pending::spawn(move || (guard.resize_with(to, wait), guard));
    pending.until_queued(&rig.manager);
    pending
}

#[test]
fn r21_a_growing_guard_comes_before_the_queue() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let growing_one = ticket(40).acquire_owned()?;
    let other = ticket(40).acquire_owned()?;
    let waiting = rig.queued(&ticket(30));
    let grown = growing(&rig, growing_one, 80, Wait::new());
    let first = rig.manager.waiting()[0].bytes;
    assert_eq!(first, 80, "it is the first in line");
    drop(other);
    let (result, guard) = grown.result();
    assert_eq!((result, guard.bytes()), (Ok(()), 80));
    waiting.assert_pending();
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r21_growing_guards_are_served_in_their_order() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let held = ticket(40).acquire_owned()?;
    let guards = [ticket(20).acquire_owned()?, ticket(20).acquire_owned()?];
    let [first, second] = guards;
    let first = growing(&rig, first, 70, Wait::new());
    // It would fit at once, but another grows already.
    let second = growing(&rig, second, 30, Wait::new());
    drop(held);
    let (result, first) = first.result();
    assert_eq!(result, Ok(()));
    let (result, second) = second.result();
    assert_eq!(result, Ok(()));
    drop((first, second));
    rig.finish()
}

#[test]
fn r21_no_guard_grows_before_one_that_looks_for_a_circle() -> Result<(), Error> {
    for is_awaited in [false, true] {
        let rig = Rig::new(quiet())?;
        let brake = Brake::default();
        let (alone, armed) = Custom::one_at_a_time(&brake);
        let alone = rig.ticket(&alone, 1);
        let capped = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
        let mut later = capped(10).acquire_owned()?;
        let mut earlier = capped(50).acquire_owned()?;
        let (holder, begins) = (alone.clone(), Brake::default());
        let begin = begins.clone();
        let grown = Pending::spawn(move || {
            let _held = holder.acquire()?;
            begin.stop();
            earlier.resize(95).map(|()| earlier.bytes())
        });
        begins.wait_stopped();
        let behind = rig.queued(&alone);
        // It looks for a circle before it waits, and the policy is asked about the one behind.
        let in_line = is_awaited.then(|| rig.queued(&capped(100)));
        armed.store(true, Ordering::SeqCst);
        begins.release();
        brake.wait_stopped();
        let passed = later.try_resize(40);
        brake.release();
        assert!(
            passed.is_err_and(|error| error.is_would_block()),
            "the other came before"
        );
        drop(later);
        assert_eq!(grown.result()?, 95);
        drop(behind.result()?);
        drop(in_line.map(Pending::result).transpose()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r21_try_resize_does_not_wait_for_anothers_setter_call() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 10);
    let mut guard = ticket.acquire_owned()?;
    let gate = rig.backend.gate();
    let raising = acquiring(&ticket);
    gate.wait_entered(1);
    let events = rig.manager.subscribe(100);
    let refused = guard.try_resize(30);
    let expected = Err(would_block(30, (20, 100), Obstacle::Setter));
    assert_eq!((refused, guard.bytes()), (expected, 10));
    let told = kinds(&events);
    assert!(
        matches!(
            told[..2],
            [
                EventKind::TicketResized { from: 10, .. },
                EventKind::TicketResized { from: 30, .. }
            ]
        ),
        "and taken back: {told:?}"
    );
    gate.open();
    drop(raising.result()?);
    guard.try_resize(30)?;
    drop(guard);
    rig.finish()
}

#[test]
fn r21_a_timeout_and_a_token_end_the_wait_and_keep_the_size() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 50);
    let held = ticket.acquire_owned()?;
    let token = CancelToken::new();
    let guard = ticket.acquire_owned()?;
    let pending = growing(&rig, guard, 60, Wait::new().timeout(SECOND));
    rig.clock.advance(SECOND);
    let (result, guard) = pending.result();
    let expected = Error::Timeout {
        requested: 60,
        in_use: 100,
        capacity: Some(100),
        waited: SECOND,
        waiting: 0,
        contention: Box::default(),
        obstacle: Obstacle::Cap,
    };
    assert_eq!(
        (result.map_err(numbers), guard.bytes()),
        (Err(expected), 50)
    );
    let pending = growing(&rig, guard, 60, Wait::new().cancel(&token));
    token.cancel();
    let (result, mut guard) = pending.result();
    assert!(matches!(result, Err(Error::Cancelled { .. })));
    let late = guard.resize_timeout(51, Duration::ZERO);
    assert!(late.is_err_and(|error| error.is_timeout()));
    assert_eq!(guard.bytes(), 50);
    drop(held);
    guard.resize_timeout(60, SECOND)?;
    drop(guard);
    rig.finish()
}

#[test]
fn r21_a_closed_manager_lets_guards_shrink_only() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 50);
    let mut guard = ticket.acquire()?;
    let waits = growing(&rig, ticket.acquire_owned()?, 60, Wait::new());
    rig.manager.close();
    let (result, other) = waits.result();
    assert_eq!((result, other.bytes()), (Err(Error::Closed), 50));
    assert_eq!(guard.resize(51), Err(Error::Closed));
    guard.resize(10)?;
    assert_eq!(rig.limit(), 60);
    drop((guard, other));
    rig.finish()
}

#[test]
fn r21_a_shrink_while_a_policy_is_asked_is_not_lost() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let asked = brake.clone();
    let policy = Custom::new().admits(move |_, live, new| {
        if live.count > 0 {
            asked.stop();
        }
        live.sum + new <= 100
    });
    let mut guard = rig.ticket(&policy, 100).acquire_owned()?;
    let pending = acquiring(&rig.ticket(&policy, 50));
    brake.wait_stopped();
    guard.resize(50)?;
    brake.release();
    drop(pending.result()?);
    drop(guard);
    rig.finish()
}

#[test]
fn r21_a_thread_that_waits_holds_its_resized_size() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let worker = Worker::holding(&rig.manager, &ticket(30));
    let ten = ticket(10);
    let mut guard = ten.acquire()?;
    guard.resize(70)?;
    let pending = worker.waits(&ticket(20), Wait::new());
    let (_, held, _) = deadlock(guard.resize(80));
    assert_eq!(held, 70);
    drop(guard);
    assert_eq!(pending.result(), Ok(20));
    rig.finish()
}

#[test]
fn r21_who_gave_up_is_not_judged() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let asked = brake.clone();
    let policy = Custom::capped(60).ever(move |_, new| {
        if new == 7 {
            asked.stop();
        }
        true
    });
    let guard = rig.ticket(&policy, 50).acquire_owned()?;
    let gives_up = growing(&rig, guard, 80, Wait::new().timeout(SECOND));
    let other = acquiring(&rig.ticket(&policy, 7));
    brake.wait_stopped();
    let manager = rig.manager.clone();
    let poked = Pending::spawn(move || manager.poke());
    // Time for the poke to come upon the waiter, and to wait for the policy that is being asked.
    for _ in 0..1000 {
        thread::yield_now();
    }
    rig.clock.advance(SECOND);
    let (result, guard) = gives_up.result();
    assert!(result.is_err_and(|error| error.is_timeout()));
    drop(guard);
    brake.release();
    poked.result()?;
    drop(other.result()?);
    rig.finish()
}

#[test]
fn r21_who_gave_up_while_its_policy_was_asked_is_not_judged_by_new_settings() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let (asked, stops) = (brake.clone(), Arc::new(AtomicBool::new(false)));
    let (stop, counts) = (stops.clone(), Arc::new(Mutex::new(Vec::new())));
    let told = counts.clone();
    let policy = Custom::new().ever(|_, _| true).admits(move |_, live, new| {
        if new == 80 && stop.load(Ordering::SeqCst) {
            told.lock().push(live.count);
            asked.stop();
        }
        live.sum + new <= 60
    });
    let guard = rig.ticket(&policy, 50).acquire_owned()?;
    let gives_up = growing(&rig, guard, 80, Wait::new().timeout(SECOND));
    stops.store(true, Ordering::SeqCst);
    let manager = rig.manager.clone();
    let poked = Pending::spawn(move || manager.poke());
    brake.wait_stopped();
    let (manager, lingering) = (rig.manager.clone(), rig.manager.config().linger(SECOND));
    let configured = Pending::spawn(move || manager.configure(|config| config.linger(SECOND)));
    until("they are in force", || rig.manager.config() == lingering);
    rig.clock.advance(SECOND);
    let (result, guard) = gives_up.result();
    assert!(result.is_err_and(|error| error.is_timeout()));
    drop(guard);
    brake.release();
    poked.result()?;
    configured.result()?;
    assert_eq!(*counts.lock(), [0]);
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r19_two_owned_guards_that_grow_against_each_other() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 50);
    let (guard, mut other) = (ticket.acquire_owned()?, ticket.acquire_owned()?);
    let first = growing(&rig, guard, 80, Wait::new());
    let (result, other) = Pending::spawn(move || (other.resize(60), other)).result();
    let (_, held, threads) = deadlock(result);
    assert_eq!((held, threads), (50, 2));
    // Only one of them is growing now.
    let bound = rig.manager.holders().iter().filter(|it| it.bound).count();
    assert_eq!(bound, 1);
    drop(other);
    let (result, guard) = first.result();
    assert_eq!((result, guard.bytes()), (Ok(()), 80));
    drop(guard);
    rig.finish()
}

#[test]
fn r24_a_snapshot_adds_up_while_a_guard_that_has_grown_waits_for_the_limit() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guard = ticket.acquire_owned()?;
    let gate = rig.backend.gate();
    let growing = Pending::spawn(move || guard.resize(100).map(|()| guard));
    gate.wait_entered(1);
    let during = rig.manager.snapshot();
    gate.open();
    assert_eq!((during.live, during.live_bytes), (1, 100));
    assert!(during.uncovered == 1 && during.guards_add_up, "{during}");
    drop(growing.result()?);
    rig.finish()
}

#[test]
fn r19_a_guard_that_grows_waits_for_its_threads_other_guard() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let (large, small) = (ticket(60), ticket(10));
    let grown = Pending::spawn(move || {
        let _other = large.acquire()?;
        let mut guard = small.acquire()?;
        guard.resize(50)
    });
    let (_, held, threads) = deadlock(grown.result());
    assert_eq!((held, threads), (60, 1));
    rig.finish()
}
