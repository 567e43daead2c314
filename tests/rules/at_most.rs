//! R32: how many active guards of a group live at once.

use crate::kit::{
    GIB, Pending, Rig, SECOND, Worker, acquiring, assert_matches, assert_says, in_the_way,
    invalid_field, quiet,
};
use mlx_wired::{
    BudgetPolicy, Error, FixedPolicy, MaxPolicy, Obstacle, PeakPolicy, Policy, SumPolicy, Ticket,
    Wait, WireMode, snapshot::WaitReason,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const TWO: Obstacle = Obstacle::AtMost { most: 2 };

#[test]
fn r32_one_more_waits_in_line_for_a_place() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let job = rig.ticket(&SumPolicy::capped(GIB).at_most(2), 1);
    let (first, second) = (job.acquire_owned()?, job.acquire()?);
    assert_eq!(in_the_way(&job), TWO);
    let third = rig.queued_with(&job, Wait::new().timeout(SECOND));
    let why = rig.manager.snapshot().waiters[0].why;
    assert_eq!(why, WaitReason::AtMost { active: 2, most: 2 });
    rig.clock.advance(SECOND);
    let error = third.result().expect_err("there was no place");
    assert_matches!(error, Error::Timeout { obstacle: TWO, .. });
    let third = rig.queued(&job);
    drop(first);
    let third = third.result()?;
    assert_eq!(in_the_way(&job), TWO);
    drop((second, third));
    rig.finish()
}

#[test]
fn r32_every_built_in_policy_can_be_told_how_many() -> Result<(), Error> {
    fn check(rig: &Rig, policy: impl Policy + Clone) -> Result<(), Error> {
        let job = rig.ticket(&policy, 1);
        let _held = (job.acquire()?, job.acquire_owned()?);
        assert_eq!(in_the_way(&job), TWO);
        // A policy behind a pointer is that policy.
        let shared: Arc<dyn Policy> = Arc::new(policy);
        assert_eq!(in_the_way(&rig.ticket(&shared, 1)), TWO);
        Ok(())
    }
    let rig = Rig::new(quiet())?;
    check(&rig, SumPolicy::uncapped().at_most(2))?;
    check(&rig, SumPolicy::new().at_most(2))?;
    check(&rig, MaxPolicy::new().at_most(2))?;
    check(&rig, PeakPolicy.at_most(2))?;
    check(&rig, FixedPolicy::new(9).at_most(2))?;
    check(&rig, BudgetPolicy::new(0).at_most(2))?;
    rig.finish()
}

#[test]
fn r32_residents_and_reservations_do_not_count() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100).at_most(1);
    let ticket = || rig.ticket(&policy, 1);
    let hold = [ticket().resident(), ticket().reservation()];
    let holds: Vec<_> = hold.iter().map(Ticket::acquire).collect();
    let work = ticket().acquire_owned()?;
    // Nor are they counted against it.
    let beside = [hold[0].acquire()?, hold[1].acquire()?];
    assert_eq!(in_the_way(&ticket()), Obstacle::AtMost { most: 1 });
    // None that goes leaves a place behind.
    drop((holds, beside));
    assert_eq!(in_the_way(&ticket()), Obstacle::AtMost { most: 1 });
    drop(work);
    drop(ticket().try_acquire()?);
    rig.finish()
}

#[test]
fn r32_it_is_no_part_of_the_id_and_guards_of_every_ticket_count() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    assert_eq!(policy.clone().at_most(3).id(), policy.id());
    let any = rig.ticket(&policy, 1);
    let many = rig.ticket(&policy.clone().at_most(3), 1);
    let few = rig.ticket(&policy.clone().at_most(2), 1);
    let held = (any.acquire()?, any.acquire()?);
    assert_eq!(in_the_way(&few), TWO);
    let third = many.try_acquire()?;
    assert_eq!(in_the_way(&many), Obstacle::AtMost { most: 3 });
    // One that is told no number goes by none.
    let fourth = any.try_acquire()?;
    drop((held, third, fourth));
    rig.finish()
}

#[test]
fn r32_none_that_comes_later_passes_one_that_waits_for_a_place() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for policy in [SumPolicy::uncapped(), SumPolicy::capped(GIB)] {
        let any = rig.ticket(&policy, 1);
        let one = rig.ticket(&policy.at_most(1), 1);
        let held = any.acquire_owned()?;
        let waits = rig.queued(&one);
        assert_eq!(in_the_way(&any), Obstacle::Line);
        let behind = rig.queued(&any);
        drop(held);
        let (waited, behind) = (waits.result()?, behind.result()?);
        drop((waited, behind));
    }
    rig.finish()
}

#[test]
fn r32_growth_is_not_looked_at() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let any = rig.ticket(&policy, 1);
    let mut one = rig.ticket(&policy.at_most(1), 1).acquire_owned()?;
    let beside = any.acquire()?;
    one.resize(10)?;
    drop((one, beside));
    rig.finish()
}

