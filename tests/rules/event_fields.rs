//! R24: what each event carries, and how many wait.

use crate::kit::{GIB, Rig, quiet};
use mlx_wired::{Error, Event, EventKind, FixedPolicy, SumPolicy};

#[test]
fn r24_events_count_who_waits_in_other_groups() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let full = rig.ticket(&SumPolicy::capped(10), 10);
    let ticket = rig.ticket(&FixedPolicy::new(GIB), 10);
    let stays = ticket.acquire_owned()?;
    let held = full.acquire_owned()?;
    let waiting = rig.queued(&full);
    events.drain().for_each(drop);
    // Nothing changes for anybody else.
    drop(ticket.acquire()?);
    let told: Vec<Event> = events.drain().collect();
    assert!(told.len() >= 5, "{told:?}");
    for event in told {
        assert_eq!(event.waiters, 1, "{event:?}");
    }
    drop(held);
    drop((waiting.result()?, stays));
    rig.finish()
}

#[test]
fn r24_a_withdrawn_demand_is_told_of_its_own_thread() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let policy = SumPolicy::capped(80);
    let weights = rig.ticket(&policy, 80).reservation().evictable();
    let ticket = rig.ticket(&policy, 10);
    let held = weights.acquire_owned()?;
    let waiting = rig.queued(&ticket);
    let waiter = rig.manager.waiting()[0].thread;
    rig.backend.fail_next(1);
    // This thread admits the other, and calls the setter for it.
    drop(held);
    waiting.result().expect_err("the call fails");
    let ended = events
        .drain()
        .find(|event| event.kind == EventKind::TicketEnded && event.ticket == Some(ticket.id()));
    assert_eq!(ended.map(|event| event.thread), Some(waiter));
    rig.finish()
}

#[test]
fn r24_no_more_events_wait_than_the_capacity() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let slow = rig.manager.subscribe(3);
    let quick = rig.manager.subscribe(100);
    let ticket = rig.ticket(&FixedPolicy::new(GIB), 10);
    let stays = ticket.acquire_owned()?;
    slow.drain().for_each(drop);
    let told = || -> Result<Vec<u64>, Error> {
        drop(ticket.acquire()?);
        Ok(quick.drain().map(|event| event.sequence).collect())
    };
    quick.drain().for_each(drop);
    let lost = slow.lost();
    let first = told()?;
    assert_eq!(slow.try_recv().map(|event| event.sequence), Some(first[0]));
    // Two of the first wait, and there is room for one more.
    let second = told()?;
    let rest: Vec<u64> = slow.drain().map(|event| event.sequence).collect();
    assert_eq!(rest, [first[1], first[2], second[0]]);
    assert_eq!(slow.lost() - lost, 2 + 4);
    drop(stays);
    rig.finish()
}
