//! Errors explain themselves: they name the largest holders and the queue.

use crate::kit::{GIB, Pending, Rig, SECOND, Worker, acquiring, quiet, until};
use mlx_wired::snapshot::Contention;
use mlx_wired::{Error, SumPolicy, Wait};
use std::thread;

/// The names of the holders and waiters that an error lists.
fn named(contention: &Contention) -> (Vec<&str>, Vec<&str>) {
    let holders = contention.holders.iter().map(|it| it.label.as_deref());
    let waiters = contention.queue.iter().map(|it| it.label.as_deref());
    (
        holders.map(|name| name.unwrap_or("-")).collect(),
        waiters.map(|name| name.unwrap_or("-")).collect(),
    )
}

#[test]
fn r19_a_timeout_names_the_largest_holders_and_the_queue() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10 * GIB);
    let small = rig.ticket(&policy, GIB).label("small");
    let large = rig.ticket(&policy, 8 * GIB).label("large");
    let elsewhere = rig.ticket(&SumPolicy::capped(20 * GIB), 9 * GIB);
    let held = (small.acquire()?, large.acquire()?, elsewhere.acquire()?);
    let line = line!() - 1;
    let waiting = rig.queued_with(&large, Wait::new().timeout(SECOND));
    let behind = rig.queued(&small.clone().label("behind"));
    rig.clock.advance(SECOND);

    let error = waiting.result().expect_err("its time is over");
    let Error::Timeout { contention, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(named(contention), (vec!["large", "small"], vec!["behind"]));
    assert_eq!((contention.guards, contention.waiting), (2, 1));
    let holder = &contention.holders[0];
    assert_eq!((holder.bytes, holder.place.line()), (8 * GIB, line));
    assert_eq!(holder.thread, thread::current().id());
    let text = format!("{error:#}");
    let name = thread::current()
        .name()
        .expect("tests are named")
        .to_owned();
    let part = format!(". held: 8 GiB large at tests/rules/contention.rs:{line}:");
    assert!(text.contains(&part), "{text}");
    assert!(text.contains(&format!(" on {name}, 1 GiB small")), "{text}");
    assert!(text.contains("; waiting: 1 GiB behind at "), "{text}");
    drop(held);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r19_an_error_lists_no_more_than_a_handful() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(80);
    let one = rig.ticket(&policy, 10).label("one");
    let guards: Vec<_> = (0..8).map(|_| one.acquire()).collect::<Result<_, _>>()?;
    let error = one
        .admit_timeout(std::time::Duration::ZERO)
        .expect_err("it is full");
    let Error::Timeout { contention, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(contention.holders.len(), Contention::LISTED);
    assert_eq!(contention.guards, 8);
    assert!(format!("{error:#}").ends_with(" and 3 more"), "{error:#}");
    drop(guards);
    rig.finish()
}

#[test]
fn r25_with_a_budget_everybody_is_in_the_way() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let first = rig.ticket(&SumPolicy::uncapped(), 60).label("first");
    let second = rig.ticket(&SumPolicy::capped(90), 50);
    let guard = first.acquire()?;
    let waiting = rig.queued(&first);
    let error = second.admit_timeout(std::time::Duration::ZERO).err();
    let Some(Error::Timeout { contention, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(named(contention), (vec!["first"], vec!["first"]));
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r18_a_demand_that_is_never_admissible_tells_who_holds_and_waits() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10);
    let full = rig.ticket(&policy, 10).label("full");
    let guard = full.acquire()?;
    let waiting = rig.queued(&full);
    let never = rig.ticket(&policy, 11);
    let error = never.try_acquire().err();
    let Some(Error::NeverAdmissible { contention, .. }) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(named(contention), (vec!["full"], vec!["full"]));
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r19_a_circle_names_the_guards_in_it() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10);
    let half = rig.ticket(&policy, 5).label("half");
    let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (half, gate) = (half.clone(), gate.clone());
            Pending::spawn(move || {
                let guard = half.acquire()?;
                gate.wait();
                let second = half.acquire().map(drop);
                drop(guard);
                second
            })
        })
        .collect();
    let mut results: Vec<_> = workers.into_iter().map(Pending::result).collect();
    results.sort_by_key(Result::is_ok);
    let Err(Error::WouldDeadlock { contention, .. }) = &results[0] else {
        panic!("{results:?}");
    };
    assert_eq!(results[1], Ok(()));
    assert_eq!(named(contention), (vec!["half", "half"], vec!["half"]));
    until("all is released", || rig.manager.holders().is_empty());
    drop(acquiring(&half).result()?);
    rig.finish()
}

/// What an acquire that would close a circle is told that it holds, and where that was taken.
#[track_caller]
fn culprit<T>(result: Result<T, Error>) -> (u64, u32) {
    match result.map(|_| ()) {
        Err(Error::WouldDeadlock { held, held_at, .. }) => (held, held_at.line()),
        other => panic!("expected a circle, got {other:?}"),
    }
}

#[test]
fn r19_of_a_circle_the_waiters_own_guard_is_told_before_a_larger_one() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let small = ticket(10);
    let (held, line) = (small.acquire()?, line!());
    let other = Worker::holding(&rig.manager, &ticket(60)).waits(&ticket(40), Wait::new());
    assert_eq!(culprit(ticket(50).acquire()), (10, line));
    drop(held);
    assert_eq!(other.result(), Ok(40));
    rig.finish()
}

#[test]
fn r19_of_a_circle_a_guard_of_the_group_is_told_before_a_larger_one() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 10);
    let elsewhere = rig.ticket(&SumPolicy::capped(200), 70);
    let first = elsewhere.acquire()?;
    let (held, line) = (ticket.acquire()?, line!());
    let last = elsewhere.acquire()?;
    let wanted = rig.ticket(&SumPolicy::capped(100), 95);
    assert_eq!(culprit(wanted.acquire()), (10, line));
    drop((first, held, last));
    rig.finish()
}
