//! R5, R16, R22, R25: what goes on beside a policy that is asked for long, and what is released inside.

use crate::kit::{Brake, Custom, Pending, Rig, Worker, acquiring, eager, quiet, until};
use mlx_wired::{Error, FixedPolicy, SumPolicy, Wait};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn r5_who_waits_already_is_admitted_while_another_looks_for_a_circle() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let brake = Brake::default();
    let (alone, armed) = Custom::one_at_a_time(&brake);
    let alone = rig.ticket(&alone, 1);
    let full = rig.ticket(&SumPolicy::capped(100), 100);
    let guard = full.acquire_owned()?;
    let waiting = rig.queued(&full);
    let (worker, second) = (Worker::holding(&rig.manager, &alone), full.clone());
    let behind = rig.queued(&alone);
    armed.store(true, Ordering::SeqCst);
    let looks = worker.wants(&second, Wait::new());
    brake.wait_stopped();
    let calls = rig.calls();
    drop(guard);
    let admitted = waiting.result();
    brake.release();
    let admitted = admitted?;
    assert_eq!(rig.calls(), calls, "handed over");
    drop(admitted);
    looks.result()?;
    drop(behind.result()?);
    rig.finish()
}

/// What is released inside the policy is examined by the call around it, and by nobody else meanwhile.
#[test]
fn r22_a_release_inside_a_slow_can_admit_holds_up_nobody_of_another_group() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (stash, brake) = (Arc::new(Mutex::new(None)), Brake::default());
    let (inner, slow) = (stash.clone(), brake.clone());
    let policy = Custom::new()
        .admits(move |_, live, new| {
            if new == 20 && live.sum == 10 {
                drop(inner.lock().take());
                slow.stop();
            }
            live.sum + new <= 20
        })
        .ever(|_, _| true);
    let of = |bytes| rig.ticket(&policy, bytes);
    *stash.lock() = Some(of(10).acquire_owned()?);
    let leaves = of(10).acquire_owned()?;
    let head = rig.queued(&of(20));
    let leaving = Pending::spawn(move || drop(leaves));
    brake.wait_stopped();
    let other = rig.ticket(&SumPolicy::uncapped(), 50);
    let attempted = Pending::spawn(move || other.try_acquire().map(drop));
    attempted.result()?;
    brake.release();
    leaving.result();
    drop(head.result()?);
    rig.finish()
}

#[test]
fn r22_what_a_policy_has_released_is_lowered_though_its_own_demand_is_covered() -> Result<(), Error>
{
    let rig = Rig::new(eager())?;
    let sum = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let stays = sum(50).acquire_owned()?;
    let releases = Custom::releasing(sum(50).acquire_owned()?);
    let guard = rig.ticket(&releases, 10).acquire_owned()?;
    assert_eq!(rig.limit(), 50);
    drop((guard, stays));
    rig.finish()
}

