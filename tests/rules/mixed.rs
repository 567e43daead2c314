//! Policies of different kinds that share an id, and so a group.

use crate::kit::{Custom, HookedClock, Pending, Rig, SECOND, eager, quiet};
use mlx_wired::{BudgetPolicy, Error, MaxPolicy, PolicyId, SumPolicy, Wait};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;

#[test]
fn r1_a_custom_policy_and_a_built_in_one_of_one_name_are_two_groups() -> Result<(), Error> {
    for built_in_first in [false, true] {
        let rig = Rig::new(quiet())?;
        let built_in = SumPolicy::capped(100).with_id(PolicyId::named("mixed"));
        let custom = Custom::capped(30).named("mixed");
        let (built_in, custom) = if built_in_first {
            let built_in = rig.ticket(&built_in, 20);
            (built_in, rig.ticket(&custom, 20))
        } else {
            let custom = rig.ticket(&custom, 20);
            (rig.ticket(&built_in, 20), custom)
        };
        let first = built_in.acquire()?;
        let second = custom.try_acquire()?;
        assert!(custom.try_acquire().is_err(), "20 + 20 > 30");
        drop((first, second));
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r2_the_largest_is_that_of_all_policies_of_the_id() -> Result<(), Error> {
    for sum_first in [false, true] {
        let rig = Rig::new(eager())?;
        let id = PolicyId::named("largest");
        let sum = SumPolicy::uncapped().with_id(id.clone());
        let max = MaxPolicy::new().with_id(id);
        let (sum, max) = if sum_first {
            let sum = rig.ticket(&sum, 100);
            (sum, rig.ticket(&max, 10))
        } else {
            let max = rig.ticket(&max, 10);
            (rig.ticket(&sum, 100), max)
        };
        let large = sum.acquire()?;
        assert_eq!(rig.limit(), 100);
        let small = max.acquire()?;
        assert_eq!(rig.limit(), 100, "baseline + the largest of all");
        drop(small);
        assert_eq!(rig.limit(), 100, "the newest admitted policy still speaks");
        drop(large);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r1_each_ticket_goes_by_its_own_cap() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let id = PolicyId::named("two caps");
    let wide = BudgetPolicy::new(0).with_cap(100).with_id(id.clone());
    let narrow = BudgetPolicy::new(0).with_cap(30).with_id(id);
    let wide = rig.ticket(&wide, 40);
    let narrow = rig.ticket(&narrow, 10);
    let small = narrow.try_acquire()?;
    let large = wide.try_acquire()?;
    assert!(narrow.try_acquire().is_err());
    let second = wide.try_acquire()?;
    assert_eq!(rig.limit(), 90);
    drop((small, large, second));
    rig.finish()
}

#[test]
fn r2_a_ticket_of_another_cap_that_is_never_acquired_changes_nothing() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let id = PolicyId::named("unused");
    let used = SumPolicy::capped(100).with_id(id.clone());
    let used = rig.ticket(&used, 40);
    let first = used.acquire()?;
    let unused = SumPolicy::capped(10).with_id(id);
    let _unused = rig.ticket(&unused, 10);
    let second = used.acquire()?;
    assert_eq!(rig.limit(), 80);
    assert!(used.try_acquire().is_err());
    drop(first);
    assert_eq!(rig.limit(), 40);
    drop(second);
    rig.finish()
}

#[test]
fn r8_a_newer_policy_that_calls_for_less_lowers_the_limit() -> Result<(), Error> {
    let built_in = |base| {
        BudgetPolicy::new(base)
            .with_cap(100)
            .with_id(PolicyId::named("two bases"))
    };
    let custom = |base| {
        Custom::new()
            .named("two bases")
            .limits(move |_, live| base + live.sum)
    };
    for is_custom in [false, true] {
        let rig = Rig::new(eager())?;
        let ticket = |base| match is_custom {
            false => rig.ticket(&built_in(base), 10),
            true => rig.ticket(&custom(base), 10),
        };
        let (large, small) = (ticket(50), ticket(0));
        let first = large.acquire()?;
        assert_eq!(rig.limit(), 60);
        let second = small.acquire()?;
        assert_eq!(rig.limit(), 20, "custom: {is_custom}");
        drop((first, second));
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r8_a_newer_policy_that_gets_in_by_a_timeout_lowers_the_limit() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = |base, bytes| {
        let policy = BudgetPolicy::new(base)
            .with_cap(100)
            .with_id(PolicyId::named("two bases"));
        rig.ticket(&policy, bytes)
    };
    let first = ticket(50, 10).acquire_owned()?;
    assert_eq!(rig.limit(), 60);
    let wait = Wait::new().timeout(SECOND);
    let head = rig.queued_with(&ticket(50, 50), wait);
    let next = rig.queued(&ticket(0, 10));
    rig.clock.advance(2 * SECOND);
    assert!(head.result().is_err_and(|error| error.is_timeout()));
    let second = next.result()?;
    assert_eq!(rig.limit(), 20);
    drop((first, second));
    rig.finish()
}

#[test]
fn r8_whoever_is_covered_and_sleeps_on_settles_nothing() -> Result<(), Error> {
    // Lets a thread of the test's choice sleep on after it was woken.
    let (sleeper, gate) = (Arc::new(OnceLock::new()), Arc::new(Barrier::new(2)));
    let (chosen, waits) = (sleeper.clone(), gate.clone());
    let rig = Rig::clocked(eager(), |clock| {
        HookedClock::new(clock).after_sleep(move || {
            if chosen.get() == Some(&thread::current().id()) {
                waits.wait();
            }
        })
    })?;
    let ticket = |base, bytes| {
        let policy = BudgetPolicy::new(base)
            .with_cap(1000)
            .with_id(PolicyId::named("two bases"));
        rig.ticket(&policy, bytes)
    };
    let of = |bytes| rig.ticket(&SumPolicy::capped(200), bytes);
    // Somebody is admitted, covered by another's call, and sleeps on.
    let before = of(150).acquire_owned()?;
    let waits = of(200);
    let asleep = Pending::spawn(move || {
        let own = thread::current().id();
        sleeper.set(own).expect("one thread sleeps");
        waits.acquire_owned()
    });
    asleep.until_queued(&rig.manager);
    drop(before);
    let first = ticket(500, 10).acquire_owned()?;
    assert_eq!(rig.limit(), 510);
    // A policy that calls for less gets in by a timeout.
    let wait = Wait::new().timeout(SECOND);
    let head = rig.queued_with(&ticket(500, 495), wait);
    let next = rig.queued(&ticket(0, 10));
    rig.clock.advance(SECOND);
    assert!(head.result().is_err_and(|error| error.is_timeout()));
    let second = next.result()?;
    assert_eq!(rig.limit(), 200);
    gate.wait();
    drop((asleep.result()?, first, second));
    rig.finish()
}

#[test]
fn r2_a_guard_that_shrinks_does_not_speak_for_its_group() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let id = PolicyId::named("shrinking");
    let built_in = |base| BudgetPolicy::new(base).with_id(id.clone());
    let custom = |base| {
        let policy = Custom::new().named("shrinking");
        policy.limits(move |context, live| context.baseline + base + live.sum)
    };
    for tickets in [
        [0, 100].map(|base| rig.ticket(&built_in(base), 20)),
        [0, 100].map(|base| rig.ticket(&custom(base), 20)),
    ] {
        let mut older = tickets[0].acquire()?;
        let newer = tickets[1].acquire()?;
        assert_eq!(rig.limit(), 140);
        older.resize(10)?;
        assert_eq!(rig.limit(), 130, "the newer guard still has its 100");
        drop(newer);
        assert_eq!(rig.limit(), 110);
    }
    rig.finish()
}
