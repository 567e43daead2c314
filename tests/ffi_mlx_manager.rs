//! A manager on real MLX on Linux: what needs no wired memory works, and the setter is never called.
//!
//! "Never" is counted where MLX itself begins: this program defines the function that mlx-c's setter calls, in place of
//! the one in MLX's shared library.

#![cfg(all(with_mlx, target_os = "linux"))]

#[path = "kit/mod.rs"]
mod kit;

mod ffi_work;

use ffi_work::{compute_on_the_cpu, start_work_that_fails};
use kit::{
    GIB, NotingClock, Pending, again, assert_matches, eager, is_again, kinds, queued, quiet,
};
use mlx_wired::clock::SystemClock;
use mlx_wired::ffi::{
    self, Backend, BackendError, Device, DeviceKind, MLX_WIRED_LIMIT, MemoryCounters, MlxBackend,
    Support,
};
use mlx_wired::{Config, Error, EventKind, Manager, Policy, SumPolicy, Wait, WireMode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

/// Calls of MLX's setter, whoever makes them.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// The limit that was set last, of which MLX's CPU build keeps no record.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// `mlx::core::set_wired_limit(size_t)`, as the C++ compiler names it on 64-bit Linux.
#[unsafe(export_name = "_ZN3mlx4core15set_wired_limitEm")]
extern "C" fn set_wired_limit(limit: usize) -> usize {
    CALLS.fetch_add(1, Ordering::SeqCst);
    LIMIT.swap(limit, Ordering::SeqCst)
}

/// MLX's limit, its owner and its error handler are the process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static PREPARED: Once = Once::new();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    PREPARED.call_once(|| {
        // SAFETY: whoever would be inside MLX waits for `alone`, and no other code has installed a handler.
        unsafe { ffi::install_error_handler() };
    });
    compute_on_the_cpu();
    CALLS.store(0, Ordering::SeqCst);
    alone
}

fn calls() -> usize {
    CALLS.load(Ordering::SeqCst)
}

fn manager(backend: impl Backend, config: Config) -> Result<Manager, Error> {
    let builder = Manager::builder().backend(Arc::new(backend));
    let clock = NotingClock(SystemClock);
    builder.clock(clock).config(config).build()
}

/// Sets the limit as everybody does; the limit before.
fn call_mlx_c(bytes: u64) -> u64 {
    let limit = usize::try_from(bytes).expect("64-bit Linux");
    let mut previous = 0;
    // SAFETY: `previous` can be written to; the call keeps no pointer.
    let code = unsafe { mlx_sys::mlx_set_wired_limit(&raw mut previous, limit) };
    assert_eq!(code, 0);
    previous as u64
}

/// MLX as it is here, but said to be on Metal with wired memory: the manager then calls the setter if it wants to.
#[derive(Debug)]
struct SaidToWire;

impl Backend for SaidToWire {
    fn device(&self) -> Device {
        let mut device = Device::new(DeviceKind::Metal, Support::Supported);
        device.max_recommended_working_set_size = Some(48 * GIB);
        device.budget = Some(48 * GIB);
        device
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        Ok(call_mlx_c(bytes))
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        MlxBackend::new().synchronize()
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        MlxBackend::new().memory()
    }

    fn exclusive(&self) -> Option<&'static str> {
        Some(MLX_WIRED_LIMIT)
    }
}

/// All that a program does with a manager: admission, waiting, growth, shrinking, linger, failure, closing.
fn work(manager: &Manager) -> Result<(), Error> {
    let budget = manager.budget().expect("each device has a budget");
    let ticket = manager.ticket(&SumPolicy::new(), budget);
    let guard = ticket.try_acquire()?;
    assert_eq!(guard.wanted(), budget);
    let waiting = queued(manager, &ticket, Wait::new());
    drop(guard);
    drop(waiting.result()?);
    let above = manager.ticket(&SumPolicy::new(), budget + 1);
    let above = above.try_acquire();
    assert_matches!(above, Err(Error::NeverAdmissible { .. }));

    let uncapped = manager.ticket(&SumPolicy::uncapped(), GIB);
    let mut first = uncapped.acquire()?;
    let others: Vec<Pending<_>> = (0..4)
        .map(|_| {
            let ticket = uncapped.clone();
            Pending::spawn(move || ticket.with(|guard| guard.bytes()))
        })
        .collect();
    for other in others {
        assert_eq!(other.result()?, GIB);
    }
    first.resize(2 * GIB)?;
    first.resize(GIB)?;
    drop(manager.wire_max(GIB)?);
    drop(first);
    manager.maintain();
    manager.poke()?;
    manager.close();
    Ok(())
}

#[test]
fn the_setter_is_counted_below_us() {
    let _alone = alone();
    assert_eq!((call_mlx_c(5), call_mlx_c(0)), (0, 5));
    assert_eq!(calls(), 2);
}

