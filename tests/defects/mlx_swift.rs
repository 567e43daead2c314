//! The Swift actor's.

use crate::kit::{Custom, GIB, Pending, Rig, acquiring, eager, quiet};
use mlx_wired::ffi::{Backend, BackendError, Device, DeviceKind, MemoryCounters, Support};
use mlx_wired::{CancelToken, Error, Manager, SumPolicy, Wait};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// 2: there, it waits for ever; here a test that waits would say so.
#[test]
fn what_can_never_fit_does_not_wait() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(8 * GIB), 10 * GIB);
    let refused = acquiring(&ticket).result();
    let Err(Error::NeverAdmissible { size, capacity, .. }) = refused else {
        panic!("it can never fit, but {refused:?}");
    };
    assert_eq!((size, capacity), (10 * GIB, Some(8 * GIB)));
    rig.finish()
}

/// 5 and 23: there, waits and guards are known by the ticket's id, so that two of one ticket overwrite each other.
#[test]
fn waits_of_one_ticket_are_as_many_waits() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let mut held = ticket.acquire_owned()?;
    let mut waiting: Vec<_> = (0..8).map(|_| rig.queued(&ticket)).collect();
    assert_eq!(rig.manager.waiting().len(), 8);
    while !waiting.is_empty() {
        drop(held);
        held = waiting.remove(0).result()?;
        assert_eq!(rig.manager.waiting().len(), waiting.len());
    }
    drop(held);
    rig.finish()
}

/// 7: there, a start that was cancelled returns a number like any other, and the body runs.
#[test]
fn a_body_without_a_guard_does_not_run() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let held = ticket.acquire()?;
    let waits = ticket.clone();
    let scope = Pending::spawn(move || waits.with(|_| panic!("the body runs")));
    scope.until_queued(&rig.manager);
    rig.manager.close();
    let refused = scope.result();
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    drop(held);
    rig.finish()
}

/// 8: there, a cancelled task's ticket ends while its work runs.
#[test]
fn a_late_cancel_releases_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let token = CancelToken::new();
    let working = ticket.acquire_with(Wait::new().cancel(&token))?;
    token.cancel();
    assert!(working.is_wired());
    assert_eq!(rig.limit(), 10);
    let error = ticket.try_acquire().expect_err("its bytes are in use");
    assert!(error.is_would_block(), "{error}");
    drop(working);
    rig.finish()
}

/// A machine whose device looks different each time it is asked.
#[derive(Debug, Default)]
struct Fickle {
    asked: AtomicUsize,
    calls: AtomicUsize,
}

impl Backend for Fickle {
    fn device(&self) -> Device {
        let before = self.asked.fetch_add(1, Ordering::Relaxed);
        if before > 0 {
            return Device::new(DeviceKind::Cpu, Support::NoWiredMemory);
        }
        let mut device = Device::new(DeviceKind::Metal, Support::Supported);
        device.max_recommended_working_set_size = Some(48 * GIB);
        device.budget = Some(48 * GIB);
        device
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        assert!(bytes <= 48 * GIB);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(0)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Err(BackendError::new("memory()"))
    }

    fn synchronizes(&self) -> bool {
        false
    }
}

/// 6 and 33: there, support is asked of the calling task's default device, and the ceiling of Metal, again and again.
/// mlxrs builds a device and its description for each question of a policy.
#[test]
fn the_device_is_asked_once() -> Result<(), Error> {
    let backend = Arc::new(Fickle::default());
    let manager = Manager::builder()
        .backend(backend.clone())
        .config(quiet())
        .build()?;
    let ticket = manager.ticket(&SumPolicy::new(), 50 * GIB);
    let error = ticket.try_acquire().expect_err("above the device's budget");
    assert!(matches!(error, Error::NeverAdmissible { .. }), "{error}");
    let ticket = manager.ticket(&SumPolicy::new(), 40 * GIB);
    for _ in 0..4 {
        let ticket = ticket.clone();
        let taken = Pending::spawn(move || ticket.acquire_owned());
        let guard = taken.result()?;
        assert!(guard.is_wired());
        // Released on another thread than it was taken on.
        drop(guard);
    }
    assert_eq!(manager.ceiling(), Some(48 * GIB));
    assert_eq!(backend.asked.load(Ordering::Relaxed), 1);
    assert_eq!(backend.calls.load(Ordering::Relaxed), 8);
    Ok(())
}

