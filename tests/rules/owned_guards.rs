//! R19, R40: an owned guard is told of wherever it is released, for as long as it lives.

use crate::kit::{Pending, Rig, quiet};
use mlx_wired::{BudgetPolicy, Error, HolderState, OwnedGuard, SumPolicy};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::Arc;
use std::thread;

/// More than the slots of a thread, so that many are listed.
const GUARDS: usize = 100;

fn guards(rig: &Rig, bytes: u64) -> Result<Vec<OwnedGuard>, Error> {
    let ticket = rig.ticket(&SumPolicy::uncapped(), bytes);
    (0..GUARDS).map(|_| ticket.acquire_owned()).collect()
}

#[test]
fn r19_owned_guards_of_a_thread_that_has_ended_are_told_as_its_own() -> Result<(), Error> {
    let rig = Arc::new(Rig::new(quiet())?);
    let theirs = Arc::clone(&rig);
    let worker = thread::Builder::new().name("worker".into());
    let acquires = move || (thread::current().id(), guards(&theirs, 1));
    let worker = worker.spawn(acquires).expect("a thread starts");
    let (thread, held) = worker.join().expect("it ends well");
    let mut held = held?;
    for left in [GUARDS, GUARDS / 2, 1] {
        held.truncate(left);
        let holders = rig.manager.holders();
        assert_eq!(holders.len(), left);
        for holder in holders {
            assert_eq!((holder.thread, holder.bound), (thread, false));
            assert_eq!(holder.thread_name.as_deref(), Some("worker"));
            assert_eq!(holder.state, HolderState::Held);
        }
    }
    drop(held);
    assert!(rig.manager.holders().is_empty());
    let rig = Arc::into_inner(rig).expect("the worker has gone");
    rig.finish()
}

#[test]
fn r19_owned_guards_are_released_by_others_while_their_thread_goes_on() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for _ in 0..3 {
        let mut held = guards(&rig, 1)?;
        // In slots and in the list alike.
        let others = held.split_off(GUARDS / 3);
        let (first, last): (Vec<_>, Vec<_>) = others
            .into_iter()
            .enumerate()
            .partition(|(index, _)| index % 2 == 0);
        Pending::spawn(move || drop(first)).result();
        assert_eq!(rig.manager.holders().len(), held.len() + last.len());
        Pending::spawn(move || drop(held)).result();
        assert_eq!(rig.manager.holders().len(), last.len());
        drop(last);
        assert!(rig.manager.holders().is_empty());
    }
    rig.finish()
}

#[test]
fn r19_owned_guards_that_grow_or_are_leaked_are_told_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let mut held = guards(&rig, 10)?;
    for (guard, bytes) in held.iter_mut().zip(100..) {
        guard.resize(bytes)?;
    }
    let sizes: Vec<u64> = rig.manager.holders().iter().map(|it| it.bytes).collect();
    let expected: Vec<u64> = (100..100 + GUARDS as u64).rev().collect();
    assert_eq!(sizes, expected);
    for guard in held.drain(..10) {
        guard.leak();
    }
    let leaked = |state| {
        let holders = rig.manager.holders();
        holders.iter().filter(|it| it.state == state).count()
    };
    assert_eq!(leaked(HolderState::Leaked), 10);
    assert_eq!(leaked(HolderState::Held), GUARDS - 10);
    drop(held);
    assert_eq!(rig.manager.holders().len(), 10);
    // What is leaked holds the limit up for ever: there is no end to check.
    Ok(())
}

#[test]
fn r19_a_forgotten_guard_is_told_of_after_its_ticket_beyond_the_slots_too() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let step = rig.ticket(&SumPolicy::uncapped(), 1).label("step");
    for _ in 0..GUARDS {
        std::mem::forget(step.acquire()?);
    }
    drop(step);
    // Enough tickets that those that are gone are forgotten.
    for _ in 0..1000 {
        drop(rig.ticket(&SumPolicy::uncapped(), 1));
    }
    let holders = rig.manager.holders();
    assert_eq!(holders.len(), GUARDS);
    for holder in holders {
        assert_eq!(holder.state, HolderState::Forgotten);
        assert_eq!(holder.label.as_deref(), Some("step"));
    }
    Ok(())
}

/// Guards are acquired, grown, handed on and released by threads that end meanwhile, and by the destructors of their locals.
#[test]
fn r40_owned_guards_go_anywhere_while_threads_come_and_go() -> Result<(), Error> {
    const THREADS: usize = 4;
    const ROUNDS: usize = 40;
    std::thread_local! {
        static LAST: RefCell<Vec<OwnedGuard>> = const { RefCell::new(Vec::new()) };
    }
    let rig = Rig::new(quiet())?;
    let tickets = [1, 2, 3].map(|bytes| rig.ticket(&BudgetPolicy::new(0), bytes));
    let pool = Mutex::new(Vec::new());
    let life = |mut seed: u64| {
        let mut random = move |below: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let ticket = &tickets[random(3) as usize];
            let mut guard = ticket.acquire_owned().expect("it is never refused");
            let mut pool = pool.lock();
            match random(8) {
                0 => drop(guard),
                1 => LAST.with(|last| last.borrow_mut().push(guard)),
                2 => {
                    guard.resize(random(9)).expect("it is never refused");
                    pool.push(guard);
                }
                _ => pool.push(guard),
            }
            if pool.len() as u64 > 100 {
                let place = random(100) as usize;
                let mut other: OwnedGuard = pool.swap_remove(place);
                drop(pool);
                if random(4) == 0 {
                    other.resize(random(9)).expect("it is never refused");
                }
                drop(other);
            }
        }
    };
    let life = &life;
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            let lives = (0..THREADS).map(|number| round * THREADS + number);
            let lives: Vec<_> = lives
                .map(|seed| scope.spawn(move || life(seed as u64)))
                .collect();
            // Until their locals are destroyed, too.
            lives
                .into_iter()
                .for_each(|life| life.join().expect("it ends well"));
        });
    }
    let left = pool.into_inner();
    assert_eq!(rig.manager.holders().len(), left.len());
    drop(left);
    assert!(rig.manager.holders().is_empty());
    assert_eq!(rig.manager.in_use(), 0);
    rig.finish()
}
