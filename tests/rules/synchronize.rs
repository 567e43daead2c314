//! R12: what happens before a release that lowers the limit.

use crate::kit::{Custom, GIB, Rig, SECOND, eager, kinds, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, EventKind, FixedPolicy, Manager, Policy, SumPolicy};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

/// How often this thread has synchronised.
fn synchronized(rig: &Rig) -> usize {
    rig.backend.synchronizations_on(thread::current().id())
}

#[test]
fn r12_the_end_of_an_epoch_synchronises_first_with_the_demand_counted() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    let seen = rig.backend.synchronizations();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].limit, 10, "the limit still stands");
    assert_eq!(seen[0].after_calls, 1, "before the lowering call");
    assert_eq!(seen[0].thread, thread::current().id());
    rig.finish()
}

/// The second of two guards of a policy leaves: the limit falls from 20 to 10.
fn a_shrink_synchronises_first(policy: &(impl Policy + Clone)) -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(policy, 10);
    let (first, second) = (ticket.acquire()?, ticket.acquire()?);
    drop(second);
    assert_eq!(rig.limit(), 10);
    let seen = rig.backend.synchronizations();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].limit, seen[0].after_calls), (20, 2));
    drop(first);
    rig.finish()
}

#[test]
fn r12_a_shrink_synchronises_first() -> Result<(), Error> {
    a_shrink_synchronises_first(&SumPolicy::uncapped())
}

#[test]
fn r12_a_guard_of_a_users_policy_synchronises_first_beside_its_like() -> Result<(), Error> {
    a_shrink_synchronises_first(&Custom::new())
}

#[test]
fn r12_a_release_that_lowers_nothing_does_not_wait() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(10), 1);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    assert_eq!(synchronized(&rig), 0);
    drop(first);
    assert_eq!(synchronized(&rig), 1);
    rig.finish()
}

/// The last guard came by the fast path, and something happens before it leaves.
fn the_end_of_a_fast_guard<T>(happens: impl FnOnce(&Manager) -> T) -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(10), 1);
    let first = ticket.acquire()?;
    let fast = ticket.acquire()?;
    drop(first);
    let _happened = happens(&rig.manager);
    drop(fast);
    assert_eq!(rig.limit(), 0);
    assert_eq!(synchronized(&rig), 1);
    rig.finish()
}

#[test]
fn r12_the_end_of_a_fast_guard_synchronises_when_somebody_began_to_watch() -> Result<(), Error> {
    the_end_of_a_fast_guard(|manager| manager.subscribe(100))
}

#[test]
fn r12_the_end_of_a_fast_guard_synchronises_after_close() -> Result<(), Error> {
    the_end_of_a_fast_guard(Manager::close)
}

/// A reservation beside a step leaves: the limit falls from 110 to 10.
fn a_reservation_leaves(rig: Rig, policy: &(impl Policy + Clone)) -> Result<(), Error> {
    let weights = rig.ticket(policy, 100).reservation();
    let step = rig.ticket(policy, 10);
    let weights = weights.acquire()?;
    let step = step.acquire()?;
    drop(weights);
    assert_eq!(rig.limit(), 10);
    assert_eq!(synchronized(&rig), 1);
    drop(step);
    rig.finish()
}

#[test]
fn r12_a_reservation_whose_release_shrinks_synchronises() -> Result<(), Error> {
    a_reservation_leaves(Rig::new(eager())?, &SumPolicy::uncapped())
}

#[test]
fn r12_a_watched_reservation_whose_release_shrinks_synchronises() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let _events = rig.manager.subscribe(100);
    a_reservation_leaves(rig, &SumPolicy::uncapped())
}

#[test]
fn r12_a_reservation_of_a_custom_policy_synchronises_too() -> Result<(), Error> {
    a_reservation_leaves(Rig::new(eager())?, &Custom::new())
}