/// 10: there, one evaluation in flight stalls every start, end and cancellation.
#[test]
fn work_in_flight_holds_up_nobody_else() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let policy = SumPolicy::uncapped();
    let mut first = rig.ticket(&policy, GIB).acquire_owned()?;
    let (entered, in_flight) = mpsc::channel();
    let (finish, finished) = mpsc::channel();
    let finished = Mutex::new(finished);
    first.before_release(move || {
        entered.send(())?;
        let finished = finished.lock().expect("nobody panics");
        Ok(finished.recv()?)
    });
    let releasing = Pending::spawn(move || drop(first));
    in_flight.recv().expect("its work is finished first");
    // Others come, go, wait and give up.
    let other = rig.ticket(&policy, 2 * GIB);
    let guard = other.acquire()?;
    assert_eq!(rig.limit(), 3 * GIB, "what is in flight still counts");
    drop(other.try_acquire()?);
    assert_eq!(rig.limit(), 3 * GIB);
    let capped = rig.ticket(&SumPolicy::capped(10), 10);
    let held = capped.acquire_owned()?;
    let token = CancelToken::new();
    let waiting = rig.queued_with(&capped, Wait::new().cancel(&token));
    token.cancel();
    waiting.result().expect_err("cancelled");
    releasing.assert_pending();
    finish.send(()).expect("it waits for this");
    releasing.result();
    drop((held, guard));
    rig.finish()
}

/// 20, the way round: groups do not count for each other, unless there is a budget for all.
#[test]
fn a_budget_counts_all_groups() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let tickets = [40 * GIB, 41 * GIB].map(|cap| {
        let policy = SumPolicy::capped(cap);
        rig.ticket(&policy, 40 * GIB)
    });
    // As there: two groups of 40 GiB are admitted into 48.
    drop((tickets[0].acquire()?, tickets[1].acquire()?));
    rig.manager.configure(|config| config.budget(48 * GIB))?;
    let first = tickets[0].acquire()?;
    let waiting = rig.queued(&tickets[1]);
    drop(first);
    drop(waiting.result()?);
    rig.finish()
}

/// 24: there, one ticket in two generations is started once, and the first end drops both.
#[test]
fn one_ticket_taken_twice_is_two_guards() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let (first, second) = (ticket.acquire()?, ticket.acquire()?);
    assert_eq!(rig.limit(), 2 * GIB);
    drop(first);
    assert_eq!(rig.limit(), GIB);
    assert!(second.is_wired());
    drop(second);
    rig.finish()
}

/// 27: there, every transition walks all tickets and asks the policies of all groups.
#[test]
fn a_transition_asks_the_group_that_changed_alone() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = || {
        let asked = asked.clone();
        Custom::new().limits(move |context, live| {
            asked.fetch_add(1, Ordering::Relaxed);
            context.baseline + live.sum
        })
    };
    let mut live = Vec::new();
    for _ in 0..200 {
        live.push(rig.ticket(&counting(), 10).acquire_owned()?);
    }
    let before = asked.swap(0, Ordering::Relaxed);
    assert!(before >= 200, "each was asked about its own guard");
    drop(rig.ticket(&counting(), 20).acquire()?);
    assert!(
        asked.load(Ordering::Relaxed) <= 2,
        "once as it comes, once as it goes"
    );
    drop(live);
    rig.finish()
}

/// 30: there, a size cannot change, and a start can neither be tried nor bounded.
#[test]
fn a_demand_grows_is_tried_and_is_bounded() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::capped(10 * GIB), 4 * GIB);
    let mut cache = ticket.acquire()?;
    cache.resize(6 * GIB)?;
    assert_eq!((cache.bytes(), rig.limit()), (6 * GIB, 6 * GIB));
    let larger = rig.ticket(&SumPolicy::capped(10 * GIB), 5 * GIB);
    let error = larger.try_acquire().expect_err("11 of 10");
    assert!(error.is_would_block(), "{error}");
    let error = larger.admit_timeout(Duration::ZERO).expect_err("11 of 10");
    assert!(error.is_timeout(), "{error}");
    cache.resize(5 * GIB)?;
    drop(larger.try_acquire()?);
    drop(cache);
    rig.finish()
}
