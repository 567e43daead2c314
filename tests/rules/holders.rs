//! R19: who holds what, where and on which thread is always known.

use crate::kit::{Rig, SECOND, quiet};
use mlx_wired::{Error, HolderState, Kind, SumPolicy};
use std::thread;

#[test]
fn r19_kinds_and_names_of_one_ticket_are_told_apart() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let step = rig.ticket(&SumPolicy::uncapped(), 10).label("step");
    let guard = step.acquire()?;
    let weights = step.clone().reservation().label("weights");
    let other = weights.acquire()?;
    assert_ne!(step.id(), weights.id());
    let mut told: Vec<_> = rig
        .manager
        .holders()
        .into_iter()
        .map(|holder| (holder.ticket, holder.kind, holder.label))
        .collect();
    told.sort_by_key(|(ticket, ..)| *ticket);
    let expected = [
        (step.id(), Kind::Active, Some("step".into())),
        (weights.id(), Kind::Reservation, Some("weights".into())),
    ];
    assert_eq!(told, expected);
    drop((guard, other));
    rig.finish()
}

#[test]
fn r19_a_ticket_is_known_after_its_variants_have_gone() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 60);
    drop(ticket.clone().reservation());
    drop(ticket.clone().label("another"));
    // Enough new tickets that those that are gone are forgotten.
    for _ in 0..1000 {
        drop(rig.ticket(&SumPolicy::capped(100), 1));
    }
    let guard = ticket.acquire()?;
    assert_eq!(rig.manager.holders().len(), 1);
    assert!(matches!(ticket.acquire(), Err(Error::WouldDeadlock { .. })));
    drop(guard);
    rig.finish()
}

#[test]
fn r24_a_guards_age_is_not_its_predecessors() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let first = ticket.acquire()?;
    let age_of_the_younger = || {
        let holders = rig.manager.holders();
        let [_, younger] = &holders[..] else {
            panic!("two guards: {holders:?}");
        };
        younger.age
    };
    let events = rig.manager.subscribe(100);
    let watched = ticket.acquire()?;
    rig.clock.advance(SECOND);
    assert_eq!(age_of_the_younger(), Some(SECOND));
    drop(events);
    drop(watched);
    // In the same slot.
    let unwatched = ticket.acquire()?;
    assert_eq!(age_of_the_younger(), None);
    drop((first, unwatched));
    rig.finish()
}

#[test]
fn r19_a_leaked_guard_keeps_the_kind_and_name_it_was_acquired_with() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10).label("step");
    ticket.acquire()?.leak();
    let _renamed = ticket.reservation().label("weights");
    let holders = rig.manager.holders();
    assert_eq!(holders.len(), 1);
    let told = (holders[0].kind, holders[0].label.as_deref());
    assert_eq!(told, (Kind::Active, Some("step")));
    Ok(())
}

#[test]
fn r19_a_forgotten_guard_is_seen_though_its_ticket_has_another_name() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    std::mem::forget(ticket.acquire()?);
    let _renamed = ticket.label("another");
    let holders = rig.manager.holders();
    assert_eq!(holders[0].state, HolderState::Forgotten);
    Ok(())
}

#[test]
fn r19_a_resized_guard_that_was_forgotten_is_told_so() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guard = ticket.acquire()?;
    guard.resize(20)?;
    guard.resize(30)?;
    let state = || rig.manager.holders()[0].state;
    assert_eq!(state(), HolderState::Held);
    std::mem::forget(guard);
    drop(ticket);
    assert_eq!(state(), HolderState::Forgotten);
    Ok(())
}

#[test]
fn r19_guards_forgotten_by_a_thread_that_has_ended_are_told_so() -> Result<(), Error> {
    // More than the slots of a thread.
    const GUARDS: usize = 70;
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 1);
    let forgets = || -> Result<(), Error> {
        for _ in 0..GUARDS {
            std::mem::forget(ticket.acquire()?);
        }
        Ok(())
    };
    thread::scope(|scope| scope.spawn(forgets).join().expect("it ends well"))?;
    let states: Vec<_> = rig.manager.holders().iter().map(|it| it.state).collect();
    assert_eq!(states, [HolderState::Forgotten; GUARDS]);
    Ok(())
}
