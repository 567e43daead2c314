//! MLX's own `mlx_checkpoint`, to compare with.

use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use std::ffi::{c_int, c_void};

type Body = Box<dyn Fn(&[Array]) -> Result<Vec<Array>>>;

/// `f(primals, constants)`, checkpointed as MLX does.
pub(super) fn checkpoint(
    f: fn(&[Array], &[Array]) -> Result<Vec<Array>>,
    primals: &[Array],
    constants: &[Array],
) -> Result<Vec<Array>> {
    let (count, inputs) = (primals.len(), [primals, constants].concat());
    let body: Body = Box::new(move |inputs| f(&inputs[..count], &inputs[count..]));
    let payload = Box::into_raw(Box::new(body)).cast();
    let inputs = vector(&inputs);
    // SAFETY: the payload is a boxed `Body`, which MLX drops; the handles are freed here, and the graph holds what it
    // needs.
    unsafe {
        let plain = mlx_sys::mlx_closure_new_func_payload(Some(run), payload, Some(free));
        let mut both = mlx_sys::mlx_closure_new();
        let mut outputs = mlx_sys::mlx_vector_array_new();
        let failed = mlx_sys::mlx_checkpoint(&raw mut both, plain) != 0
            || mlx_sys::mlx_closure_apply(&raw mut outputs, both, inputs) != 0;
        let result = arrays(outputs);
        mlx_sys::mlx_vector_array_free(outputs);
        mlx_sys::mlx_vector_array_free(inputs);
        mlx_sys::mlx_closure_free(plain);
        mlx_sys::mlx_closure_free(both);
        if failed {
            Err(Exception::custom("mlx_checkpoint failed"))
        } else {
            Ok(result)
        }
    }
}

unsafe extern "C" fn run(
    result: *mut mlx_sys::mlx_vector_array,
    inputs: mlx_sys::mlx_vector_array,
    body: *mut c_void,
) -> c_int {
    // SAFETY: MLX passes a live vector, an empty slot, and the payload.
    let done = unsafe { (*body.cast::<Body>())(&arrays(inputs)) };
    match done {
        Ok(arrays) => {
            // SAFETY: the slot may be written to.
            unsafe { *result = vector(&arrays) };
            0
        }
        Err(_) => 1,
    }
}

unsafe extern "C" fn free(body: *mut c_void) {
    // SAFETY: MLX calls it once with what was boxed above.
    drop(unsafe { Box::from_raw(body.cast::<Body>()) });
}

fn vector(arrays: &[Array]) -> mlx_sys::mlx_vector_array {
    let handles: Vec<_> = arrays.iter().map(Array::as_ptr).collect();
    // SAFETY: the handles live through the call, which copies what they refer to.
    unsafe { mlx_sys::mlx_vector_array_new_data(handles.as_ptr(), handles.len()) }
}

/// # Safety
///
/// `vector` must live.
unsafe fn arrays(vector: mlx_sys::mlx_vector_array) -> Vec<Array> {
    // SAFETY: the caller's; each handle is fresh.
    let get = |index| unsafe {
        let mut handle = mlx_sys::mlx_array_new();
        assert_eq!(
            mlx_sys::mlx_vector_array_get(&raw mut handle, vector, index),
            0
        );
        Array::from_ptr(handle)
    };
    // SAFETY: the caller's.
    (0..unsafe { mlx_sys::mlx_vector_array_size(vector) })
        .map(get)
        .collect()
}
