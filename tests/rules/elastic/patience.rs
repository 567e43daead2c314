//! R33a: how long the pressure delays a demand.

use super::*;
use crate::kit::assert_says;

#[test]
fn r33a_a_waiter_is_let_in_when_the_level_falls() -> Result<(), Error> {
    let rig = Rig::new(elastic())?;
    let ticket = rig.ticket(&cap(100), 30);
    let first = ticket.acquire()?;
    rig.manager.set_pressure(1.0)?;
    assert_eq!(in_the_way(&ticket), CRITICAL);
    let second = rig.queued(&ticket);
    rig.manager.set_pressure(0.3)?;
    drop(second.result()?);
    drop(first);
    rig.finish()
}

/// It only delays: what waits is told why, and is let in when its patience is over.
#[test]
fn r33a_no_demand_is_delayed_longer_than_its_patience() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.ticket(&cap(100), 50);
    let first = ticket.acquire()?;
    let second = rig.queued(&ticket);
    rig.clock.advance(SECOND);
    let waiter = rig.manager.snapshot().waiters.remove(0);
    let why = WaitReason::Delayed {
        level: PressureLevel::Critical,
        in_use: 50,
        counts: 50,
    };
    assert_eq!(waiter.why, why);
    rig.clock.advance(LONG - SECOND - Duration::from_nanos(1));
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(Duration::from_nanos(1));
    drop(second.result()?);
    drop(first);
    rig.finish()
}

/// Each waits its own patience at most: one that was behind another for as long is let in with it.
#[test]
fn r33a_patience_begins_when_the_pressure_delays() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let ticket = rig.ticket(&policy, 25);
    let all = rig.ticket(&policy, 100);
    let first = rig.ticket(&policy, 50).acquire_owned()?;
    // It waits for work.
    let whole = rig.queued(&all);
    let behind = rig.queued(&ticket);
    rig.clock.advance(2 * LONG);
    assert_eq!(rig.manager.waiting().len(), 2);
    drop(first);
    // No active guard lives.
    let whole = whole.result()?;
    assert_eq!(rig.manager.waiting().len(), 1);
    drop(whole);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r33a_a_deadline_before_that_is_kept_and_names_the_pressure() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.ticket(&cap(100), 50);
    let first = ticket.acquire()?;
    let second = rig.queued_with(&ticket, Wait::new().timeout(SECOND));
    rig.clock.advance(SECOND);
    let error = second.result().expect_err("it was too late");
    assert!(matches!(error, Error::Timeout { obstacle, .. } if obstacle == CRITICAL));
    let text = error.to_string();
    assert_says(
        &text,
        "the pressure is critical, 50 % of its cap count; wait until it falls",
    );
    assert!(text.len() <= 160, "{text}");
    drop(first);
    rig.finish()
}

/// A thread that waits for the pressure alone waits in no circle.
#[test]
fn r33a_a_nested_acquire_is_served_after_the_patience() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.ticket(&cap(10), 4);
    let worker = Worker::holding(&rig.manager, &ticket).waits(&ticket, Wait::new());
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(LONG);
    worker.result()?;
    // And growth at once.
    let mut guard = ticket.acquire_owned()?;
    guard.try_resize(7)?;
    drop(guard);
    rig.finish()
}

/// One that gives up leaves its place to the next.
#[test]
fn r33a_one_that_gives_up_leaves_its_place() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let step = rig.ticket(&policy, 40);
    let hold = |bytes| rig.ticket(&policy, bytes).reservation();
    let work = step.acquire_owned()?;
    let gives_up = rig.queued_with(&hold(60), Wait::new().timeout(SECOND));
    let small = acquiring(&hold(10));
    small.until_queued(&rig.manager);
    rig.clock.advance(SECOND);
    let error = gives_up.result().expect_err("it was too late");
    assert!(matches!(error, Error::Timeout { obstacle, .. } if obstacle == CRITICAL));
    drop((small.result()?, work));
    rig.finish()
}

/// One behind another that the pressure delays is delayed by it, too.
#[test]
fn r33a_patience_is_not_spent_one_after_another() -> Result<(), Error> {
    for budget in [None, Some(1000)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(100);
        let one = rig.ticket(&policy, 10);
        let other = rig.ticket(&policy, 11);
        for (one, other) in [
            (one.clone(), other.clone()),
            (one.resident(), other.resident()),
        ] {
            let work = rig.ticket(&policy, 50).acquire_owned()?;
            let first = rig.queued(&one);
            let gives_up = rig.queued_with(&other, Wait::new().timeout(LONG));
            rig.clock.advance(SECOND);
            let second = rig.queued(&other);
            rig.clock.advance(LONG - SECOND);
            let first = first.result()?;
            // Its deadline came with the end of its patience: it may be let in or not.
            let gives_up = gives_up.result();
            rig.clock.advance(SECOND);
            drop((first, second.result()?, gives_up, work));
            assert!(rig.manager.waiting().is_empty());
        }
        rig.finish()?;
    }
    Ok(())
}

/// One who has waited for work, behind work that waited for work, has all of its patience.
#[test]
fn r33a_patience_begins_anew_where_work_was_in_the_way() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let work = rig.ticket(&policy, 40).acquire_owned()?;
    let more = rig.ticket(&policy, 10).acquire_owned()?;
    let first = rig.queued(&rig.ticket(&policy, 20));
    let second = rig.queued(&rig.ticket(&policy, 50));
    rig.clock.advance(LONG);
    let first = first.result()?;
    rig.clock.advance(LONG);
    // 70 live, and 50 are asked for.
    drop(first);
    rig.clock.advance(LONG - SECOND);
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(SECOND);
    drop((second.result()?, work, more));
    rig.finish()
}

/// A demand that may be delayed no time is not delayed, in a `try_` form either.
#[test]
fn r33a_without_patience_nothing_is_delayed() -> Result<(), Error> {
    let rig = Rig::new(elastic().pressure_patience(Duration::ZERO))?;
    rig.manager.set_pressure(1.0)?;
    let ticket = rig.ticket(&cap(100), 50);
    drop((ticket.try_acquire()?, ticket.try_acquire()?));
    rig.finish()
}
