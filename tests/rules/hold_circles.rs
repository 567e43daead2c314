//! R29: circles of waits that holds are part of.

use crate::holds::Ten;
use crate::kit::{Pending, Rig, SECOND, Worker, deadlock, kinds, quiet};
use mlx_wired::{CancelToken, Error, EventKind, PolicyId, SumPolicy, Wait};
use std::sync::mpsc;

#[test]
fn r29_two_that_grow_against_each_other_beside_a_job() -> Result<(), Error> {
    let ten = Ten::new()?;
    let job = ten.reservation(4).acquire_owned()?;
    let grows_to = |to| {
        let ticket = ten.active(2);
        let ((go, may_go), (told, holds)) = (mpsc::channel(), mpsc::channel());
        let growing = Pending::spawn(move || {
            let mut guard = ticket.acquire()?;
            told.send(()).expect("the test waits");
            may_go.recv().expect("the test goes on");
            guard.resize(to)
        });
        holds.recv().expect("it acquires the first");
        (go, growing)
    };
    let (first_goes, first) = grows_to(5);
    let (second_goes, second) = grows_to(4);
    first_goes.send(()).expect("it waits");
    first.until_queued(&ten.rig.manager);
    second_goes.send(()).expect("it waits");
    deadlock(second.result());
    first.result()?;
    drop(job);
    ten.rig.finish()
}

#[test]
fn r29_a_hold_that_is_let_in_closes_a_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(6), bytes);
    let ends = ticket(1).acquire_owned()?;
    let worker = Worker::holding(&rig.manager, &ticket(4));
    let model = rig.queued(&ticket(2).resident());
    let circle = worker.waits(&ticket(1).reservation().room_for(2), Wait::new());
    drop(ends);
    // Beside the model and its own 4 bytes the worker never gets another.
    let model = model.result()?;
    deadlock(circle.result());
    drop(ticket(2).acquire()?);
    drop(model);
    rig.finish()
}

#[test]
fn r29_work_of_its_own_does_not_matter_to_the_room_that_a_hold_wants() -> Result<(), Error> {
    let ten = Ten::new()?;
    let other = ten.reservation(4).acquire_owned()?;
    // 3, 5 and 3 are more than 10; but beside the hold of 5 there is room for 3.
    let worker = ten.worker(&ten.active(3));
    let hold = worker.waits(&ten.reservation(5).room_for(3), Wait::new());
    drop(other);
    assert_eq!(hold.result()?, 5);
    ten.rig.finish()
}

#[test]
fn r29_a_thread_that_is_to_leave_room_in_another_group_waits_for_itself() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10))?;
    let (one, other) = (SumPolicy::uncapped(), SumPolicy::capped(100));
    let hold = rig.ticket(&one, 4).reservation().room_for(4);
    let held = hold.acquire()?;
    deadlock(rig.ticket(&other, 3).reservation().acquire());
    drop(held);
    rig.finish()
}

#[test]
fn r29_who_has_leaked_a_guard_may_wait_for_it() -> Result<(), Error> {
    let ten = Ten::new()?;
    let (leaked, large) = (ten.active(6), ten.active(5));
    let token = CancelToken::new();
    let wait = Wait::new().for_holds().cancel(&token);
    let waits = Pending::spawn(move || {
        leaked.acquire()?.leak();
        large.acquire_with(wait).map(drop)
    });
    waits.until_queued(&ten.rig.manager);
    token.cancel();
    assert!(waits.result().is_err_and(|error| error.is_cancelled()));
    Ok(())
}

#[test]
fn r29_a_circle_with_a_deadline_is_told_of_once() -> Result<(), Error> {
    let ten = Ten::new()?;
    let (manager, half) = (&ten.rig.manager, ten.active(5));
    let events = manager.subscribe(1000);
    let hour = || Wait::new().timeout(3600 * SECOND);
    let [first, second] = [(); 2].map(|()| ten.worker(&half));
    let first = first.waits(&half, hour());
    let second = second.waits(&half, hour());
    let circles = || {
        let told = kinds(&events).into_iter();
        told.filter(|kind| matches!(kind, EventKind::CircleWithDeadline { .. }))
            .count()
    };
    assert_eq!(circles(), 1);
    // Another one comes, is told of with it, and goes.
    let two = |policy: SumPolicy| manager.ticket(&policy.with_id(PolicyId::named("two")), 2);
    let two = two(SumPolicy::capped(3));
    let other = Worker::holding(manager, &two).waits(&two, Wait::new().timeout(SECOND));
    assert_eq!(circles(), 1);
    ten.rig.clock.advance(SECOND);
    assert!(other.result().is_err_and(|error| error.is_timeout()));
    manager.poke()?;
    assert_eq!(circles(), 0);
    ten.rig.clock.advance(3600 * SECOND);
    let timed_out = [first.result(), second.result()];
    assert!(timed_out.iter().any(Result::is_err), "{timed_out:?}");
    ten.rig.finish()
}

#[test]
fn r29_the_first_to_come_is_failed_in_line_or_set_aside() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(12), bytes);
    let [first, second] = [(); 2].map(|()| Worker::holding(&rig.manager, &ticket(3)));
    let evictable = ticket(5).reservation().evictable().acquire_owned()?;
    let ends = ticket(1).acquire_owned()?;
    // One is set aside, since 5 and 8 are more than 12; the other two are in line.
    let model = rig.queued(&ticket(1).resident());
    let first = first.waits(&ticket(8), Wait::new());
    let second = second.waits(&ticket(1), Wait::new());
    // The model closes the circle: 6, 3, 3 and 1 are more than 12, and so are 3, 3 and 8.
    drop(ends);
    deadlock(first.result());
    assert_eq!(second.result()?, 1);
    drop((model.result()?, evictable));
    rig.finish()
}