#[test]
fn r14_mlx_without_wired_memory_admits_and_never_sees_the_setter() -> Result<(), Error> {
    let _alone = alone();
    for mode in [WireMode::Auto, WireMode::Never] {
        let manager = manager(MlxBackend::new(), eager().mode(mode))?;
        assert_eq!(manager.support(), Support::NoWiredMemory);
        assert_eq!(manager.ceiling(), None);
        let (budget, memory) = (manager.budget(), manager.device().memory_size);
        assert!(
            budget.is_some() && budget < memory,
            "{budget:?} of {memory:?}"
        );
        let events = manager.subscribe(1000);
        work(&manager)?;
        assert_eq!(manager.stats().setter_calls, 0);
        assert!(kinds(&events).contains(&EventKind::AdmissionWait));
        assert_eq!(calls(), 0);
    }
    Ok(())
}

#[test]
fn r41_the_budget_follows_mlx_memory_limit() -> Result<(), Error> {
    let _alone = alone();
    let set = |limit| ffi::set_memory_limit(limit).expect("MLX takes any");
    let first = manager(MlxBackend::new(), eager())?;
    let before = first.budget().expect("each device has a budget");
    let limit = before / 2;
    let old = set(limit);
    assert_eq!(first.budget(), Some(before), "nobody has asked");
    first.poke()?;
    let followed = first.budget();
    drop(first);
    let next = manager(MlxBackend::new(), eager())?.budget();
    set(old);
    assert_eq!((followed, next), (Some(limit), Some(limit)));
    Ok(())
}

#[test]
fn r14_no_wire_mode_never_calls_the_setter_where_it_would_wire() -> Result<(), Error> {
    let _alone = alone();
    work(&manager(SaidToWire, eager())?)?;
    assert!(calls() > 0, "it wires unless told not to");
    assert_eq!(LIMIT.load(Ordering::SeqCst), 0, "the baseline is back");

    CALLS.store(0, Ordering::SeqCst);
    let never = eager().mode(WireMode::Never).linger(kit::SECOND);
    work(&manager(SaidToWire, never)?)?;
    assert_eq!(calls(), 0, "not even with 0");
    let off = manager(SaidToWire, eager().mode(WireMode::Uncoordinated))?;
    drop(off.ticket(&SumPolicy::new(), 100 * GIB).acquire()?);
    drop(off);
    assert_eq!(calls(), 0);
    Ok(())
}

#[test]
fn r14_the_environment_keeps_the_setter_from_mlx() -> Result<(), Error> {
    let test = "r14_the_environment_keeps_the_setter_from_mlx";
    let _alone = alone();
    if is_again() {
        work(&manager(SaidToWire, eager())?)?;
        assert_eq!(calls(), 0);
        return Ok(());
    }
    again(test, &[("MLX_WIRED", "never")]);
    Ok(())
}

#[test]
fn r12_a_release_synchronises_the_threads_own_stream_and_reports_its_failure() -> Result<(), Error>
{
    let _alone = alone();
    let manager = manager(SaidToWire, quiet())?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), GIB);
    let guard = ticket.acquire()?;
    start_work_that_fails();
    let released = guard.release();
    assert_eq!((released.limit, released.lowered), (0, true));
    let error = released.error.expect("MLX hands the failure out once");
    assert!(format!("{error:#}").contains("Inverse"), "{error:#}");

    // Work of other threads is not this thread's to wait for.
    let guard = ticket.acquire()?;
    let others = Pending::spawn(|| {
        compute_on_the_cpu();
        start_work_that_fails();
        ffi::synchronize()
    });
    others.result().expect_err("its own failure is its own");
    assert_eq!(guard.release().error, None);
    Ok(())
}

#[test]
fn r23_mlx_has_one_owner() -> Result<(), Error> {
    let _alone = alone();
    let owner = manager(MlxBackend::new(), quiet())?;
    let second = manager(MlxBackend::new(), quiet());
    let error = second.expect_err("it is owned");
    assert!(matches!(error, Error::BackendInUse { .. }), "{error}");
    drop(owner);
    drop(manager(MlxBackend::new(), quiet())?);
    Ok(())
}

#[test]
fn r36_a_builder_without_a_backend_takes_mlx_where_it_is_linked() -> Result<(), Error> {
    let _alone = alone();
    let manager = Manager::builder().build()?;
    assert_eq!(manager.support(), Support::NoWiredMemory);
    let second = Manager::builder().build();
    let Err(Error::BackendInUse { built_at, .. }) = second else {
        panic!("{second:?}");
    };
    assert_eq!(built_at.file(), file!());
    drop(manager);
    drop(Manager::builder().build()?);
    Ok(())
}

#[test]
fn the_shared_manager_is_on_mlx() -> Result<(), Error> {
    // The last of them in the process to own MLX: a shared manager lives as long as the process.
    if !is_again() {
        again("the_shared_manager_is_on_mlx", &[]);
        return Ok(());
    }
    let _alone = alone();
    let guard = SumPolicy::new().acquire(1 << 20)?;
    assert_eq!(Manager::shared().device(), ffi::device());
    assert_eq!(Manager::shared().holders().len(), 1);
    assert!(!guard.is_wired());
    drop(guard);
    assert_eq!(calls(), 0);
    Ok(())
}
