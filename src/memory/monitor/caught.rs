//! Calls of a backend, which may be the program's own.

use crate::ffi::BackendError;
use std::panic::{self, AssertUnwindSafe};

/// A backend's call, of which a panic is a failure: it may be the program's own.
pub(super) fn caught<T>(call: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = format!("panicked: {}", text.unwrap_or("no message"));
        Err(BackendError::new("a call of the backend").with_message(message))
    })
}
