//! R11: whom a failed call concerns, and what follows it.

use crate::kit::{Brake, Custom, Pending, Rig, SECOND, acquiring, quiet, until};
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Error, FixedPolicy, Guard, Manager, OnApplyFailure, PeakPolicy, PolicyId,
    SumPolicy,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn r11_whom_the_limit_covers_already_is_not_taken_along() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let based = |base| {
        let policy = BudgetPolicy::new(base).with_id(PolicyId::named("two bases"));
        rig.ticket(&policy, 0)
    };
    let (small, large) = (based(5), based(10));
    let other = rig.ticket(&SumPolicy::uncapped(), 1);
    let guard = small.acquire()?;
    rig.backend.set_failing(true);
    // It speaks for its group from now on, so 10 is called for still.
    assert!(large.acquire().is_err());
    let calls = rig.calls();
    let covered = other.acquire()?;
    assert_eq!(rig.calls(), calls + 1, "what is owed was tried");
    rig.backend.set_failing(false);
    drop((covered, guard));
    rig.finish()
}

#[test]
fn r11_admitted_waiters_that_raise_nothing_do_not_try_again() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(60))?;
    let driving = rig.ticket(&SumPolicy::uncapped(), 40);
    let driving = driving.acquire_owned()?;
    let reserved = rig.ticket(&FixedPolicy::new(120), 30).reservation();
    let waiting = [(); 2].map(|()| rig.queued(&reserved));
    rig.backend.set_failing(true);
    let calls = rig.calls();
    drop(driving);
    let guards = waiting.map(|pending| pending.result());
    assert!(guards.iter().all(Result::is_ok));
    assert_eq!(rig.calls(), calls + 1, "the release's, which failed");
    rig.backend.set_failing(false);
    drop(guards);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r11_what_failed_and_is_not_called_for_any_more_closes_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let guard = rig.ticket(&policy, 10);
    let guard = guard.acquire()?;
    rig.backend.fail_next(1);
    assert!(rig.ticket(&policy, 1).acquire().is_err());
    let admissions = rig.manager.stats().admissions;
    drop(rig.ticket(&policy, 0).acquire()?);
    let stats = rig.manager.stats();
    assert_eq!(stats.admissions, admissions, "it took no lock");
    drop(guard);
    rig.finish()
}

#[test]
fn r11_a_raise_that_failed_takes_the_place_of_an_owed_shrink() -> Result<(), Error> {
    let rig = Rig::new(quiet().on_apply_failure(OnApplyFailure::Proceed))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let stays = ticket(50).acquire_owned()?;
    drop(ticket(100).acquire_owned()?);
    assert_eq!(rig.manager.snapshot().owed.shrink_in, Some(SECOND));
    rig.backend.fail_next(1);
    let unwired = ticket(200).acquire_owned()?;
    assert!(!unwired.is_wired());
    let owed = rig.manager.snapshot().owed;
    // Were the shrink still owed, its time would come before the back-off is over.
    assert_eq!((owed.shrink_in, owed.retry_in), (None, Some(SECOND)));
    drop((stays, unwired));
    rig.finish()
}

#[test]
fn r11_who_is_examined_after_its_policy_has_released_does_not_try_again() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let stays = rig.ticket(&SumPolicy::uncapped(), 1);
    let (stays, leaves) = (stays.acquire_owned()?, stays.acquire_owned()?);
    let releases = Custom::releasing(leaves);
    rig.backend.set_failing(true);
    let calls = rig.calls();
    assert!(rig.ticket(&releases, 10).acquire().is_err());
    assert_eq!(rig.calls(), calls + 1);
    rig.backend.set_failing(false);
    drop(stays);
    rig.finish()
}

/// It is counted in the call that fails, and does not make one of its own.
#[test]
fn r11_who_examines_what_its_policy_has_released_fails_with_those_who_call() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let stays = rig.ticket(&SumPolicy::uncapped(), 1);
    let stays = stays.acquire_owned()?;
    let brake = Brake::default();
    let (alone, armed) = Custom::one_at_a_time(&brake);
    let alone = rig.ticket(&alone, 1);
    let releases = Custom::releasing(alone.acquire_owned()?);
    let behind = rig.queued(&alone);
    let releases = rig.ticket(&releases, 10);
    armed.store(true, Ordering::SeqCst);
    rig.backend.set_failing(true);
    let calls = rig.calls();
    let examines = Pending::spawn(move || releases.acquire().map(Guard::leak));
    brake.wait_stopped();
    let other = rig.ticket(&SumPolicy::uncapped(), 20);
    assert!(other.acquire().is_err());
    brake.release();
    assert!(examines.result().is_err());
    drop(behind.result()?);
    assert_eq!(rig.calls(), calls + 1);
    rig.backend.set_failing(false);
    drop(stays);
    rig.finish()
}

#[test]
fn r11_a_restore_that_fails_outlives_the_last_handle() -> Result<(), Error> {
    let backend = RecordingBackend::metal().exclusive("outlived").build();
    let clock = FakeClock::new();
    let build = || {
        Manager::builder()
            .backend(backend.clone())
            .clock(clock.clone())
            .build()
    };
    let manager = build()?;
    let guard = manager.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    backend.set_failing(true);
    drop((manager, guard));
    assert_eq!(backend.current_limit(), 10);
    // Its baseline would be 10.
    assert!(build().is_err());
    backend.set_failing(false);
    let is_restored = || {
        clock.advance(SECOND);
        backend.current_limit() == 0
    };
    until("the restore is tried again", is_restored);
    until("nobody owns the limit", || build().is_ok());
    Ok(())
}

