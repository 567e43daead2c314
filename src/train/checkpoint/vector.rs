//! MLX's vectors of arrays.

use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use mlx_sys::{
    mlx_array, mlx_array_new, mlx_vector_array, mlx_vector_array_free, mlx_vector_array_get,
    mlx_vector_array_new, mlx_vector_array_new_data, mlx_vector_array_size,
};
use std::ffi::c_int;

/// An owned vector, which holds its arrays itself.
pub(super) struct Vector(mlx_vector_array);

impl Vector {
    pub(super) fn of(arrays: &[Array]) -> Self {
        let handles: Vec<mlx_array> = arrays.iter().map(Array::as_ptr).collect();
        // SAFETY: the handles live through the call, which copies what they refer to.
        Self(unsafe { mlx_vector_array_new_data(handles.as_ptr(), handles.len()) })
    }

    /// What `fill` puts into an empty vector. Its status is all that is known of a failure: the message is in a place of
    /// mlx-rs's own.
    pub(super) fn filled(
        what: &str,
        fill: impl FnOnce(&mut mlx_vector_array) -> c_int,
    ) -> Result<Vec<Array>> {
        // SAFETY: it makes an empty vector.
        let mut vector = Self(unsafe { mlx_vector_array_new() });
        match fill(&mut vector.0) {
            // SAFETY: the vector lives.
            0 => unsafe { arrays(vector.0) },
            status => Err(Exception::custom(format!(
                "checkpointing: {what} failed with status {status}"
            ))),
        }
    }

    pub(super) fn handle(&self) -> mlx_vector_array {
        self.0
    }

    /// Gives it away: the taker frees it.
    pub(super) fn into_handle(self) -> mlx_vector_array {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for Vector {
    fn drop(&mut self) {
        // SAFETY: it is owned, and freed once.
        unsafe { mlx_vector_array_free(self.0) };
    }
}

/// Handles of one's own to a vector's arrays; the vector stays its owner's.
///
/// # Safety
///
/// `vector` must live.
pub(super) unsafe fn arrays(vector: mlx_vector_array) -> Result<Vec<Array>> {
    let get = |index| {
        // SAFETY: the caller's; each handle is fresh, and belongs to one `Array`.
        let (array, status) = unsafe {
            let mut handle = mlx_array_new();
            let status = mlx_vector_array_get(&raw mut handle, vector, index);
            (Array::from_ptr(handle), status)
        };
        match status {
            0 => Ok(array),
            _ => Err(Exception::custom(
                "checkpointing: MLX cannot read its own vector",
            )),
        }
    };
    // SAFETY: the caller's.
    (0..unsafe { mlx_vector_array_size(vector) })
        .map(get)
        .collect()
}
