//! R41: the budget is true. The backend measures what a device without wired memory can hold, and the manager asks again.

use crate::kit::{Custom, GIB, NotingClock, Pending, Rig, assert_matches, kinds, queued, quiet};
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::{
    Backend, BackendError, Budget, Device, DeviceKind, MemoryCounters, NoMlx, RecordingBackend,
    Support,
};
use mlx_wired::{Error, EventKind, Manager, SumPolicy, Wait};
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

type Again = fn(&Rig) -> Result<(), Error>;

/// The calls that measure.
const CALLS: [Again; 3] = [
    |rig| rig.manager.poke(),
    |rig| {
        rig.manager.maintain();
        Ok(())
    },
    |rig| rig.manager.configure(|config| config),
];

#[test]
fn r41_the_budget_is_measured_again() -> Result<(), Error> {
    for again in CALLS {
        let rig = Rig::on(RecordingBackend::cpu(), quiet())?;
        let events = rig.manager.subscribe(100);
        let ticket = rig.ticket(&SumPolicy::new(), 8 * GIB);
        let held = ticket.acquire_owned()?;
        let fits = rig.queued(&ticket);
        rig.backend.set_budget(16 * GIB);
        assert_eq!(rig.manager.budget(), Some(12 * GIB), "nobody has asked");
        again(&rig)?;
        assert_eq!(rig.manager.budget(), Some(16 * GIB));
        let guard = fits.result()?;
        let never = rig.queued(&ticket);
        let small = rig.ticket(&SumPolicy::new(), GIB);
        let small = rig.queued(&small);
        rig.backend.set_budget(4 * GIB);
        again(&rig)?;
        let refused = never.result().err();
        assert!(
            matches!(refused, Some(Error::NeverAdmissible { capacity: Some(c), .. }) if c == 4 * GIB)
        );
        small.assert_pending();
        drop((held, guard));
        drop(small.result()?);
        let told = kinds(&events);
        for (from, to) in [(12, 16), (16, 4)] {
            let (from, to) = (Some(from * GIB), Some(to * GIB));
            assert!(told.contains(&EventKind::BudgetChanged { from, to }));
        }
        assert_eq!(rig.calls(), 0);
    }
    Ok(())
}

#[test]
fn r41_margin_and_reserve_apply_to_each_measurement() -> Result<(), Error> {
    let rig = Rig::on(
        RecordingBackend::cpu(),
        quiet().margin(0.5).reserve(12 * GIB),
    )?;
    assert_eq!(rig.manager.budget(), Some(4 * GIB));
    rig.backend.set_budget(6 * GIB);
    rig.manager.poke()?;
    assert_eq!(rig.manager.budget(), Some(3 * GIB));
    Ok(())
}

#[test]
fn r41_the_ceiling_is_the_budget_of_wired_memory() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    rig.backend.set_budget(GIB);
    for again in CALLS {
        again(&rig)?;
        assert_eq!(rig.manager.budget(), Some(48 * GIB));
    }
    rig.finish()
}

#[test]
fn r41_a_custom_policy_sees_the_new_budget() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::cpu(), quiet())?;
    let by_budget = Custom::new()
        .admits(|context, live, new| Some(live.sum + new) <= context.budget)
        .ever(|context, new| Some(new) <= context.budget);
    let ticket = rig.ticket(&by_budget, 8 * GIB);
    let held = ticket.acquire_owned()?;
    let waiting = rig.queued(&ticket);
    rig.backend.set_budget(6 * GIB);
    rig.manager.poke()?;
    assert_matches!(waiting.result(), Err(Error::NeverAdmissible { .. }));
    drop(held);
    Ok(())
}

/// A machine that measures as the test says.
#[derive(Default)]
struct Measures {
    budget: AtomicU64,
    /// Called at each measurement but the first, with what is admitted. Its answer counts in place of `budget`.
    meanwhile: Mutex<Option<Meanwhile>>,
}

type Meanwhile = Arc<dyn Fn(u64) -> Option<u64> + Send + Sync>;

impl Measures {
    fn meanwhile(&self, f: impl Fn(u64) -> Option<u64> + Send + Sync + 'static) {
        *self.meanwhile.lock() = Some(Arc::new(f));
    }
}

impl fmt::Debug for Measures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measures")
    }
}

impl Backend for Measures {
    fn device(&self) -> Device {
        let mut device = Device::new(DeviceKind::Cpu, Support::NoWiredMemory);
        device.memory_size = Some(1 << 20);
        device
    }

    fn budget(&self, admitted: u64) -> Option<Budget> {
        let meanwhile = self.meanwhile.lock().clone();
        let now = Some(self.budget.load(Ordering::SeqCst));
        let now = meanwhile.map_or(now, |meanwhile| meanwhile(admitted));
        now.map(|now| Budget::new(now).of_memory(1000))
    }

    fn set_wired_limit(&self, _: u64) -> Result<u64, BackendError> {
        unreachable!("nothing is wired")
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }
}

fn measuring(budget: u64) -> Result<(Manager, Arc<Measures>), Error> {
    let backend = Arc::new(Measures::default());
    backend.budget.store(budget, Ordering::SeqCst);
    let manager = Manager::builder()
        .backend(backend.clone())
        .clock(NotingClock(FakeClock::new()))
        .config(quiet())
        .build()?;
    Ok((manager, backend))
}

