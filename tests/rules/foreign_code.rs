//! R22: the less obvious places where foreign code runs.

use crate::kit::{Custom, Pending, Rig, assert_alive, forget_unused_groups, quiet};
use mlx_wired::ffi::{Backend, BackendError, Device, DeviceKind, MemoryCounters, Support};
use mlx_wired::{Context, Error, Manager, OwnedGuard, Policy, PolicyId, Sizes, SumPolicy};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs its closure when it is asked whether it wants sizes.
#[derive(Clone)]
struct Asked(Arc<dyn Fn() + Send + Sync>);

impl Policy for Asked {
    fn id(&self) -> PolicyId {
        PolicyId::named("asked")
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline + live.sum
    }

    fn wants_sizes(&self) -> bool {
        (self.0)();
        false
    }
}

#[test]
fn r22_a_panic_in_wants_sizes_wedges_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let armed = Arc::new(AtomicBool::new(false));
    let flag = armed.clone();
    let policy = Asked(Arc::new(move || {
        assert!(!flag.load(Ordering::SeqCst), "armed")
    }));
    let ticket = rig.ticket(&policy, 10);
    let guard = ticket.acquire_owned()?;
    armed.store(true, Ordering::SeqCst);
    // An error, a guard or a panic in the caller: whatever it is, the others go on.
    let ticket = ticket.clone();
    let _ended = std::thread::spawn(move || drop(ticket.acquire())).join();
    assert_alive(&rig);
    Pending::spawn(move || drop(guard)).result();
    assert_eq!(rig.limit(), 0);
    rig.finish()
}

#[test]
fn r22_wants_sizes_may_look_at_the_manager() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = rig.manager.clone();
    let asks = Arc::new(AtomicUsize::new(0));
    let count = asks.clone();
    let policy = Asked(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let _limit = manager.applied();
    }));
    let manager = rig.manager.clone();
    Pending::spawn(move || {
        let ticket = manager.ticket(&policy, 10);
        ticket.acquire_owned().map(drop)
    })
    .result()?;
    assert!(asks.load(Ordering::SeqCst) > 0);
    rig.finish()
}

/// A policy that uses the manager when it is dropped.
struct Farewell(Manager, Arc<AtomicUsize>);

impl Policy for Farewell {
    fn id(&self) -> PolicyId {
        PolicyId::named("farewell")
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline + live.sum
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
        let _limit = self.0.applied();
    }
}

#[test]
fn r22_a_policy_may_use_the_manager_when_it_is_dropped() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let drops = Arc::new(AtomicUsize::new(0));
    let (manager, count) = (rig.manager.clone(), drops.clone());
    Pending::spawn(move || -> Result<(), Error> {
        let new = || Arc::new(Farewell(manager.clone(), count.clone()));
        // The second takes the place of the first, which nobody else has.
        drop(manager.ticket(&new(), 1).acquire()?);
        drop(manager.ticket(&new(), 1).acquire()?);
        forget_unused_groups(&manager);
        Ok(())
    })
    .result()?;
    assert_eq!(drops.load(Ordering::SeqCst), 2);
    assert_alive(&rig);
    rig.finish()
}

/// A backend whose every method can be made to panic.
#[derive(Debug, Default)]
struct Panicking {
    synchronizes: AtomicBool,
    limit: Mutex<u64>,
}

impl Backend for Panicking {
    fn device(&self) -> Device {
        Device::new(DeviceKind::Metal, Support::Supported)
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        let mut limit = self.limit.lock();
        Ok(std::mem::replace(&mut *limit, bytes))
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }

    fn synchronizes(&self) -> bool {
        assert!(!self.synchronizes.load(Ordering::SeqCst), "asked too often");
        true
    }
}

#[test]
fn r22_a_backend_that_panics_when_asked_whether_it_synchronises() -> Result<(), Error> {
    let backend = Arc::new(Panicking::default());
    let manager = Manager::builder()
        .backend(backend.clone())
        .config(quiet())
        .build()?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10);
    let guard = ticket.acquire_owned()?;
    backend.synchronizes.store(true, Ordering::SeqCst);
    let second = ticket.clone();
    let _ended = std::thread::spawn(move || drop(second.acquire())).join();
    let _ended = std::thread::spawn(move || drop(guard)).join();
    backend.synchronizes.store(false, Ordering::SeqCst);
    Pending::spawn(move || ticket.acquire_owned().map(drop)).result()?;
    assert_eq!(*backend.limit.lock(), 0);
    Ok(())
}

/// A panic's payload that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload's own panic");
    }
}

#[test]
fn r22_a_payload_that_panics_when_dropped_wedges_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().limits(|_, _| std::panic::panic_any(Bomb));
    let ticket = rig.ticket(&policy, 10);
    // An error, a guard or a panic in the caller: whatever it is, the others go on.
    let _ended = std::thread::spawn(move || drop(ticket.acquire())).join();
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_what_a_policy_releases_when_it_is_asked_about_a_circle_goes_to_who_waits()
-> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let parcel: Arc<Mutex<Option<OwnedGuard>>> = Arc::default();
    let hypothetical = AtomicUsize::new(0);
    let (manager, inside) = (rig.manager.clone(), parcel.clone());
    let policy = Custom::new()
        .admits(move |_, live, new| {
            // Somebody has held the lock meanwhile, so whoever is queued looks for circles again.
            let _limit = manager.applied();
            if live.sum == 0 && new == 50 && hypothetical.fetch_add(1, Ordering::SeqCst) == 1 {
                drop(inside.lock().take());
            }
            live.sum + new <= 100
        })
        .ever(|_, _| true);
    let first = rig.ticket(&policy, 100).acquire_owned()?;
    *parcel.lock() = Some(first);
    let held = rig.ticket(&SumPolicy::uncapped(), 1);
    let wanted = rig.ticket(&policy, 50);
    let waits = Pending::spawn(move || {
        let _held = held.acquire()?;
        wanted.acquire().map(|guard| guard.bytes())
    });
    assert_eq!(waits.result(), Ok(50));
    assert!(parcel.lock().is_none(), "released inside");
    rig.finish()
}
