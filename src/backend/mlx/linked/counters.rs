//! MLX's counters and limits: reading and setting one by its function.

use crate::backend::BackendError;
use crate::backend::mlx::error_handler::check;

pub(super) fn memory_limit() -> Result<u64, BackendError> {
    get("mlx_get_memory_limit()", mlx_sys::mlx_get_memory_limit)
}

pub(super) type Getter = unsafe extern "C" fn(*mut usize) -> std::ffi::c_int;
pub(super) type Setter = unsafe extern "C" fn(*mut usize, usize) -> std::ffi::c_int;

pub(super) fn get(call: &str, getter: Getter) -> Result<u64, BackendError> {
    let mut value = 0;
    check(
        // SAFETY: `value` can be written to; MLX's getters keep no pointer and may be called from any
        // thread.
        || unsafe { getter(&raw mut value) },
        || call.to_owned(),
    )?;
    Ok(from_size(value))
}

pub(super) fn set(name: &str, setter: Setter, bytes: u64) -> Result<u64, BackendError> {
    let call = || format!("{name}({bytes})");
    let limit = to_size(bytes).map_err(|why| refused(call(), why))?;
    let mut previous = 0;
    check(
        // SAFETY: `previous` can be written to; MLX's setters keep no pointer and may be called from
        // any thread.
        || unsafe { setter(&raw mut previous, limit) },
        call,
    )?;
    Ok(from_size(previous))
}

/// A call that was not made.
pub(super) fn refused(call: String, why: String) -> BackendError {
    BackendError::new(call).with_message(why)
}

pub(super) fn to_size(bytes: u64) -> Result<usize, String> {
    usize::try_from(bytes).map_err(|_| "does not fit this system's address space".to_owned())
}

pub(super) fn from_size(size: usize) -> u64 {
    // Cannot fail: no system that MLX runs on has wider addresses.
    u64::try_from(size).unwrap_or(u64::MAX)
}
