//! R21: what guards report and do.

use crate::kit::{Custom, GIB, Pending, Rig, SECOND, eager, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, FixedPolicy, Kind, MaxPolicy, OwnedGuard, PeakPolicy, SumPolicy};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn r21_a_guard_reports_its_demand_and_the_limit() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(100), quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10).label("step");
    let first = ticket.acquire()?;
    let second = ticket.acquire()?;
    assert_eq!((first.bytes(), second.bytes()), (10, 10));
    assert_eq!(first.ticket().get_label(), Some("step"));
    assert_eq!(first.ticket().kind(), Kind::Active);
    assert_eq!((first.wanted(), second.wanted()), (110, 120));
    assert_eq!((first.applied(), second.applied()), (120, 120), "now");
    assert!(first.is_wired() && second.is_wired());
    assert!(!first.is_clamped() && !second.is_clamped());
    assert_eq!(first.waited(), Duration::ZERO);
    assert_eq!((first.epoch(), second.epoch()), (1, 1));
    drop((first, second));
    rig.finish()
}

#[test]
fn r21_wanted_is_what_the_group_called_for() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let max = MaxPolicy::new();
    let large = rig.ticket(&max, 100);
    let small = rig.ticket(&max, 10);
    let guards = (large.acquire()?, small.acquire()?);
    assert_eq!((guards.0.wanted(), guards.1.wanted()), (100, 100));
    drop(guards);
    let guards = (
        rig.ticket(&PeakPolicy, 100).acquire_owned()?,
        rig.ticket(&PeakPolicy, 10).acquire_owned()?,
    );
    assert_eq!((guards.0.wanted(), guards.1.wanted()), (100, 100));
    drop(guards);
    rig.finish()
}

#[test]
fn r21_wanted_of_a_custom_group_is_that_of_the_admission() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&Custom::new(), 10);
    let first = ticket.acquire()?;
    let second = ticket.acquire()?;
    assert_eq!((first.wanted(), second.wanted()), (10, 20));
    drop((first, second));
    rig.finish()
}

#[test]
fn r21_waited_is_the_time_in_the_queue() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    rig.clock.advance(3 * SECOND);
    drop(guard);
    let guard = waiting.result()?;
    assert_eq!(guard.waited(), 3 * SECOND);
    let stats = rig.manager.stats();
    assert_eq!((stats.waits, stats.longest_wait), (1, 3 * SECOND));
    drop(guard);
    rig.finish()
}

#[test]
fn r21_a_lone_reservation_is_not_wired() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let weights = rig.ticket(&policy, 10).reservation();
    let step = rig.ticket(&policy, 10);
    let weights = weights.acquire()?;
    assert!(!weights.is_wired(), "nothing holds the limit up");
    assert_eq!(weights.epoch(), 0);
    let work = step.acquire()?;
    assert!(weights.is_wired());
    drop(work);
    assert!(!weights.is_wired());
    drop(weights);
    rig.finish()
}

#[test]
fn r21_nothing_is_wired_where_there_is_no_wired_memory() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::cuda(), quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), GIB);
    let guard = ticket.acquire()?;
    assert!(!guard.is_wired() && !guard.is_clamped());
    assert_eq!((guard.wanted(), guard.applied()), (GIB, GIB));
    drop(guard);
    rig.finish()
}

#[test]
fn r21_release_tells_what_became_of_the_limit() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let fixed = rig.ticket(&FixedPolicy::new(10), 1);
    let guards = (ticket.acquire()?, ticket.acquire_owned()?, fixed.acquire()?);
    let second = guards.1.release();
    assert_eq!(
        (second.limit, second.lowered, second.error),
        (10, true, None)
    );
    let first = guards.0.release();
    assert_eq!((first.limit, first.lowered, first.error), (10, false, None));
    let last = guards.2.release();
    assert_eq!((last.limit, last.lowered, last.error), (0, true, None));
    rig.finish()
}