#[test]
fn r41_the_backend_is_told_what_is_admitted() -> Result<(), Error> {
    let (manager, backend) = measuring(100)?;
    backend.meanwhile(|admitted| Some(200 + admitted));
    let _guards = (
        manager.ticket(&SumPolicy::new(), 30).acquire_owned()?,
        manager.ticket(&SumPolicy::capped(50), 12).acquire_owned()?,
    );
    manager.poke()?;
    assert_eq!(manager.budget(), Some(242));
    Ok(())
}

#[test]
fn r41_the_reserve_is_kept_free_of_what_the_container_allows() -> Result<(), Error> {
    // The machine has a MiB, the container 1,000 bytes.
    let (manager, _) = measuring(900)?;
    manager.configure(|config| config.reserve(300))?;
    assert_eq!(manager.budget(), Some(700));
    // It may be given more later, so that is no mistake.
    manager.configure(|config| config.reserve(2000))?;
    assert_eq!(manager.budget(), Some(0));
    Ok(())
}

#[test]
fn r41_a_measurement_that_panics_changes_nothing() -> Result<(), Error> {
    let (manager, backend) = measuring(100)?;
    backend.meanwhile(|_| std::panic::resume_unwind(Box::new("cannot measure")));
    manager.poke()?;
    manager.maintain();
    manager.configure(|config| config.margin(0.5))?;
    assert_eq!(manager.budget(), Some(50));
    Ok(())
}

#[test]
fn r41_what_is_unknown_is_no_cap() -> Result<(), Error> {
    let (manager, backend) = measuring(100)?;
    backend.meanwhile(|_| None);
    manager.poke()?;
    assert_eq!(manager.budget(), None);
    drop(manager.ticket(&SumPolicy::new(), GIB).try_acquire()?);
    Ok(())
}

#[test]
fn r22_a_backend_that_measures_may_call_back() -> Result<(), Error> {
    let (manager, backend) = measuring(100)?;
    let policy = SumPolicy::new();
    let guard = Mutex::new(Some(manager.ticket(&policy, 60).acquire_owned()?));
    let waiting = queued(&manager, &manager.ticket(&policy, 50), Wait::new());
    let inner: Arc<OnceLock<Manager>> = Arc::default();
    inner.set(manager.clone()).expect("set once");
    let called: Arc<Mutex<Vec<Result<(), Error>>>> = Arc::default();
    backend.meanwhile({
        let called = called.clone();
        move |_| {
            let manager = inner.get().expect("set");
            manager.maintain();
            let mut called = called.lock();
            called.push(manager.poke());
            called.push(manager.configure(|config| config));
            called.push(manager.ticket(&policy, 1).try_acquire().map(drop));
            drop(guard.lock().take());
            Some(90)
        }
    });
    manager.poke()?;
    let called = std::mem::take(&mut *called.lock());
    assert_eq!(called, [const { Err(Error::Reentrant) }; 3]);
    drop(waiting.result()?);
    // The manager keeps the backend, and the backend the manager.
    backend.meanwhile(|_| None);
    Ok(())
}

#[test]
fn r41_of_two_measurements_at_once_the_later_counts() -> Result<(), Error> {
    let (manager, backend) = measuring(100)?;
    let gate = Arc::new((std::sync::Barrier::new(2), std::sync::Barrier::new(2)));
    backend.meanwhile({
        let gate = gate.clone();
        move |_| {
            gate.0.wait();
            gate.1.wait();
            Some(50)
        }
    });
    let early = Pending::spawn({
        let manager = manager.clone();
        move || manager.poke()
    });
    // It has measured, and not yet told.
    gate.0.wait();
    backend.meanwhile(|_| Some(80));
    manager.poke()?;
    assert_eq!(manager.budget(), Some(80));
    gate.1.wait();
    early.result()?;
    assert_eq!(
        manager.budget(),
        Some(80),
        "what was measured before is old"
    );
    Ok(())
}

/// A backend of somebody's own that knows nothing of measuring: its device is described again.
#[derive(Debug)]
struct Describes(AtomicU64);

impl Backend for Describes {
    fn device(&self) -> Device {
        let mut device = Device::new(DeviceKind::Cpu, Support::NoWiredMemory);
        device.budget = Some(self.0.load(Ordering::SeqCst));
        device
    }

    fn set_wired_limit(&self, _: u64) -> Result<u64, BackendError> {
        unreachable!("nothing is wired")
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Ok(MemoryCounters::default())
    }
}

#[test]
fn r41_by_default_the_device_is_described_again() -> Result<(), Error> {
    let backend = Arc::new(Describes(AtomicU64::new(10)));
    let manager = Manager::builder().backend(backend.clone()).build()?;
    assert_eq!(manager.budget(), Some(10));
    backend.0.store(20, Ordering::SeqCst);
    manager.maintain();
    assert_eq!(manager.budget(), Some(20));
    Ok(())
}

#[test]
fn r41_this_machines_budget_leaves_room() -> Result<(), Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let memory = manager.device().memory_size.expect("the system tells");
    let budget = manager.budget().expect("the system tells");
    assert!(budget <= memory - (64 << 20), "{budget} of {memory}");
    Ok(())
}
