//! What is asked of mlx-rs's arrays.

use super::error_handler::check;
use crate::backend::BackendError;

/// Whether an array has been computed: it was evaluated, and the evaluation has ended.
///
/// It evaluates nothing, and costs some nanoseconds. An array that is not evaluated keeps everything that it will be
/// computed from.
///
/// # Errors
///
/// If the array could not be asked.
pub fn is_evaluated(array: &mlx_rs::Array) -> Result<bool, BackendError> {
    let mut available = false;
    check(
        // SAFETY: `available` can be written to; the array lives through the call, which keeps no pointer and changes
        // nothing.
        || unsafe { mlx_sys::_mlx_array_is_available(&raw mut available, array.as_ptr()) },
        || "_mlx_array_is_available()".to_owned(),
    )?;
    Ok(available)
}
