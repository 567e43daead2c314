//! What a program sees that links no MLX: the same calls, each saying so.

#![cfg(not(any(target_vendor = "apple", with_mlx, feature = "mlx")))]

use mlx_wired::ffi::{self, Backend, BackendError, DeviceKind, MlxBackend, NoMlx, Support};

fn says_so<T: std::fmt::Debug>(result: Result<T, BackendError>, call: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.call, call);
    assert_eq!(error.code, None);
    assert_eq!(
        error.to_string(),
        format!("{call} failed: {}", Support::NoMlx)
    );
    // How to link it.
    let text = error.to_string();
    assert!(text.contains("feature `mlx`"), "{text}");
    assert!(text.contains("scripts/with-mlx"), "{text}");
}

#[test]
fn every_call_says_that_no_mlx_is_linked() {
    const { assert!(!ffi::LINKED) };
    says_so(ffi::set_wired_limit(0), "mlx_set_wired_limit(0)");
    says_so(ffi::memory_counters(), "mlx_get_active_memory()");
    says_so(ffi::reset_peak_memory(), "mlx_reset_peak_memory()");
    says_so(ffi::set_memory_limit(7), "mlx_set_memory_limit(7)");
    says_so(ffi::set_cache_limit(7), "mlx_set_cache_limit(7)");
    says_so(ffi::clear_cache(), "mlx_clear_cache()");
    says_so(ffi::synchronize(), "mlx_synchronize_default()");
    // SAFETY: without MLX it does nothing.
    unsafe { ffi::install_error_handler() };
    assert!(!ffi::error_handler_returns());
    assert_eq!(ffi::take_error_message(), None);
}

#[test]
fn r14_the_device_is_the_machine() {
    let device = ffi::device();
    assert_eq!(device.kind, DeviceKind::Cpu);
    assert_eq!(device.support, Support::NoMlx);
    assert_eq!(ffi::device_error(), None);
    assert_eq!(device, &NoMlx::new().device());
}

#[test]
fn both_backends_do_the_same() {
    let backends: [&dyn Backend; 3] = [&*ffi::default_backend(), &NoMlx::new(), &MlxBackend::new()];
    for backend in backends {
        assert_eq!(backend.device().support, Support::NoMlx);
        assert_eq!(backend.exclusive(), None);
        assert!(!backend.synchronizes());
        assert_eq!(backend.synchronize(), Ok(()));
        assert!(backend.set_wired_limit(4096).is_err());
        assert!(backend.memory().is_err());
    }
}
