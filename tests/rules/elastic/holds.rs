//! R33a: demands for holds that the pressure sets aside.

use super::*;

#[test]
fn r33a_a_hold_is_set_aside_and_delays_no_work() -> Result<(), Error> {
    for budget in [None, Some(1000)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(100);
        let step = rig.ticket(&policy, 20);
        let model = rig.ticket(&policy, 60).resident();
        let first = step.acquire_owned()?;
        assert_eq!(in_the_way(&model), CRITICAL);
        let load = rig.queued(&model);
        let waiter = rig.manager.snapshot().waiters.remove(0);
        assert!(waiter.set_aside);
        assert!(matches!(waiter.why, WaitReason::Delayed { counts: 50, .. }));
        // Work goes on.
        let second = step.try_acquire()?;
        drop(first);
        assert_eq!(rig.manager.waiting().len(), 1);
        // The last guard leaves: nothing is left to wait for.
        drop(second);
        drop(load.result()?);
        // A released guard and the next acquire find the way free again.
        drop(step.try_acquire()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r33a_a_hold_waits_while_any_guard_lives_and_at_most_its_patience() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let weights = rig.ticket(&policy, 40).reservation();
    let _held = weights.acquire()?;
    let other = rig.queued(&weights);
    rig.clock.advance(LONG - Duration::from_nanos(1));
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(Duration::from_nanos(1));
    drop(other.result()?);
    rig.finish()
}

#[test]
fn r33a_holds_that_are_delayed_come_in_their_order() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let hold = |bytes| rig.ticket(&policy, bytes).reservation();
    let work = rig.ticket(&policy, 45).acquire_owned()?;
    let large = rig.queued(&hold(20));
    // It would fit, and came later.
    let small = rig.queued(&hold(5));
    assert_eq!(rig.manager.waiting().len(), 2);
    drop(work);
    drop((large.result()?, small.result()?));
    rig.finish()
}

/// Two holds wait for work, in line: of the one that the pressure sets aside then the other keeps its distance.
#[test]
fn r33a_a_hold_in_line_passes_none_that_the_pressure_sets_aside() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let hold = |bytes| rig.ticket(&policy, bytes).reservation();
    let (most, some) = (hold(1).acquire_owned()?, rig.ticket(&policy, 44));
    let some = some.acquire_owned()?;
    rig.manager.set_pressure(0.0)?;
    let rest = rig.ticket(&policy, 55).acquire_owned()?;
    let large = rig.queued(&hold(20));
    let small = rig.queued(&hold(3));
    rig.manager.set_pressure(1.0)?;
    drop(rest);
    // 45 live, and 50 count.
    assert_eq!(rig.manager.waiting().len(), 2);
    rig.manager.set_pressure(0.0)?;
    drop((large.result()?, small.result()?, most, some));
    rig.finish()
}

/// A hold that the pressure has set aside keeps its place for its patience. If the holds have grown meanwhile so that it does
/// not fit beside them, it waits for them on, and delays no step of theirs.
#[test]
fn r33a_a_hold_is_judged_beside_the_holds_before_it_is_in_line_again() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let weights = rig.ticket(&policy, 10).reservation().room_for(20);
    let mut weights = weights.acquire_owned()?;
    let work = rig.ticket(&policy, 40).acquire_owned()?;
    let job = rig.ticket(&policy, 30).reservation();
    let job = rig.queued(&job);
    weights.try_resize(60)?;
    rig.clock.advance(2 * LONG);
    assert_eq!(rig.manager.waiting().len(), 1);
    drop(work);
    let waiter = rig.manager.snapshot().waiters.remove(0);
    assert!(waiter.set_aside, "{waiter:?}");
    let is_for_holds = matches!(waiter.why, WaitReason::Holds { .. });
    assert!(is_for_holds, "{waiter:?}");
    drop(rig.ticket(&policy, 20).try_acquire()?);
    drop(weights);
    drop(job.result()?);
    rig.finish()
}
