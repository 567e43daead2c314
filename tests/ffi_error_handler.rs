//! The error handlers and work that fails, under real MLX. One test, alone in its process: the handler
//! is process-wide, and no other thread may be inside MLX when it is installed.

#![cfg(any(target_vendor = "apple", with_mlx, feature = "mlx"))]

use std::env;
use std::process::Command;

use mlx_wired::ffi::{self, Backend, MlxBackend};

/// Set in the process that is to be ended by MLX's default handler.
const CHILD: &str = "MLX_WIRED_TEST_DEFAULT_HANDLER";

/// Starts an inversion of a singular matrix on the CPU, which fails while it is evaluated, and returns
/// the code of the start.
fn start_work_that_fails() -> i32 {
    // SAFETY: each object is made, used and freed once, on this thread; the pointers are to locals
    // that outlive the calls.
    unsafe {
        let cpu = mlx_sys::mlx_default_cpu_stream_new();
        let singular = [0.0_f32; 4];
        let matrix = mlx_sys::mlx_array_new_data(
            singular.as_ptr().cast(),
            [2, 2].as_ptr(),
            2,
            mlx_sys::mlx_dtype__MLX_FLOAT32,
        );
        let mut inverse = mlx_sys::mlx_array_new();
        assert_eq!(mlx_sys::mlx_linalg_inv(&raw mut inverse, matrix, cpu), 0);
        let outputs = mlx_sys::mlx_vector_array_new_value(inverse);
        let code = mlx_sys::mlx_async_eval(outputs);
        mlx_sys::mlx_vector_array_free(outputs);
        mlx_sys::mlx_array_free(inverse);
        mlx_sys::mlx_array_free(matrix);
        mlx_sys::mlx_stream_free(cpu);
        code
    }
}

/// Makes the CPU the default device, whose default stream is the one synchronised.
fn compute_on_the_cpu() {
    // SAFETY: the device is made, used and freed once.
    unsafe {
        let cpu = mlx_sys::mlx_device_new_type(mlx_sys::mlx_device_type__MLX_CPU, 0);
        assert_eq!(mlx_sys::mlx_set_default_device(cpu), 0);
        mlx_sys::mlx_device_free(cpu);
    }
}

#[test]
fn a_failing_call_ends_the_process_until_a_handler_is_installed() {
    compute_on_the_cpu();
    if env::var_os(CHILD).is_some() {
        start_work_that_fails();
        drop(ffi::synchronize());
        unreachable!("MLX's default handler ends the process");
    }

    let this = env::current_exe().expect("a test has an executable");
    let child = Command::new(this).env(CHILD, "1").output().unwrap();
    assert_eq!(child.status.code(), Some(255), "exit(-1)");
    let printed = String::from_utf8_lossy(&child.stdout);
    assert!(printed.contains("MLX error: "), "{printed}");

    let backend = MlxBackend::new();
    assert_eq!(backend.synchronizes(), cfg!(feature = "mlx-rs"));
    // SAFETY: no other thread of this process is in MLX (the test harness's only waits), and no
    // other code has installed a handler.
    unsafe { ffi::install_error_handler() };
    assert!(ffi::error_handler_returns());
    assert!(backend.synchronizes());

    // A call of the program's own.
    // SAFETY: an empty array is refused by a thrown exception.
    let code = unsafe { mlx_sys::mlx_array_eval(mlx_sys::mlx_array_new()) };
    assert_eq!(code, 1);

    // A call of ours fails, with MLX's message; the program's is not touched.
    assert_eq!(start_work_that_fails(), 0);
    let error = backend.synchronize().unwrap_err();
    assert_eq!(error.call, "mlx_synchronize_default()");
    assert_eq!(error.code, Some(1));
    let message = error.message.expect("the handler keeps it");
    assert!(message.contains("Inverse"), "{message}");

    let own = ffi::take_error_message().expect("the program's call left one");
    assert!(own.contains("non-empty"), "{own}");
    assert_eq!(ffi::take_error_message(), None);

    // MLX hands the failure of a stream's work out once.
    assert_eq!(backend.synchronize(), Ok(()));
}
