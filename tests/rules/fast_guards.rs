//! R8 and R12: guards that came without the lock leave as the others do.

use crate::kit::{Custom, GIB, Rig, SECOND, quiet};
use mlx_wired::{BudgetPolicy, Config, Error, MaxPolicy, PeakPolicy, Policy, SumPolicy};
use std::time::Duration;

/// Lowers at once, by half or more.
fn by_half() -> Config {
    quiet()
        .shrink_threshold_ratio(0.5)
        .shrink_cooldown(Duration::ZERO)
}

/// A guard that stays, one that came under the lock, and one of its size that came without; these two leave, the
/// latter `last` or first. While somebody watches, both come and leave under the lock.
fn leave(policy: impl Policy + Clone, unit: u64, last: bool, watched: bool) -> Result<(), Error> {
    let rig = Rig::new(by_half())?;
    let _watches = watched.then(|| rig.manager.subscribe(100));
    let ticket = |units| rig.ticket(&policy, units * unit);
    let stays = ticket(1).acquire_owned()?;
    let large = ticket(8);
    let locked = large.acquire()?;
    drop(large.acquire()?);
    let (limit, calls) = (rig.limit(), rig.calls());
    let fast = large.acquire()?;
    let (first, second) = if last { (locked, fast) } else { (fast, locked) };
    drop(first);
    assert_eq!((rig.limit(), rig.calls()), (limit, calls));
    assert_eq!(rig.backend.synchronizations().len(), 0);
    drop(second);
    assert_eq!((rig.limit(), rig.calls()), (unit, calls + 1));
    let seen = rig.backend.synchronizations();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].limit, seen[0].after_calls), (limit, calls));
    drop(stays);
    assert_eq!(rig.backend.synchronizations().len(), 2);
    rig.finish()
}

fn leave_either_way(policy: impl Policy + Clone) -> Result<(), Error> {
    for unit in [1, GIB] {
        for last in [false, true] {
            leave(policy.clone(), unit, last, false)?;
            leave(policy.clone(), unit, last, true)?;
        }
    }
    Ok(())
}

#[test]
fn r12_under_a_sum() -> Result<(), Error> {
    leave_either_way(SumPolicy::uncapped())?;
    leave_either_way(SumPolicy::capped(40 * GIB))?;
    leave_either_way(BudgetPolicy::new(0).with_cap(40 * GIB))
}

#[test]
fn r12_under_a_maximum() -> Result<(), Error> {
    leave_either_way(MaxPolicy::new())?;
    leave_either_way(PeakPolicy)
}

/// Two guards that came without the lock, beside each other alone; the first of them or the second is the last to leave.
/// Neither is the last as it was admitted.
fn leave_alone(policy: &(impl Policy + Clone), first_is_last: bool) -> Result<(), Error> {
    let config = by_half().shrink_threshold_ratio(0.9);
    let rig = Rig::new(config)?;
    let ticket = rig.ticket(policy, 1);
    let opens = ticket.acquire_owned()?;
    drop([ticket.acquire_owned()?, ticket.acquire_owned()?]);
    let (limit, calls) = (rig.limit(), rig.calls());
    let first = ticket.acquire()?;
    drop(opens);
    let second = ticket.acquire()?;
    let (leaves, last) = if first_is_last {
        (second, first)
    } else {
        (first, second)
    };
    drop(leaves);
    assert_eq!((rig.limit(), rig.calls()), (limit, calls));
    assert_eq!(rig.backend.synchronizations().len(), 0);
    drop(last);
    let seen = rig.backend.synchronizations();
    assert_eq!(seen.len(), 1, "its work is finished first");
    assert_eq!((seen[0].limit, seen[0].after_calls), (limit, calls));
    rig.finish()
}

#[test]
fn r12_beside_guards_that_came_without_the_lock() -> Result<(), Error> {
    for first_is_last in [false, true] {
        leave_alone(&SumPolicy::uncapped(), first_is_last)?;
        leave_alone(&SumPolicy::capped(GIB), first_is_last)?;
    }
    Ok(())
}

/// Some of several equal ones leave, in turn with others.
#[test]
fn r8_as_many_as_came_leave() -> Result<(), Error> {
    let rig = Rig::new(by_half())?;
    let of = |bytes| rig.ticket(&MaxPolicy::new(), bytes);
    let (small, large) = (of(1), of(8));
    let stays = small.acquire_owned()?;
    let mut guards = vec![large.acquire()?];
    for _ in 0..3 {
        guards.push(large.acquire()?);
        drop(small.acquire()?);
        guards.push(large.acquire()?);
        drop(guards.swap_remove(0));
    }
    while let Some(guard) = guards.pop() {
        assert_eq!(rig.limit(), 8);
        drop(guard);
    }
    assert_eq!(rig.limit(), 1);
    drop(stays);
    rig.finish()
}

/// Without housekeeping every transition looks, also of a group that is not concerned.
#[test]
fn r8_a_custom_guards_release_does_what_is_due() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let sum = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let stays = sum(100).acquire_owned()?;
    let custom = rig.ticket(&Custom::new(), 1).acquire_owned()?;
    drop(sum(100).acquire_owned()?);
    assert_eq!(rig.limit(), 200);
    rig.clock.advance(SECOND);
    drop(custom);
    assert_eq!(rig.limit(), 100);
    drop(stays);
    rig.finish()
}

/// The one group drives, the other calls for more.
#[test]
fn r2_a_larger_reservation_keeps_no_epoch_open() -> Result<(), Error> {
    for watched in [false, true] {
        let rig = Rig::new(quiet())?;
        let _watches = watched.then(|| rig.manager.subscribe(100));
        let driving = rig.ticket(&SumPolicy::uncapped(), 10);
        let driving = (driving.acquire_owned()?, driving.acquire_owned()?);
        let resident = rig.ticket(&MaxPolicy::new(), 100).reservation();
        let resident = resident.acquire_owned()?;
        assert_eq!(rig.limit(), 100);
        drop(driving.0);
        assert_eq!(rig.limit(), 100);
        drop(driving.1);
        assert_eq!(rig.limit(), 0, "nobody drives");
        drop(resident);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r24_an_admission_from_the_queue_is_counted_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 60);
    let held = ticket.acquire_owned()?;
    let waiting = rig.queued(&ticket);
    assert_eq!(rig.manager.stats().admissions, 1);
    drop(held);
    let guard = waiting.result()?;
    assert_eq!(rig.manager.stats().admissions, 2);
    drop(guard);
    rig.finish()
}
