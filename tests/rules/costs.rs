//! R40: what a call costs does not depend on how many guards live, or on what other managers hold.

use crate::allocations::memory_of;
use crate::kit::{Pending, Rig, SECOND, effort, quiet};
use mlx_wired::ffi::NoMlx;
use mlx_wired::snapshot::Contention;
use mlx_wired::{BudgetPolicy, Error, Guard, Manager, OwnedGuard, SumPolicy, Ticket};
use std::time::Duration;

const MANY: usize = 20_000;
/// What a refusal may allocate, and what its error may keep, in bytes.
const SMALL: usize = 16 << 10;

fn guards(ticket: &Ticket, count: usize) -> Result<Vec<OwnedGuard>, Error> {
    (0..count).map(|_| ticket.acquire_owned()).collect()
}

fn contention<T>(result: Result<T, Error>) -> Contention {
    match result.map(|_| ()) {
        Err(Error::Timeout { contention, .. } | Error::NeverAdmissible { contention, .. }) => {
            *contention
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The least of a few times.
fn least(mut time: impl FnMut() -> Duration) -> Duration {
    (0..3).map(|_| time()).min().unwrap_or_default()
}

#[test]
fn r40_a_ticket_costs_the_same_beside_many_guards() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let tickets = || {
        effort(|| {
            for request in 0..1_000 {
                let ticket = rig.ticket(&SumPolicy::uncapped(), 1);
                drop(ticket.label(format!("request {request}")));
            }
        })
    };
    let alone = least(tickets);
    let pages = guards(&rig.ticket(&SumPolicy::uncapped(), 1), MANY)?;
    let beside = least(tickets);
    assert!(beside < 10 * alone, "{alone:?} alone, {beside:?} beside");
    drop(pages);
    rig.finish()
}

#[test]
fn r40_a_resize_costs_the_same_beside_many_guards() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 1).reservation();
    let mut cache = ticket.acquire_owned()?;
    let mut growths = || {
        let from = cache.bytes();
        effort(|| {
            for token in 1..=1_000 {
                cache.resize(from + token).expect("nothing is in the way");
            }
        })
    };
    let alone = least(&mut growths);
    let pages = guards(&ticket, MANY)?;
    let beside = least(&mut growths);
    assert!(beside < 10 * alone, "{alone:?} alone, {beside:?} beside");
    drop((pages, cache));
    rig.finish()
}

#[test]
fn r40_a_refusal_lists_no_more_than_it_tells() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let full = rig.ticket(&SumPolicy::capped(MANY as u64), 1);
    let held = guards(&full, MANY)?;
    let never = rig.ticket(&SumPolicy::capped(MANY as u64), 1 + MANY as u64);
    for (ticket, is) in [(&never, "never"), (&full, "timeout")] {
        let refused = || ticket.admit_timeout(Duration::ZERO).map(drop);
        let (error, memory) = memory_of(refused);
        assert!(memory.taken < SMALL, "{is}: {memory:?}");
        let told = contention(error);
        assert_eq!(told.holders.len(), Contention::LISTED, "{is}");
        assert_eq!(told.guards, MANY, "{is}");
    }
    drop(held);
    rig.finish()
}

#[test]
fn r40_a_deadline_that_comes_lists_no_more_than_it_tells() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let full = rig.ticket(&SumPolicy::capped(MANY as u64), 1);
    let held = guards(&full, MANY)?;
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let full = full.clone();
            let waits = move || memory_of(|| full.admit_timeout(SECOND).map(drop));
            let pending = Pending::spawn(waits);
            pending.until_queued(&rig.manager);
            pending
        })
        .collect();
    rig.clock.advance(SECOND);
    for pending in waiting {
        let (error, memory) = pending.result();
        assert!(memory.taken < SMALL, "{memory:?}");
        assert_eq!(contention(error).guards, MANY);
    }
    drop(held);
    rig.finish()
}

