//! `mlx-rs` beside the library: when its error handler is in place, and for whom. One test, alone in its
//! process, since the handler is process-wide.

#![cfg(any(target_vendor = "apple", with_mlx))]

mod ffi_work;

use std::thread;

use ffi_work::{compute_on_the_cpu, start_work_that_fails};
use mlx_wired::ffi;

#[test]
fn one_call_of_mlx_rs_on_any_thread_installs_a_handler_that_returns_on_all() {
    // On a thread that ends before the failure, which is not mlx-rs's own.
    thread::spawn(|| mlx_rs::memory::active_memory().unwrap())
        .join()
        .unwrap();

    compute_on_the_cpu();
    start_work_that_fails();
    // The process goes on. The message went to mlx-rs's own thread-local.
    let error = ffi::synchronize().unwrap_err();
    assert_eq!(error.code, Some(1));
    assert_eq!(error.message, None);
    assert_eq!(ffi::take_error_message(), None);
}
