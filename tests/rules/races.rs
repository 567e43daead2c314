//! R15, R16, R23, R24, R25: what others do while a policy or the setter is called, which happens without any lock.

use crate::kit::{Brake, Custom, GIB, Pending, Rig, Worker, acquiring, assert_alive, quiet, until};
use mlx_wired::{Error, FixedPolicy, OwnedGuard, SumPolicy, Ticket, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn r15_a_release_while_the_policy_refuses_is_not_lost() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let asked = brake.clone();
    let policy = Custom::new().admits(move |_, live, _| {
        if live.count > 0 {
            asked.stop();
        }
        live.count == 0
    });
    let ticket = rig.ticket(&policy, 10);
    let guard = ticket.acquire_owned()?;
    let pending = acquiring(&ticket);
    brake.wait_stopped();
    drop(guard);
    brake.release();
    drop(pending.result()?);
    rig.finish()
}

#[test]
fn r15_a_poke_while_the_policy_refuses_is_not_lost() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let open = Arc::new(AtomicBool::new(false));
    let (asked, flag) = (brake.clone(), open.clone());
    let policy = Custom::new()
        .admits(move |_, _, _| {
            let answer = flag.load(Ordering::SeqCst);
            asked.stop();
            answer
        })
        .ever(|_, _| true);
    let ticket = rig.ticket(&policy, 10);
    let pending = acquiring(&ticket);
    brake.wait_stopped();
    open.store(true, Ordering::SeqCst);
    rig.manager.poke()?;
    brake.release();
    drop(pending.result()?);
    rig.finish()
}

#[test]
fn r25_the_budget_holds_while_a_policy_is_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(48))?;
    let (policy, brake) = Custom::slow();
    let slow = rig.ticket(&policy, 40);
    let quick = rig.ticket(&SumPolicy::uncapped(), 40);
    let pending = acquiring(&slow);
    brake.wait_stopped();
    let first = quick.acquire()?;
    brake.release();
    pending.until_queued(&rig.manager);
    drop(first);
    drop(pending.result()?);
    rig.finish()
}

#[test]
fn r22_a_group_may_go_while_its_policy_is_asked_for_the_limit() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let armed = Arc::new(AtomicBool::new(false));
    let (asked, arm) = (brake.clone(), armed.clone());
    let policy = Custom::new().limits(move |_, live| {
        if arm.load(Ordering::SeqCst) {
            asked.stop();
        }
        live.sum
    });
    let older = rig.ticket(&FixedPolicy::new(5), 1);
    let guard = rig.ticket(&policy, 10).acquire_owned()?;
    armed.store(true, Ordering::SeqCst);
    let manager = rig.manager.clone();
    let poked = Pending::spawn(move || manager.poke());
    brake.wait_stopped();
    drop((older, guard));
    // A new group takes the place of one of the two that nobody uses any more; the other's is empty.
    let newer = rig.ticket(&FixedPolicy::new(6), 1);
    brake.release();
    poked.result()?;
    drop(newer);
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r23_close_admits_nobody_who_waits_under_a_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10))?;
    let held = rig.ticket(&SumPolicy::uncapped(), 5);
    let guard = held.acquire()?;
    let large = rig.ticket(&SumPolicy::uncapped(), 10);
    let small = rig.ticket(&FixedPolicy::new(5), 5);
    let waits = [rig.queued(&large), rig.queued(&small)];
    rig.manager.close();
    for pending in waits {
        assert_eq!(pending.result().err(), Some(Error::Closed));
    }
    drop(guard);
    rig.finish()
}

#[test]
fn r21_a_shrink_stays_whatever_becomes_of_a_call_in_flight() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let weights = rig.ticket(&policy, 100).reservation();
    let half = rig.ticket(&policy, 50).reservation();
    let mut weights = weights.acquire()?;
    let waiting = rig.queued(&half);
    let gate = rig.backend.gate();
    let step = rig.ticket(&SumPolicy::uncapped(), 7);
    let raising = acquiring(&step);
    gate.wait_entered(1);
    assert_eq!(weights.try_resize(50), Ok(()));
    assert_eq!(weights.bytes(), 50);
    gate.open();
    let waiting = waiting.result()?;
    drop(raising.result()?);
    assert!(rig.ticket(&policy, 1).try_acquire().is_err());
    drop((weights, waiting));
    rig.finish()
}