#[test]
fn r40_an_error_is_as_large_as_what_it_tells() -> Result<(), Error> {
    const ERRORS: usize = 20;
    let rig = Rig::new(quiet())?;
    let full = rig.ticket(&SumPolicy::capped(1000), 1);
    let held = guards(&full, 1000)?;
    let refused = |_| full.admit_timeout(Duration::ZERO).map(drop);
    let (errors, memory) = memory_of(|| (0..ERRORS).map(refused).collect::<Vec<_>>());
    let each = memory.kept / ERRORS as isize;
    assert!(each < 4 << 10, "{each} bytes for each error");
    assert!(errors.iter().all(Result::is_err));
    drop(held);
    rig.finish()
}

#[test]
fn r40_an_error_names_the_largest_of_as_many_as_are_looked_at() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(1000);
    let ticket = |bytes, name: &str| rig.ticket(&policy, bytes).label(name);
    let (small, large) = (ticket(1, "small"), ticket(500, "large"));
    let names_the_largest = || {
        let told = contention(large.admit_timeout(Duration::ZERO));
        assert_eq!(told.holders[0].label.as_deref(), Some("large"));
        assert_eq!((told.holders.len(), told.guards), (Contention::LISTED, 64));
    };
    let owned = [guards(&small, 20)?, guards(&large, 1)?, guards(&small, 43)?];
    names_the_largest();
    drop(owned);
    let borrow = |ticket: &'static Ticket, count: usize| -> Result<Vec<Guard<'_>>, Error> {
        (0..count).map(|_| ticket.acquire()).collect()
    };
    let keep = |ticket: &Ticket| &*Box::leak(Box::new(ticket.clone()));
    let (small, large_too) = (keep(&small), keep(&large));
    // More than a thread's slots hold.
    let borrowed = [borrow(small, 62)?, borrow(large_too, 1)?, borrow(small, 1)?];
    names_the_largest();
    drop(borrowed);
    rig.finish()
}

#[test]
fn r40_many_guards_of_another_manager_hide_no_holder() -> Result<(), Error> {
    let (rig, other) = (Rig::new(quiet())?, Rig::new(quiet())?);
    let pages = guards(&other.manager.ticket(&SumPolicy::uncapped(), 1), MANY)?;
    let full = rig.ticket(&SumPolicy::capped(10), 7).label("full");
    let held = full.acquire_owned()?;
    let more = guards(&other.manager.ticket(&SumPolicy::uncapped(), 1), MANY)?;
    let (told, memory) = memory_of(|| contention(full.admit_timeout(Duration::ZERO)));
    assert_eq!(told.holders[0].label.as_deref(), Some("full"));
    assert_eq!(told.guards, 1);
    assert!(memory.taken < SMALL, "{memory:?}");
    let (listed, memory) = memory_of(|| rig.manager.holders());
    assert_eq!(listed.len(), 1);
    assert!(memory.taken < SMALL, "{memory:?}");
    drop((pages, held, more));
    other.finish()?;
    rig.finish()
}

#[test]
fn r40_under_a_budget_an_error_names_the_largest_of_all_groups() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(1000))?;
    let group = |bytes| rig.ticket(&BudgetPolicy::new(0), bytes);
    let held = (1..=40).map(|bytes| group(bytes).acquire_owned());
    let held = held.collect::<Result<Vec<_>, _>>()?;
    let waiting = rig.queued(&group(200));
    let told = contention(group(300).admit_timeout(Duration::ZERO));
    let sizes: Vec<u64> = told.holders.iter().map(|holder| holder.bytes).collect();
    assert_eq!(sizes, [40, 39, 38, 37, 36]);
    assert_eq!((told.guards, told.waiting), (40, 1));
    drop(held);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r40_an_error_tells_the_first_of_a_long_queue() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let full = rig.ticket(&SumPolicy::capped(10), 10);
    let held = full.acquire_owned()?;
    let name = |number: usize| full.clone().label(format!("number {number}"));
    let waiting: Vec<_> = (0..30).map(|number| rig.queued(&name(number))).collect();
    let told = contention(full.admit_timeout(Duration::ZERO));
    let names: Vec<_> = told.queue.iter().map(|it| it.label.as_deref()).collect();
    let expected = ["number 0", "number 1", "number 2", "number 3", "number 4"];
    assert_eq!(names, expected.map(Some));
    assert_eq!(told.waiting, 30);
    drop(held);
    for pending in waiting {
        drop(pending.result()?);
    }
    rig.finish()
}

