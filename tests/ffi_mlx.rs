//! The safe wrappers under real MLX (`scripts/with-mlx cargo test`).

#![cfg(any(target_vendor = "apple", with_mlx, feature = "mlx"))]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use mlx_wired::ffi::{self, Backend, DeviceKind, MLX_WIRED_LIMIT, MlxBackend, Support};

/// The counters and limits are the process's: the tests that move them go one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An evaluated array of `bytes` ones.
struct Ones(mlx_sys::mlx_array);

impl Ones {
    fn new(bytes: i32) -> Self {
        // SAFETY: each object is made, used and freed once; the pointers are to locals that outlive the
        // calls.
        unsafe {
            let mut device = mlx_sys::mlx_device_new();
            assert_eq!(mlx_sys::mlx_get_default_device(&raw mut device), 0);
            let mut stream = mlx_sys::mlx_stream_new();
            let code = mlx_sys::mlx_get_default_stream(&raw mut stream, device);
            assert_eq!(code, 0);
            let mut array = mlx_sys::mlx_array_new();
            let shape = [bytes];
            let code = mlx_sys::mlx_ones(
                &raw mut array,
                shape.as_ptr(),
                shape.len(),
                mlx_sys::mlx_dtype__MLX_UINT8,
                stream,
            );
            assert_eq!(code, 0);
            // `ones` alone is one element, broadcast.
            let mut whole = mlx_sys::mlx_array_new();
            let code = mlx_sys::mlx_contiguous(&raw mut whole, array, false, stream);
            assert_eq!(code, 0);
            assert_eq!(mlx_sys::mlx_array_eval(whole), 0);
            mlx_sys::mlx_array_free(array);
            mlx_sys::mlx_stream_free(stream);
            mlx_sys::mlx_device_free(device);
            Self(whole)
        }
    }
}

impl Drop for Ones {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once.
        unsafe { mlx_sys::mlx_array_free(self.0) };
    }
}

#[test]
fn the_device_is_described() {
    assert_eq!(ffi::device_error(), None);
    let device = ffi::device();
    assert!(device.name.as_ref().is_some_and(|name| !name.is_empty()));
    assert!(device.architecture.is_some());
    let memory = device.memory_size.expect("each device has memory");
    let budget = device.budget.expect("each device has a budget");
    assert!(0 < budget && budget <= memory, "{budget} of {memory}");
    match device.kind {
        DeviceKind::Metal => {
            assert_ne!(device.support, Support::NoWiredMemory);
            assert_eq!(device.max_recommended_working_set_size, device.budget);
            assert!(device.max_buffer_length.is_some());
            assert!(device.resource_limit.is_some());
            assert!(device.max_wired_limit() < memory);
        }
        DeviceKind::Cuda => {
            assert_eq!(device.support, Support::NoWiredMemory);
            assert!(device.free_memory.is_some_and(|free| free <= memory));
            assert_eq!(device.max_recommended_working_set_size, None);
        }
        _ => {
            assert_eq!(device.support, Support::NoWiredMemory);
            assert_eq!(device.free_memory, None);
            let limit = ffi::memory_counters().unwrap().memory_limit;
            assert!(budget <= limit);
        }
    }
}