#[test]
fn r32_leaked_guards_count_for_ever() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let one = rig.ticket(&policy.clone().at_most(1), 1);
    // One that waits already is told, too.
    let work = one.acquire_owned()?;
    let waits = rig.queued(&one);
    let waits_for_holds = rig.queued_with(&one, Wait::new().for_holds());
    work.leak();
    let told = |error: Error| match error {
        Error::NoRoom {
            holder, at_most, ..
        } => (holder.leaked, at_most),
        other => panic!("expected no room, got {other:?}"),
    };
    let leaked = (true, Some(1));
    assert_eq!(told(waits.result().expect_err("it is for ever")), leaked);
    assert_eq!(
        told(one.acquire().map(drop).expect_err("it is for ever")),
        leaked
    );
    let error = one.try_acquire().map(drop).expect_err("it is for ever");
    let text = format!("{error:#}");
    assert_says(&text, "at_most");
    assert_says(&text, "at_most.rs:");
    assert_eq!(told(error), leaked);
    // A ticket that may have one more is told nothing.
    let two = rig.ticket(&policy.at_most(2), 1);
    drop(two.try_acquire()?);
    waits_for_holds.assert_pending();
    rig.manager.close();
    assert!(matches!(waits_for_holds.result(), Err(Error::Closed)));
    Ok(())
}

#[test]
fn r32_a_thread_that_waits_for_its_own_place_is_a_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let one = rig.ticket(&SumPolicy::capped(100).at_most(1), 1);
    let own = Worker::holding(&rig.manager, &one);
    let error = own.wants(&one, Wait::new()).result();
    assert_matches!(error, Err(Error::WouldDeadlock { .. }));
    // Two places, and two threads that want two each: the second closes it.
    let two = rig.ticket(&SumPolicy::uncapped().at_most(2), 1);
    let [first, second] = [(); 2].map(|()| Worker::holding(&rig.manager, &two));
    let first = first.waits(&two, Wait::new());
    let error = second.wants(&two, Wait::new()).result();
    assert_matches!(error, Err(Error::WouldDeadlock { .. }));
    assert_eq!(first.result()?, 1);
    rig.finish()
}

#[test]
fn r32_a_number_of_none_is_refused_and_one_that_is_never_reached_is_none() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |n| rig.ticket(&SumPolicy::capped(100).at_most(n), 1);
    for result in [
        ticket(0).acquire().map(drop),
        ticket(0).try_acquire().map(drop),
    ] {
        assert_eq!(invalid_field(result), "at_most", "it would admit nothing");
    }
    // A hold goes by no number.
    drop(ticket(0).reservation().acquire()?);
    drop(ticket(usize::MAX).acquire()?);
    rig.finish()
}

#[test]
fn r32_without_coordination_no_number_counts() -> Result<(), Error> {
    let rig = Rig::new(quiet().mode(WireMode::Uncoordinated))?;
    let one = rig.ticket(&SumPolicy::new().at_most(1), 1);
    drop((one.acquire()?, one.try_acquire()?, one.acquire_owned()?));
    rig.finish()
}

#[test]
fn r32_under_a_budget_and_while_somebody_watches_it_is_the_same() -> Result<(), Error> {
    for budget in [None, Some(100)] {
        let rig = Rig::new(quiet().budget(budget))?;
        let events = rig.manager.subscribe(1 << 10);
        let job = rig.ticket(&SumPolicy::capped(60).at_most(2), 1);
        let (_first, second) = (job.acquire()?, job.acquire_owned()?);
        let third = rig.queued(&job);
        drop(second);
        let _third = third.result()?;
        assert_eq!(in_the_way(&job), TWO);
        drop(events);
    }
    Ok(())
}

#[test]
fn r32_acquires_and_releases_take_no_lock() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(GIB).at_most(2);
    let weights = rig.ticket(&policy, GIB / 2).resident().acquire_owned()?;
    let job = rig.ticket(&policy, 1);
    let pair = || -> Result<(), Error> {
        drop((job.acquire()?, job.acquire_owned()?));
        Ok(())
    };
    pair()?;
    let before = rig.manager.stats().admissions;
    for _ in 0..100 {
        pair()?;
    }
    assert_eq!(rig.manager.stats().admissions, before);
    drop(weights);
    rig.finish()
}

/// Whatever comes and goes beside them, no more are let in than may be.
#[test]
fn r32_many_threads_and_a_resident_that_comes_and_goes() -> Result<(), Error> {
    const MOST: u64 = 3;
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped().at_most(MOST as usize);
    let job = rig.ticket(&policy, 1);
    let resident = rig.ticket(&policy, 1).resident();
    let (running, highest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut threads: Vec<Pending<Result<(), Error>>> = (0..6)
        .map(|_| {
            let (job, running, highest) = (job.clone(), running.clone(), highest.clone());
            Pending::spawn(move || {
                for _ in 0..300 {
                    let _guard = job.acquire()?;
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    highest.fetch_max(now, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                }
                Ok(())
            })
        })
        .collect();
    threads.push(Pending::spawn(move || {
        for _ in 0..300 {
            drop(resident.acquire()?);
            std::thread::yield_now();
        }
        Ok(())
    }));
    for thread in threads {
        thread.result()?;
    }
    let highest = highest.load(Ordering::SeqCst);
    assert!((1..=MOST).contains(&highest), "{highest} at once");
    // Every place is free again.
    let all = (acquiring(&job).result()?, job.acquire()?, job.acquire()?);
    assert_eq!(in_the_way(&job), Obstacle::AtMost { most: 3 });
    drop(all);
    rig.finish()
}