#[test]
fn r11_whom_the_first_call_of_an_epoch_has_covered_is_not_taken_along() -> Result<(), Error> {
    // The second call fails. With 7 in force before, the first one's answer changes what is computed.
    for before in [0, 7] {
        let backend = RecordingBackend::metal().initial_limit(before);
        let rig = Rig::on(backend.fail_call(2), quiet())?;
        let acquiring = |bytes| {
            let uncovered = rig.manager.snapshot().uncovered;
            let ticket = rig.ticket(&PeakPolicy, bytes);
            let pending = acquiring(&ticket);
            let waits = || rig.manager.snapshot().uncovered > uncovered;
            until("it waits for a call", waits);
            pending
        };
        let gate = rig.backend.gate();
        let first = acquiring(50);
        gate.wait_entered(1);
        let (smaller, larger) = (acquiring(40), acquiring(80));
        gate.open();
        assert!(larger.result().is_err());
        let guards = (first.result()?, smaller.result()?);
        assert_eq!(rig.limit(), 50);
        assert!(guards.0.is_wired() && guards.1.is_wired());
        drop(guards);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r11_a_first_call_that_leaves_a_reservation_uncovered_covers_nobody() -> Result<(), Error> {
    let backend = RecordingBackend::metal().initial_limit(7);
    let rig = Rig::on(backend.fail_call(2), quiet())?;
    let weights = rig.ticket(&SumPolicy::uncapped(), 50);
    let weights = weights.reservation().acquire_owned()?;
    // 50 was enough for both while the baseline was taken for 0.
    assert!(rig.ticket(&PeakPolicy, 50).acquire().is_err());
    assert_eq!(rig.requested(), [50, 57, 7]);
    drop(weights);
    rig.finish()
}

#[test]
fn r11_who_proceeds_unwired_is_wired_by_the_call_after_the_first_that_succeeds() -> Result<(), Error>
{
    let backend = RecordingBackend::metal().initial_limit(7).fail_call(1);
    let config = quiet().on_apply_failure(OnApplyFailure::Proceed);
    let rig = Rig::on(backend, config)?;
    let unwired = rig.ticket(&SumPolicy::uncapped(), 50).acquire_owned()?;
    let peak = |bytes| acquiring(&rig.ticket(&PeakPolicy, bytes));
    let gate = rig.backend.gate();
    let first = peak(10);
    gate.wait_entered(1);
    let second = peak(5);
    until("it waits", || rig.manager.snapshot().uncovered == 2);
    gate.open();
    let guards = (first.result()?, second.result()?);
    // 57 is called for since the baseline is known.
    assert_eq!(rig.requested(), [50, 50, 57]);
    assert!(unwired.is_wired());
    drop((unwired, guards));
    rig.finish()
}

#[test]
fn r11_a_shrink_that_failed_is_owed_though_a_raise_has_succeeded_since() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_cooldown(Duration::ZERO))?;
    let extra = Arc::new(AtomicU64::new(0));
    let more = extra.clone();
    let asks = Custom::new().limits(move |_, live| live.sum + more.load(Ordering::SeqCst));
    let asks = rig.ticket(&asks, 1).acquire_owned()?;
    let sum = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let (stays, lowers) = (sum(10).acquire_owned()?, sum(100).acquire_owned()?);
    let wants = |bytes| {
        extra.store(bytes, Ordering::SeqCst);
        rig.manager.poke()
    };
    let gate = rig.backend.gate();
    rig.backend.fail_next(1);
    let lowers = Pending::spawn(move || drop(lowers));
    gate.wait_entered(1);
    // Nobody waits for this raise, so the release's session makes it.
    wants(300)?;
    gate.pass(1);
    gate.wait_entered(2);
    wants(0)?;
    gate.open();
    lowers.result();
    assert_eq!(rig.requested(), [1, 10, 110, 10, 301, 10]);
    drop((stays, asks));
    rig.finish()
}

#[test]
fn r21_a_release_tells_nothing_of_a_call_that_another_made() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (brake, is_last) = (Brake::default(), Arc::new(AtomicBool::new(false)));
    let (asked, armed) = (brake.clone(), is_last.clone());
    let asks = Custom::new().limits(move |context, live| {
        if armed.swap(false, Ordering::SeqCst) {
            asked.stop();
        }
        context.baseline + live.sum
    });
    let _stays = rig.ticket(&asks, 100).acquire_owned()?;
    let leaves = rig.ticket(&asks, 1).acquire_owned()?;
    is_last.store(true, Ordering::SeqCst);
    let leaves = Pending::spawn(move || leaves.release());
    brake.wait_stopped();
    rig.backend.fail_next(1);
    let fails = rig.ticket(&SumPolicy::uncapped(), 500);
    assert!(acquiring(&fails).result().is_err());
    brake.release();
    assert_eq!(leaves.result().error, None);
    Ok(())
}
