//! R19: circles that close after their threads have begun to wait, and those that are none.

use crate::kit::{Custom, Rig, Worker, acquiring, deadlock, quiet};
use mlx_wired::{Error, SumPolicy, Wait};
use std::sync::atomic::Ordering;
use std::thread;

#[test]
fn r19_a_circle_that_a_poke_closes_is_broken() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (policy, capacity) = Custom::adjustable(100);
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let other = ticket(20).acquire_owned()?;
    let waits = Worker::holding(&rig.manager, &ticket(40)).waits(&ticket(60), Wait::new());
    rig.manager.poke()?;
    waits.assert_pending();
    // Less than it holds and wants together.
    capacity.store(90, Ordering::SeqCst);
    rig.manager.poke()?;
    assert_eq!(deadlock(waits.result()), (60, 40, 1));
    drop(other);
    rig.finish()
}

#[test]
fn r19_only_who_waits_for_itself_is_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (policy, capacity) = Custom::adjustable(100);
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let elsewhere = rig.ticket(&SumPolicy::capped(7), 7);
    let other = ticket(20).acquire_owned()?;
    let first = Worker::holding(&rig.manager, &ticket(40)).waits(&ticket(60), Wait::new());
    // It holds something of another group, and stands behind the first.
    let innocent = Worker::holding(&rig.manager, &elsewhere).waits(&ticket(10), Wait::new());
    capacity.store(90, Ordering::SeqCst);
    rig.manager.poke()?;
    assert_eq!(deadlock(first.result()), (60, 40, 2));
    assert_eq!(innocent.result(), Ok(10));
    drop(other);
    rig.finish()
}

/// A thread that holds 10 of 100 bytes wants 60, and may overtake one that wants all of them. It waits until it may not.
fn a_circle_without_overtaking<T>(
    ends: impl FnOnce(&Rig) -> Result<T, Error>,
) -> Result<(), Error> {
    let rig = Rig::new(quiet().overtaking(1))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let held = ticket(40).acquire_owned()?;
    let inner = Worker::holding(&rig.manager, &ticket(10));
    let large = rig.queued(&ticket(100));
    // It does not fit yet, but it may overtake.
    let inner = inner.waits(&ticket(60), Wait::new());
    inner.assert_pending();
    let ended = ends(&rig)?;
    assert_eq!(deadlock(inner.result()), (60, 10, 2));
    drop((held, ended));
    drop(large.result()?);
    rig.finish()
}

#[test]
fn r19_a_circle_that_less_overtaking_closes_is_broken() -> Result<(), Error> {
    a_circle_without_overtaking(|rig| rig.manager.configure(|config| config.overtaking(0)))
}

#[test]
fn r19_a_circle_closes_when_overtaking_is_used_up() -> Result<(), Error> {
    // Another thread overtakes instead.
    a_circle_without_overtaking(|rig| acquiring(&rig.ticket(&SumPolicy::capped(100), 50)).result())
}

#[test]
fn r19_guards_of_other_managers_close_no_circle() -> Result<(), Error> {
    let (rig, other) = (Rig::new(quiet())?, Rig::new(quiet())?);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let held = ticket.acquire_owned()?;
    let elsewhere = other.manager.ticket(&SumPolicy::capped(10), 10);
    let waits = Worker::holding(&rig.manager, &elsewhere).waits(&ticket, Wait::new());
    waits.assert_pending();
    drop(held);
    assert_eq!(waits.result(), Ok(10));
    other.finish()?;
    rig.finish()
}

#[test]
fn r19_guards_beyond_a_threads_slots_are_held_too() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let small = rig.ticket(&SumPolicy::capped(100), 1);
    let mut guards = Vec::new();
    for _ in 0..100 {
        guards.push(small.acquire()?);
    }
    // Those in the thread's own record go first.
    drop(guards.drain(..64));
    let large = rig.ticket(&SumPolicy::capped(100), 65);
    assert_eq!(deadlock(large.acquire()), (65, 1, 1));
    drop(guards);
    let thread = thread::current().id();
    let holders = rig.manager.holders();
    assert!(holders.iter().all(|holder| holder.thread != thread));
    drop(large.acquire()?);
    rig.finish()
}

#[test]
fn r19_a_circle_that_takes_more_than_one_to_break() -> Result<(), Error> {
    let rig = Rig::new(quiet().overtaking(1))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(150), bytes);
    let held = ticket(13).acquire_owned()?;
    let workers = [51, 86].map(|bytes| Worker::holding(&rig.manager, &ticket(bytes)));
    // Neither 51 nor 86 leaves it enough.
    let head = rig.queued(&ticket(100));
    let [first, second] = workers.map(|worker| worker.waits(&ticket(13), Wait::new()));
    rig.manager.configure(|config| config.overtaking(0))?;
    assert_eq!(deadlock(second.result()), (13, 86, 3));
    assert_eq!(deadlock(first.result()), (13, 51, 2));
    drop(held);
    drop(head.result()?);
    rig.finish()
}