#[test]
fn r15_try_acquire_takes_what_is_covered_while_somebody_watches() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let _events = rig.manager.subscribe(1);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let large = rig.ticket(&FixedPolicy::new(50), 1);
    let held = (large.acquire()?, ticket.acquire()?);
    let gate = rig.backend.gate();
    let raising = acquiring(&rig.ticket(&FixedPolicy::new(90), 1));
    gate.wait_entered(1);
    drop(ticket.try_acquire()?);
    gate.open();
    drop((held, raising.result()?));
    rig.finish()
}

#[test]
fn r24_only_who_slept_for_anothers_call_is_coalesced() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let fixed = |limit| rig.ticket(&FixedPolicy::new(limit), 1);
    let coalesced = || rig.manager.stats().coalesced;
    // By its own call; then under the lock, covered already.
    let first = ticket.acquire_owned()?;
    let covered = fixed(1).reservation().acquire_owned()?;
    assert_eq!(coalesced(), 0);
    let gate = rig.backend.gate();
    let raises = acquiring(&ticket);
    gate.wait_entered(1);
    let sleeps = acquiring(&fixed(20));
    until("both wait", || rig.manager.snapshot().uncovered == 2);
    gate.open();
    let guards = (raises.result()?, sleeps.result()?);
    assert_eq!(coalesced(), 1);
    drop((first, covered, guards));
    rig.finish()
}

#[test]
fn r18_a_budget_that_shrinks_while_a_policy_is_asked_refuses_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let asked = brake.clone();
    let shut = Custom::new().admits(|_, _, _| false).ever(move |_, _| {
        asked.stop();
        true
    });
    let pending = acquiring(&rig.ticket(&shut, 10));
    brake.wait_stopped();
    rig.manager.configure(|config| config.budget(5))?;
    brake.release();
    let refused = pending.result().err();
    let never = |error: &Error| matches!(error, Error::NeverAdmissible { size: 10, .. });
    assert!(refused.as_ref().is_some_and(never), "{refused:?}");
    // Nobody stands in the one line.
    drop(rig.ticket(&SumPolicy::uncapped(), 5).acquire()?);
    rig.finish()
}

#[test]
fn r23_who_was_admitted_under_other_settings_is_judged_anew() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let asked = brake.clone();
    let fits = Custom::new().admits(move |context, live, new| {
        let fits = Some(live.sum + new) <= context.ceiling;
        asked.stop();
        fits
    });
    let pending = acquiring(&rig.ticket(&fits, 40 * GIB));
    brake.wait_stopped();
    rig.manager.configure(|config| config.margin(0.5))?;
    brake.release();
    let refused = pending.result().err();
    let never = |error: &Error| matches!(error, Error::NeverAdmissible { .. });
    assert!(refused.as_ref().is_some_and(never), "{refused:?}");
    rig.finish()
}

/// A thread that holds a guard wants 60 of 100 bytes, and looks for a circle before it waits: a policy is asked without the
/// lock. What `meanwhile` does then, with half of the bytes held, must not get ahead of it.
fn while_somebody_looks_for_a_circle(
    rig: &Rig,
    meanwhile: impl FnOnce(OwnedGuard, &dyn Fn(u64) -> Ticket) -> Result<(), Error>,
) -> Result<(), Error> {
    let brake = Brake::default();
    let (alone, armed) = Custom::one_at_a_time(&brake);
    let alone = rig.ticket(&alone, 1);
    let capped = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let half = capped(50).acquire_owned()?;
    let holder = Worker::holding(&rig.manager, &alone);
    // About this one the policy is asked.
    let behind = rig.queued(&alone);
    armed.store(true, Ordering::SeqCst);
    let large = holder.wants(&capped(60), Wait::new());
    brake.wait_stopped();
    let done = meanwhile(half, &capped);
    brake.release();
    done?;
    assert_eq!(large.result()?, 60);
    drop(behind.result()?);
    Ok(())
}

#[test]
fn r16_nobody_is_admitted_before_who_looks_for_a_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    while_somebody_looks_for_a_circle(&rig, |half, capped| {
        let small = capped(10).try_acquire().map(drop);
        assert!(small.is_err(), "the large one came before");
        drop(half);
        Ok(())
    })?;
    rig.finish()
}

#[test]
fn r16_what_is_freed_while_somebody_looks_for_a_circle_is_theirs() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let mut later = None;
    while_somebody_looks_for_a_circle(&rig, |half, capped| {
        later = Some(rig.queued(&capped(60)));
        let waiting = rig.manager.waiting().len();
        drop(half);
        assert_eq!(rig.manager.waiting().len(), waiting, "nobody gets in");
        Ok(())
    })?;
    drop(later.map(|later| later.result()).transpose()?);
    rig.finish()
}