#[test]
fn r21_a_guard_releases_while_its_thread_unwinds() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    for owned in [false, true] {
        let unwound = catch_unwind(AssertUnwindSafe(|| -> Result<(), Error> {
            if owned {
                let _guard = ticket.acquire_owned()?;
                panic!("the work's own panic");
            }
            let _guard = ticket.acquire()?;
            panic!("the work's own panic");
        }));
        assert!(unwound.is_err());
        assert_eq!(rig.limit(), 0);
    }
    drop(ticket.try_acquire()?);
    rig.finish()
}

#[test]
fn r21_a_panic_in_release_after_releases() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        guard.release_after(|| panic!("finish"))
    }));
    assert!(unwound.is_err());
    drop(ticket.try_acquire()?);
    rig.finish()
}

#[test]
fn r21_with_releases_after_the_closure() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let inside = ticket.with(|guard| (guard.bytes(), rig.limit()))?;
    assert_eq!(inside, (10, 10));
    assert_eq!(rig.limit(), 0);
    rig.finish()
}

#[test]
fn r21_leak_keeps_the_demand() -> Result<(), Error> {
    let rig = Rig::new(eager())?.restoring(20);
    let policy = SumPolicy::capped(30);
    let ticket = rig.ticket(&policy, 10);
    ticket.acquire()?.leak();
    ticket.acquire_owned()?.leak();
    drop(ticket);
    let again = rig.ticket(&policy, 10);
    let guard = again.acquire()?;
    assert_eq!(guard.wanted(), 30);
    assert!(again.try_acquire().is_err());
    drop(guard);
    assert_eq!(rig.limit(), 20);
    rig.finish()
}

#[test]
fn r21_an_owned_guard_may_go_to_another_thread_and_outlive_its_ticket() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    let released = Pending::spawn(move || guard.release()).result();
    assert_eq!((released.limit, released.error), (0, None));
    rig.finish()
}

#[test]
fn r21_a_hook_that_is_not_needed_does_not_run() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(10), 1);
    let first = ticket.acquire()?;
    let mut second = ticket.acquire()?;
    let ran = Arc::new(AtomicBool::new(false));
    let flag = ran.clone();
    second.before_release(move || {
        flag.store(true, Ordering::SeqCst);
        Ok(())
    });
    drop(second);
    assert!(!ran.load(Ordering::SeqCst));
    drop(first);
    rig.finish()
}

#[test]
fn r21_wire_max_wires_the_ceiling_and_is_counted() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let outer = rig.manager.wire_max(GIB)?;
    let inner = rig.manager.wire_max(2 * GIB)?;
    assert_eq!(rig.limit(), 48 * GIB);
    drop(outer);
    assert_eq!(rig.limit(), 48 * GIB);
    drop(inner);
    assert_eq!(rig.requested(), [48 * GIB, 7]);
    rig.finish()
}

thread_local! {
    static KEPT: RefCell<Option<OwnedGuard>> = const { RefCell::new(None) };
}

#[test]
fn r21_a_guard_in_a_thread_local_releases_at_the_threads_end() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for policy in [Custom::new(), Custom::new()] {
        let ticket = rig.ticket(&policy, 10);
        let thread = thread::spawn(move || {
            // Registered before any of the library's own locals, so destroyed after them.
            KEPT.with(|kept| kept.borrow_mut().take());
            let guard = ticket.acquire_owned()?;
            KEPT.with(|kept| *kept.borrow_mut() = Some(guard));
            Ok::<_, Error>(())
        });
        thread.join().expect("it ends")?;
        assert_eq!(rig.limit(), 0);
    }
    rig.finish()
}

#[test]
fn r21_a_guard_stays_wired_when_its_group_has_shrunk() -> Result<(), Error> {
    let custom = crate::kit::Custom::new();
    let rig = Rig::new(eager())?;
    let policy = SumPolicy::uncapped();
    let tickets = [rig.ticket(&policy, 10), rig.ticket(&custom, 10)];
    for ticket in tickets {
        let (first, second) = (ticket.acquire()?, ticket.acquire()?);
        drop(first);
        assert_eq!((rig.limit(), second.wanted()), (10, 20));
        assert!(second.is_wired(), "the limit covers all that lives");
        drop(second);
    }
    rig.finish()
}
