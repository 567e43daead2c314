//! R15: tokens that cancel waits.

use crate::kit::{Pending, Rig, SECOND, assert_matches, queued, quiet};
use mlx_wired::{CancelToken, Error, SumPolicy, Wait};

#[test]
fn r15_a_token_cancels_from_another_thread() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let token = CancelToken::new();
    let waiting = [(); 3].map(|()| rig.queued_with(&ticket, Wait::new().cancel(&token)));
    let other = rig.queued(&ticket);
    rig.clock.advance(SECOND);
    let clone = token.clone();
    Pending::spawn(move || clone.cancel()).result();
    for pending in waiting {
        let expected = Error::Cancelled {
            requested: 10,
            waited: SECOND,
        };
        assert_eq!(pending.result().err(), Some(expected));
    }
    assert_eq!(rig.manager.stats().cancellations, 3);
    assert_eq!(rig.manager.waiting().len(), 1);
    // Later ones too.
    assert_matches!(
        ticket.acquire_with(Wait::new().cancel(&token)),
        Err(Error::Cancelled { .. })
    );
    drop(guard);
    drop(other.result()?);
    rig.finish()
}

#[test]
fn r15_a_token_and_a_deadline_work_together() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let token = CancelToken::new();
    let wait = Wait::new().timeout(SECOND).cancel(&token);
    let timed = rig.queued_with(&ticket, wait.clone());
    rig.clock.advance(SECOND);
    assert!(timed.result().is_err_and(|error| error.is_timeout()));
    let cancelled = rig.queued_with(&ticket, wait);
    token.cancel();
    assert!(matches!(cancelled.result(), Err(Error::Cancelled { .. })));
    drop(guard);
    rig.finish()
}

#[test]
fn r15_one_token_cancels_the_waits_of_two_managers() -> Result<(), Error> {
    let rigs = (Rig::new(quiet())?, Rig::new(quiet())?);
    let token = CancelToken::new();
    let tickets = (
        rigs.0.manager.ticket(&SumPolicy::capped(10), 10),
        rigs.1.manager.ticket(&SumPolicy::capped(10), 10),
    );
    let guards = (tickets.0.acquire()?, tickets.1.acquire()?);
    let wait = Wait::new().cancel(&token);
    let first = queued(&rigs.0.manager, &tickets.0, wait.clone());
    let second = queued(&rigs.1.manager, &tickets.1, wait);
    drop(guards.0);
    drop(first.result()?);
    token.cancel();
    assert!(matches!(second.result(), Err(Error::Cancelled { .. })));
    drop(guards.1);
    rigs.0.finish()?;
    rigs.1.finish()
}
