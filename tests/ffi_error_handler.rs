//! The error handlers and work that fails, under real MLX. One test, alone in its process: the handler
//! is process-wide, and no other thread may be inside MLX when it is installed.

#![cfg(any(target_vendor = "apple", with_mlx, feature = "mlx"))]

mod ffi_work;

use std::env;
use std::process::Command;

use ffi_work::{compute_on_the_cpu, start_work_that_fails};
use mlx_wired::ffi::{self, Backend, MlxBackend};

/// Set in the process that is to be ended by MLX's default handler.
const CHILD: &str = "MLX_WIRED_TEST_DEFAULT_HANDLER";

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

    start_work_that_fails();
    // A call of the program's own.
    // SAFETY: an empty array is refused by a thrown exception.
    let code = unsafe { mlx_sys::mlx_array_eval(mlx_sys::mlx_array_new()) };
    assert_eq!(code, 1);

    // A call of ours fails, with MLX's message; the program's is not touched.
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
