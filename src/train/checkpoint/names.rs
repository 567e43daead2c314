//! Which handles are of the same array.

use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use mlx_sys::{mlx_node_namer, mlx_node_namer_free, mlx_node_namer_get_name, mlx_node_namer_new};
use std::ffi::{CStr, CString};
use std::ptr;

/// Names for arrays, which MLX makes up: the same for each handle of an array. A handle's own address tells less, as a new
/// handle may lie where another one was.
///
/// A name holds while its array lives.
pub(super) struct Names(mlx_node_namer);

impl Names {
    pub(super) fn new() -> Self {
        // SAFETY: it needs nothing.
        Self(unsafe { mlx_node_namer_new() })
    }

    /// The name of an array. Its handle comes from mlx-rs, whose error handler is in place then: see `custom_vjp`.
    pub(super) fn of(&mut self, array: &Array) -> Result<CString> {
        let mut name = ptr::null();
        // SAFETY: both handles live, and the slot may be written to.
        let status = unsafe { mlx_node_namer_get_name(&raw mut name, self.0, array.as_ptr()) };
        if status != 0 || name.is_null() {
            return Err(Exception::custom("checkpointing: MLX cannot name an array"));
        }
        // SAFETY: MLX keeps the text, which ends with a zero, until the next call; it is copied here.
        Ok(unsafe { CStr::from_ptr(name) }.to_owned())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        // SAFETY: it is owned, and freed once.
        unsafe { mlx_node_namer_free(self.0) };
    }
}