#[test]
fn r22_what_a_policy_has_released_is_examined_during_anothers_call() -> Result<(), Error> {
    for asks in 0..3 {
        let rig = Rig::new(quiet())?;
        let full = rig.ticket(&SumPolicy::capped(100), 100);
        let leaves = Mutex::new(Some(full.acquire_owned()?));
        let armed = Arc::new(AtomicBool::new(false));
        let is_armed = armed.clone();
        let releases = Custom::capped(10).admits(move |_, live, new| {
            if is_armed.load(Ordering::SeqCst) {
                drop(leaves.lock().take());
            }
            live.sum + new <= 10
        });
        let releases = rig.ticket(&releases, 10);
        let mut shrinks = releases.acquire_owned()?;
        let behind = rig.queued(&releases);
        let waiting = rig.queued(&full);
        armed.store(true, Ordering::SeqCst);
        let gate = rig.backend.gate();
        let above = rig.ticket(&FixedPolicy::new(200), 1);
        let above = acquiring(&above);
        gate.wait_entered(1);
        match asks {
            0 => rig.manager.poke()?,
            1 => rig
                .manager
                .configure(|config| config.shrink_threshold_ratio(0.5))?,
            _ => shrinks.resize(9)?,
        }
        gate.open();
        drop(waiting.result()?);
        drop((above.result()?, shrinks));
        drop(behind.result()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r22_what_a_policy_releases_when_it_is_asked_after_a_release_is_examined() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let full = rig.ticket(&SumPolicy::capped(10), 10);
    let leaves = Mutex::new(Some(full.acquire_owned()?));
    let waiting = rig.queued(&full);
    let armed = Arc::new(AtomicBool::new(false));
    let is_armed = armed.clone();
    let releases = Custom::capped(100).limits(move |_, _| {
        if is_armed.load(Ordering::SeqCst) {
            drop(leaves.lock().take());
        }
        100
    });
    let of = |bytes| rig.ticket(&releases, bytes);
    let (first, second) = (of(10).acquire_owned()?, of(10).acquire_owned()?);
    let behind = rig.queued(&of(100));
    armed.store(true, Ordering::SeqCst);
    drop(first);
    drop(waiting.result()?);
    drop(second);
    drop(behind.result()?);
    rig.finish()
}

/// Who looks for a circle came before the one in line, and another who looks for one came after it.
#[test]
fn r16_nobody_passes_the_first_who_looks_for_a_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (brake, armed) = (Brake::default(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::new(AtomicU64::new(0));
    let (asked, is_armed, counts) = (brake.clone(), armed.clone(), stopped.clone());
    let alone = Custom::new().admits(move |_, live, _| {
        if is_armed.load(Ordering::SeqCst) {
            counts.fetch_add(1, Ordering::SeqCst);
            asked.stop();
        }
        live.count == 0
    });
    let alone = rig.ticket(&alone, 1);
    let full = rig.ticket(&SumPolicy::capped(100), 100);
    let unrelated = rig.ticket(&SumPolicy::uncapped(), 1);
    let guard = full.acquire_owned()?;
    let first = Worker::holding(&rig.manager, &alone);
    let last = Worker::holding(&rig.manager, &unrelated);
    let behind = rig.queued(&alone);
    armed.store(true, Ordering::SeqCst);
    let first = first.wants(&full, Wait::new());
    brake.wait_stopped();
    let middle = rig.queued(&full);
    let last = last.wants(&full, Wait::new());
    until("both look", || stopped.load(Ordering::SeqCst) == 2);
    drop(guard);
    assert_eq!(rig.manager.waiting().len(), 2, "nobody is admitted");
    brake.release();
    first.result()?;
    drop(middle.result()?);
    last.result()?;
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r22_who_looks_for_a_circle_holds_up_nobody_of_another_group() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let (alone, armed) = Custom::one_at_a_time(&brake);
    let alone = rig.ticket(&alone, 1);
    let capped = |bytes| rig.ticket(&SumPolicy::capped(bytes), bytes);
    let (full, other) = (capped(100), capped(50));
    let (stays, leaves) = (full.acquire_owned()?, other.acquire_owned()?);
    let looks = Worker::holding(&rig.manager, &alone);
    let behind = rig.queued(&alone);
    armed.store(true, Ordering::SeqCst);
    let looks = looks.wants(&full, Wait::new());
    brake.wait_stopped();
    let waiting = rig.queued(&other);
    drop(leaves);
    drop(waiting.result()?);
    brake.release();
    drop(stays);
    looks.result()?;
    drop(behind.result()?);
    rig.finish()
}

/// The same where all groups are in one line.
#[test]
fn r25_nobody_passes_the_first_who_looks_for_a_circle_in_another_group() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let (brake, stopped) = (Brake::default(), Arc::new(AtomicU64::new(0)));
    let asks = || {
        let (asked, counts) = (brake.clone(), stopped.clone());
        let policy = Custom::new().admits(move |_, _, _| {
            counts.fetch_add(1, Ordering::SeqCst);
            asked.stop();
            true
        });
        rig.ticket(&policy.ever(|_, _| true), 20)
    };
    let of = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let guard = of(90).acquire_owned()?;
    let first = Worker::holding(&rig.manager, &of(1));
    let last = Worker::holding(&rig.manager, &of(1));
    let first = first.wants(&asks(), Wait::new());
    brake.wait_stopped();
    let middle = rig.queued(&of(15));
    let last = last.wants(&asks(), Wait::new());
    until("both look", || stopped.load(Ordering::SeqCst) == 2);
    drop(guard);
    assert_eq!(rig.manager.waiting().len(), 1, "it is not admitted");
    brake.release();
    first.result()?;
    drop(middle.result()?);
    last.result()?;
    rig.finish()
}
