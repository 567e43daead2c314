//! An error handler for MLX that returns, and where it leaves the message.
//!
//! mlx-c catches each C++ exception, hands its text to one process-wide handler and returns a code.
//! The handler in place at the start prints the text and calls `exit(-1)`. There is no getter, and
//! `mlx_set_error_handler` writes plain static variables.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::BackendError;

thread_local! {
    /// mlx-c calls the handler on the thread whose call failed, before the call returns.
    static MESSAGE: Cell<Option<String>> = const { Cell::new(None) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// # Safety
///
/// No other thread may be inside MLX: the handler's statics are not atomic.
pub(super) unsafe fn install() {
    // SAFETY: the caller keeps other threads out of MLX. `store_message` has the type's signature, does not unwind,
    // uses no data, and lives as long as the process.
    unsafe { mlx_sys::mlx_set_error_handler(Some(store_message), std::ptr::null_mut(), None) };
    // A flag of its own: nothing else is published by it.
    INSTALLED.store(true, Ordering::Relaxed);
}

pub(super) fn returns() -> bool {
    cfg!(feature = "mlx-rs") || INSTALLED.load(Ordering::Relaxed)
}

pub(super) fn take_message() -> Option<String> {
    // Not `with`: a destructor of another thread-local may call MLX when ours is gone.
    MESSAGE.try_with(Cell::take).ok().flatten()
}

fn set_message(message: Option<String>) {
    // At the end of a thread no call is left that reads it.
    MESSAGE.try_with(|cell| cell.set(message)).ok();
}

unsafe extern "C" fn store_message(message: *const c_char, _data: *mut c_void) {
    if message.is_null() {
        return;
    }
    // SAFETY: mlx-c passes a NUL-terminated string that outlives this call.
    let message = unsafe { CStr::from_ptr(message) };
    set_message(Some(message.to_string_lossy().into_owned()));
}

/// Makes a call that returns 0 for success, and turns another code into an error that carries the
/// call, the code and the message.
///
/// A message that a call of the program's own left before stays where it is.
pub(super) fn check(
    call: impl FnOnce() -> c_int,
    describe: impl FnOnce() -> String,
) -> Result<(), BackendError> {
    let earlier = take_message();
    let code = call();
    let message = take_message();
    set_message(earlier);
    if code == 0 {
        return Ok(());
    }
    let mut error = BackendError::new(describe()).with_code(code);
    error.message = message;
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails_with(text: &CStr, code: c_int) -> c_int {
        // SAFETY: a C string literal.
        unsafe { store_message(text.as_ptr(), std::ptr::null_mut()) };
        code
    }

    #[test]
    fn an_error_carries_call_code_and_message() {
        let error = check(|| fails_with(c"no room", 1), || "mlx_call(7)".to_owned()).unwrap_err();
        assert_eq!(
            error,
            BackendError::new("mlx_call(7)")
                .with_code(1)
                .with_message("no room")
        );
        assert_eq!(take_message(), None);
    }

    #[test]
    fn the_programs_own_message_is_left_alone() {
        assert_eq!(fails_with(c"the program's", 1), 1);
        assert_eq!(check(|| 0, String::new), Ok(()));
        let error = check(|| 2, || "silent()".to_owned()).unwrap_err();
        assert_eq!(error.message, None);
        let error = check(|| fails_with(c"ours", 1), || "ours()".to_owned()).unwrap_err();
        assert_eq!(error.message.as_deref(), Some("ours"));
        assert_eq!(take_message().as_deref(), Some("the program's"));
    }

    #[test]
    fn messages_belong_to_threads() {
        assert_eq!(fails_with(c"here", 1), 1);
        std::thread::spawn(|| assert_eq!(take_message(), None))
            .join()
            .unwrap();
        assert_eq!(take_message().as_deref(), Some("here"));
    }

    #[test]
    fn text_that_is_not_utf8_and_no_text() {
        assert_eq!(fails_with(c"bad \xff byte", 1), 1);
        assert_eq!(take_message().as_deref(), Some("bad \u{fffd} byte"));
        // SAFETY: a null pointer is allowed for.
        unsafe { store_message(std::ptr::null(), std::ptr::null_mut()) };
        assert_eq!(take_message(), None);
    }
}