#[test]
fn r40_the_memory_of_a_burst_goes_back() -> Result<(), Error> {
    const BURST: usize = 50_000;
    // A recording backend keeps what it records.
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), 1).reservation();
    drop((ticket.acquire()?, ticket.acquire_owned()?));
    // No map that has had a few entries counts.
    let few = 64 << 10;
    let (result, memory) = memory_of(|| guards(&ticket, BURST).map(drop));
    result?;
    assert!(memory.kept < few, "owned guards: {memory:?}");
    let borrowed =
        || -> Result<Vec<Guard<'_>>, Error> { (0..BURST).map(|_| ticket.acquire()).collect() };
    let (result, memory) = memory_of(|| borrowed().map(drop));
    result?;
    assert!(memory.kept < few, "borrowed guards: {memory:?}");
    let request = |number| ticket.clone().label(format!("request {number}"));
    let ((), memory) = memory_of(|| drop((0..BURST).map(request).collect::<Vec<_>>()));
    // Of the last tickets that went, a few are not looked for yet.
    assert!(memory.kept < 2 * few, "tickets: {memory:?}");
    Ok(())
}

/// All groups have one line then: it is not examined once for each of them.
#[test]
fn r40_a_poke_under_a_budget_costs_what_it_costs_without() -> Result<(), Error> {
    const GROUPS: usize = 300;
    let rig = Rig::new(quiet())?;
    let group = || rig.ticket(&BudgetPolicy::new(0), 1).acquire_owned();
    let held = (0..GROUPS)
        .map(|_| group())
        .collect::<Result<Vec<_>, _>>()?;
    let poke = || effort(|| rig.manager.poke().expect("no policy is asked"));
    let without = least(poke);
    rig.manager.configure(|config| config.budget(1 << 30))?;
    let with = least(poke);
    assert!(with < 10 * without, "{without:?} without, {with:?} with");
    drop(held);
    rig.finish()
}

/// A server keeps a policy for each of many sessions, and all of them end.
#[test]
fn r40_the_memory_of_a_burst_of_groups_goes_back() -> Result<(), Error> {
    const BURST: u64 = 5_000;
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let session = |_| manager.ticket(&BudgetPolicy::new(0), 1).label("session");
    drop(session(0).acquire_owned()?);
    let ((), memory) = memory_of(|| {
        let tickets: Vec<_> = (0..BURST).map(session).collect();
        for ticket in &tickets {
            drop(ticket.try_acquire());
        }
        drop(tickets);
        // The next ticket looks.
        drop(session(0));
    });
    assert!(memory.kept < 64 << 10, "{memory:?}");
    // Those that are in use stay, wherever they are in the table.
    let tickets: Vec<_> = (0..BURST).map(session).collect();
    let used: Vec<_> = tickets.into_iter().step_by(500).collect();
    let guards: Result<Vec<_>, Error> = used.iter().map(Ticket::acquire).collect();
    let guards = guards?;
    drop((0..BURST).map(session).collect::<Vec<_>>());
    assert_eq!(manager.in_use(), 10);
    assert!(used.iter().all(|ticket| ticket.in_use() == 1));
    drop(guards);
    assert!(used.iter().all(|ticket| ticket.in_use() == 0));
    Ok(())
}
