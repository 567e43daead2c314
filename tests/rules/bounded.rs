//! R31: no more acquires wait than may; and R30 of those that are set aside.

use crate::kit::{Pending, Rig, SECOND, assert_matches, next, quiet};
use crate::stalls::{is_stall, told};
use mlx_wired::snapshot::WaitReason;
use mlx_wired::{Error, SumPolicy, Wait};

#[test]
fn r31_one_more_than_may_wait_is_refused_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet().max_waiting(2))?;
    let [one, other] = [10, 20].map(|cap| rig.ticket(&SumPolicy::capped(cap), cap));
    let guards = (one.acquire_owned()?, other.acquire_owned()?);
    // Those of all groups count together.
    let first = rig.queued(&one);
    let second = rig.queued_with(&other, Wait::new().timeout(SECOND));
    for ticket in [&one, &other] {
        let error = ticket.acquire_owned().err();
        assert_eq!(error, Some(Error::QueueFull { waiting: 2 }));
        assert!(error.is_some_and(|error| error.is_retryable()));
    }
    // A place that is left is another's.
    rig.clock.advance(SECOND);
    assert!(second.result().is_err_and(|error| error.is_timeout()));
    let third = rig.queued(&other);
    assert_matches!(one.acquire_owned(), Err(Error::QueueFull { waiting: 2 }));
    drop(guards);
    drop((first.result()?, third.result()?));
    drop(one.acquire()?);
    rig.finish()
}

#[test]
fn r31_one_that_is_set_aside_counts() -> Result<(), Error> {
    let rig = Rig::new(quiet().max_waiting(1))?;
    let policy = SumPolicy::capped(10);
    let weights = rig.ticket(&policy, 8).reservation();
    let step = rig.ticket(&policy, 2);
    let (held, work) = (weights.acquire_owned()?, step.acquire_owned()?);
    let aside = rig.queued(&weights);
    assert!(rig.manager.waiting()[0].set_aside);
    assert_matches!(step.acquire_owned(), Err(Error::QueueFull { waiting: 1 }));
    drop(work);
    // What need not wait is admitted.
    drop(step.acquire()?);
    drop(held);
    drop(aside.result()?);
    rig.finish()
}

#[test]
fn r31_growth_waits_all_the_same_and_counts() -> Result<(), Error> {
    let rig = Rig::new(quiet().max_waiting(1))?;
    let policy = SumPolicy::capped(10);
    let half = rig.ticket(&policy, 5);
    let (mut grows, other) = (half.acquire_owned()?, half.acquire_owned()?);
    let waits = rig.queued(&half);
    let growing = Pending::spawn(move || grows.resize(8).map(|()| grows));
    growing.until_queued(&rig.manager);
    assert_matches!(half.acquire_owned(), Err(Error::QueueFull { waiting: 2 }));
    drop(other);
    drop(growing.result()?);
    drop(waits.result()?);
    rig.finish()
}

#[test]
fn r31_what_never_fits_is_refused_for_that() -> Result<(), Error> {
    let rig = Rig::new(quiet().max_waiting(0))?;
    let policy = SumPolicy::capped(10);
    let [step, large] = [4, 11].map(|bytes| rig.ticket(&policy, bytes));
    let hold = rig.ticket(&policy, 8).reservation();
    let weights = hold.acquire()?;
    assert!(large.acquire().is_err_and(|error| error.is_never()));
    assert!(matches!(step.acquire(), Err(Error::NoRoom { .. })));
    drop(weights);
    let all = rig.ticket(&policy, 10);
    let held = all.acquire()?;
    assert!(matches!(step.acquire(), Err(Error::WouldDeadlock { .. })));
    let refused = step.try_acquire().err();
    assert!(refused.is_some_and(|error| error.is_would_block()));
    let elsewhere = Pending::spawn(move || step.acquire_owned()).result();
    assert_eq!(elsewhere.err(), Some(Error::QueueFull { waiting: 0 }));
    drop(held);
    rig.finish()
}

#[test]
fn r30_a_waiter_that_is_set_aside_tells_of_itself() -> Result<(), Error> {
    let rig = Rig::new(quiet().stall_after(10 * SECOND))?;
    let policy = SumPolicy::capped(10);
    let weights = rig.ticket(&policy, 6).reservation();
    let step = rig.ticket(&policy, 4);
    let (held, mut work) = (weights.acquire_owned()?, step.acquire_owned()?);
    let aside = rig.queued(&weights);
    let events = rig.manager.subscribe(100);
    for (later, stood) in [(10, 10), (10, 20), (20, 40)] {
        // That its line goes on is nothing to it.
        let next_step = rig.queued(&step);
        drop(work);
        work = next_step.result()?;
        rig.clock.advance(later * SECOND);
        let by_holds = WaitReason::Holds {
            held: 6,
            capacity: Some(10),
        };
        let event = next(&events, is_stall);
        assert_eq!(told(&event), (stood * SECOND, 0, by_holds));
    }
    drop((held, work));
    drop(aside.result()?);
    rig.finish()
}
