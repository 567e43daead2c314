//! What went wrong inside a backward pass: MLX says no more than that a closure returned a non-zero value.

use mlx_rs::error::{Exception, Result};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// MLX calls closures on the thread that differentiates, so a thread's cause is its own.
    static CAUSE: Cell<Option<Exception>> = const { Cell::new(None) };
}

/// Runs a transform over blocks, and returns as its error what went wrong *inside* a block's backward pass.
///
/// The kit's own [`value_and_grad`](super::value_and_grad) does so by itself. This is for other transforms: mlx-rs's `vjp`,
/// a compiled function, or gradients of gradients.
///
/// # Errors
///
/// The cause, or else the transform's own error. A cause of an earlier transform is never returned.
pub fn with_cause<T>(transform: impl FnOnce() -> Result<T>) -> Result<T> {
    CAUSE.take();
    transform().map_err(|error| CAUSE.take().unwrap_or(error))
}

/// Keeps the cause of a failure that MLX is about to report.
pub(super) fn store_cause(error: Exception) {
    CAUSE.set(Some(error));
}

/// Runs a block; a panic becomes an error. No panic may cross C++, and a block fails in the same way whether it is
/// recomputed or not.
pub(super) fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = text(&*panic);
        Err(Exception::custom(format!(
            "checkpointing: a block panicked: {text}"
        )))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}