#[test]
fn r12_a_hook_runs_in_place_of_synchronising() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let limit = Arc::new(AtomicU64::new(u64::MAX));
    let mut guard = ticket.acquire()?;
    let (seen, backend) = (limit.clone(), rig.backend.clone());
    guard.before_release(move || {
        seen.store(backend.current_limit(), Ordering::SeqCst);
        Ok(())
    });
    drop(guard);
    assert_eq!(limit.load(Ordering::SeqCst), 10, "the demand still counted");
    assert_eq!(synchronized(&rig), 0);
    rig.finish()
}

#[test]
fn r12_a_failing_hook_does_not_prevent_the_release() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guard = ticket.acquire()?;
    guard.before_release(|| Err("no stream".into()));
    let released = guard.release();
    assert_eq!(released.limit, 0);
    let Some(Error::Release { reason }) = released.error else {
        panic!("{released:?} tells the hook's error");
    };
    assert_eq!(reason, "no stream");
    assert!(kinds(&events).contains(&EventKind::ReleaseFailed("no stream".into())));
    rig.finish()
}

#[test]
fn r12_a_panicking_hook_does_not_prevent_the_release() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guard = ticket.acquire()?;
    guard.before_release(|| panic!("the hook's panic"));
    drop(guard);
    let told = kinds(&events).into_iter().any(
        |kind| matches!(kind, EventKind::ReleaseFailed(reason) if reason.contains("the hook's panic")),
    );
    assert!(told);
    drop(ticket.acquire()?);
    rig.finish()
}

#[test]
fn r12_a_hook_that_panics_while_its_thread_unwinds() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let unwound = catch_unwind(AssertUnwindSafe(|| -> Result<(), Error> {
        let mut guard = ticket.acquire()?;
        guard.before_release(|| panic!("the hook's panic"));
        panic!("the work's own panic");
    }));
    assert!(unwound.is_err());
    drop(ticket.acquire()?);
    rig.finish()
}

#[test]
fn r12_a_synchronisation_that_fails_or_panics_does_not_prevent_the_release() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    rig.backend.fail_synchronize(true);
    let released = ticket.acquire()?.release();
    let is_told = |error: &Error| matches!(error, Error::Release { .. });
    assert!(released.error.as_ref().is_some_and(is_told), "{released:?}");
    assert_eq!(released.limit, 0);
    rig.backend.panic_synchronize(true);
    let released = ticket.acquire()?.release();
    assert!(released.error.as_ref().is_some_and(is_told), "{released:?}");
    drop(ticket.acquire()?);
    assert_eq!(rig.limit(), 0);
    rig.backend.panic_synchronize(false);
    rig.finish()
}

#[test]
fn r12_release_after_runs_finish_first_whatever_follows() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(10), 1);
    let first = ticket.acquire()?;
    let calls = AtomicUsize::new(0);
    let finish = || {
        assert_eq!(rig.limit(), 10);
        calls.fetch_add(1, Ordering::SeqCst);
    };
    ticket.acquire()?.release_after(finish);
    assert_eq!(
        calls.load(Ordering::SeqCst),
        1,
        "though nothing was lowered"
    );
    first.release_after(finish);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    rig.finish()
}

#[test]
fn r12_later_lowerings_synchronise_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    let before = rig.backend.synchronizations().len();
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    assert_eq!(rig.limit(), GIB, "the shrink that the cooldown held back");
    assert_eq!(rig.backend.synchronizations().len(), before);
    drop(first);
    rig.finish()
}

#[test]
fn r12_a_backend_that_does_not_synchronise_is_not_asked_to() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().synchronizes(false), quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    assert_eq!(rig.backend.synchronizations().len(), 0);
    rig.finish()
}

#[test]
fn r12_who_has_left_keeps_nobody_from_synchronising() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(10), 4);
    let first = ticket.acquire()?;
    let mut owned = ticket.acquire_owned()?;
    let (one, last) = (ticket.acquire()?, ticket.acquire()?);
    drop(first);
    owned.resize(2)?;
    owned.resize(8)?;
    drop(one);
    drop(owned);
    assert_eq!(synchronized(&rig), 0);
    drop(last);
    assert_eq!(synchronized(&rig), 1);
    rig.finish()
}