#[test]
fn r13_the_device_is_asked_once_whatever_the_thread() {
    let here: *const _ = ffi::device();
    let addresses: Vec<usize> = thread::scope(|s| {
        let threads: Vec<_> = (0..8)
            .map(|_| s.spawn(|| std::ptr::from_ref(ffi::device()).addr()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(addresses.iter().all(|address| *address == here.addr()));
    assert_eq!(&MlxBackend::new().device(), ffi::device());
}

#[test]
fn r10_r14_the_setter_refuses_what_mlx_would_not_carry_out() {
    let _alone = alone();
    let backend = MlxBackend::new();
    let device = ffi::device();
    if device.support.is_supported() {
        let error = backend
            .set_wired_limit(device.max_wired_limit() + 1)
            .unwrap_err();
        assert_eq!(error.code, None);
        assert!(
            error.to_string().contains("iogpu.wired_limit_mb"),
            "{error}"
        );

        let before = ffi::set_wired_limit(1 << 20).unwrap();
        assert_eq!(ffi::set_wired_limit(before), Ok(1 << 20));
    } else {
        // Not even 0 reaches MLX: it would answer 0, whatever was set.
        for bytes in [0, 4096, u64::MAX] {
            let error = backend.set_wired_limit(bytes).unwrap_err();
            assert_eq!(error.call, format!("mlx_set_wired_limit({bytes})"));
            assert_eq!(error.code, None);
            assert_eq!(error.message, Some(device.support.to_string()));
        }
    }
}

#[test]
fn the_counters_follow_an_array() {
    const BYTES: i32 = 8 << 20;
    const SIZE: u64 = BYTES as u64;
    let _alone = alone();
    let backend = MlxBackend::new();

    ffi::clear_cache().unwrap();
    ffi::reset_peak_memory().unwrap();
    let before = backend.memory().unwrap();
    assert_eq!(before.recorded_peak, 0);
    assert_eq!(before.peak(), before.active);

    let array = Ones::new(BYTES);
    let with = ffi::memory_counters().unwrap();
    assert!(with.active >= before.active + SIZE, "{before:?} {with:?}");
    assert!(with.peak() >= with.active);

    drop(array);
    // Evaluation may still hold it for a moment.
    ffi::synchronize().unwrap();
    let after = ffi::memory_counters().unwrap();
    assert!(after.active + SIZE <= with.active, "{with:?} {after:?}");
    assert!(after.recorded_peak >= with.active);
    assert!(after.cache >= SIZE, "{after:?}");

    ffi::clear_cache().unwrap();
    assert!(ffi::memory_counters().unwrap().cache < SIZE);
    assert_eq!(after.memory_limit, before.memory_limit);
}

#[test]
fn the_limits_return_the_ones_before() {
    let _alone = alone();
    let old = ffi::set_memory_limit(1 << 30).unwrap();
    assert_eq!(ffi::memory_counters().unwrap().memory_limit, 1 << 30);
    assert_eq!(ffi::set_memory_limit(old), Ok(1 << 30));
    assert_eq!(ffi::memory_counters().unwrap().memory_limit, old);

    let old = ffi::set_cache_limit(16 << 20).unwrap();
    assert_eq!(ffi::set_cache_limit(old), Ok(16 << 20));
}

#[test]
fn r41_what_mlx_uses_is_not_taken_off_the_budget() {
    const BYTES: i32 = 256 << 20;
    let _alone = alone();
    if ffi::device().kind != DeviceKind::Cpu {
        return;
    }
    // Else MLX's limit may be less than what the machine has beside this process.
    let old = ffi::set_memory_limit(1 << 50).unwrap();
    let budget = || MlxBackend::new().budget(0).expect("it is known").bytes;
    let before = budget();
    let array = Ones::new(BYTES);
    let with_array = budget();
    let vector = vec![1_u8; BYTES as usize];
    let with_both = budget();
    drop((array, vector));
    ffi::set_memory_limit(old).unwrap();
    let half = BYTES as u64 / 2;
    assert!(with_array + half > before, "{with_array} of {before}");
    assert!(with_both + half < before, "{with_both} of {before}");
}

#[test]
fn synchronizing_waits_on_any_thread() {
    let backend = ffi::default_backend();
    assert_eq!(backend.synchronize(), Ok(()));
    thread::scope(|s| {
        s.spawn(|| assert_eq!(backend.synchronize(), Ok(())));
    });
}

#[test]
fn the_default_backend_is_mlx() {
    const { assert!(ffi::LINKED) };
    let backend = ffi::default_backend();
    assert_eq!(backend.exclusive(), Some(MLX_WIRED_LIMIT));
    assert_eq!(&backend.device(), ffi::device());
    // No test of this process installs a handler.
    assert_eq!(backend.synchronizes(), cfg!(feature = "mlx-rs"));
    assert_eq!(ffi::error_handler_returns(), cfg!(feature = "mlx-rs"));
    assert_eq!(ffi::take_error_message(), None);
}

#[test]
fn the_backend_gives_the_calls_beside_the_wired_limit() {
    let _alone = alone();
    let backend = MlxBackend::new();
    let version = backend.version().expect("MLX tells");
    assert_eq!(Ok(version.clone()), ffi::version());
    assert!(version.starts_with("0."), "{version}");
    let old = backend.set_cache_limit(16 << 20).unwrap();
    assert_eq!(backend.set_cache_limit(old), Ok(16 << 20));
    let old = backend.set_memory_limit(1 << 30).unwrap();
    assert_eq!(backend.set_memory_limit(old), Ok(1 << 30));
    assert_eq!(backend.reset_peak_memory(), Ok(()));
    assert_eq!(backend.clear_cache(), Ok(()));
    let footprint = backend.footprint().expect("this system tells");
    assert!(footprint > 4096, "{footprint}");
}
