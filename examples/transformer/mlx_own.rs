//! MLX's own `mlx_checkpoint`, for comparison. mlx-rs has no name for it.
//!
//! Do not copy it: `mlx_wired::train::checkpoint` needs less memory, and refuses what this computes wrongly.

use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use mlx_sys::{
    mlx_array_new, mlx_checkpoint, mlx_closure_apply, mlx_closure_free, mlx_closure_new,
    mlx_closure_new_func_payload, mlx_vector_array, mlx_vector_array_free, mlx_vector_array_get,
    mlx_vector_array_new, mlx_vector_array_new_data, mlx_vector_array_size,
};
use std::ffi::{c_int, c_void};

type Body = Box<dyn Fn(&[Array]) -> Result<Vec<Array>> + Send>;

/// `f(inputs)`, under `mlx_checkpoint`.
pub(crate) fn checkpoint(
    f: impl Fn(&[Array]) -> Result<Vec<Array>> + Send + 'static,
    inputs: &[Array],
) -> Result<Vec<Array>> {
    let body: Body = Box::new(f);
    let handles: Vec<_> = inputs.iter().map(Array::as_ptr).collect();
    // SAFETY: all handles are live for the calls and freed once. The payload is the closure's own: MLX frees it with the
    // last node of the graph that needs it, on whatever thread, as `Send` allows.
    unsafe {
        let inputs = mlx_vector_array_new_data(handles.as_ptr(), handles.len());
        let payload = Box::into_raw(Box::new(body)).cast();
        let closure = mlx_closure_new_func_payload(Some(run), payload, Some(free));
        let (mut checkpointed, mut outputs) = (mlx_closure_new(), mlx_vector_array_new());
        let mut failed = mlx_checkpoint(&raw mut checkpointed, closure);
        if failed == 0 {
            failed = mlx_closure_apply(&raw mut outputs, checkpointed, inputs);
        }
        let arrays = if failed == 0 {
            arrays(outputs)
        } else {
            Err(Exception::custom("mlx_checkpoint"))
        };
        mlx_vector_array_free(outputs);
        mlx_vector_array_free(inputs);
        mlx_closure_free(checkpointed);
        mlx_closure_free(closure);
        arrays
    }
}

unsafe extern "C" fn run(
    result: *mut mlx_vector_array,
    inputs: mlx_vector_array,
    body: *mut c_void,
) -> c_int {
    // SAFETY: MLX passes a live vector, a slot for the result, which it frees, and the payload.
    unsafe {
        let outputs = arrays(inputs).and_then(|inputs| (*body.cast::<Body>())(&inputs));
        let Ok(outputs) = outputs else { return 1 };
        let handles: Vec<_> = outputs.iter().map(Array::as_ptr).collect();
        *result = mlx_vector_array_new_data(handles.as_ptr(), handles.len());
        0
    }
}

unsafe extern "C" fn free(body: *mut c_void) {
    // SAFETY: MLX calls it once, with the payload.
    drop(unsafe { Box::from_raw(body.cast::<Body>()) });
}

/// # Safety
/// `vector` must be live.
unsafe fn arrays(vector: mlx_vector_array) -> Result<Vec<Array>> {
    // SAFETY: the caller's; each handle is fresh, and given to one `Array`.
    let get = |index| unsafe {
        let mut handle = mlx_array_new();
        let failed = mlx_vector_array_get(&raw mut handle, vector, index) != 0;
        let array = Array::from_ptr(handle);
        if failed {
            Err(Exception::custom("mlx_vector_array_get"))
        } else {
            Ok(array)
        }
    };
    // SAFETY: the caller's.
    (0..unsafe { mlx_vector_array_size(vector) })
        .map(get)
        .collect()
}
