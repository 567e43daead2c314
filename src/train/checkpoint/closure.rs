//! Rust closures as MLX's: a function with gradients of its own.

use super::cause::{caught, store_cause, with_cause};
use super::vector::{Vector, arrays};
use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use mlx_sys::{
    mlx_closure_apply, mlx_closure_custom_free, mlx_closure_custom_new_func_payload,
    mlx_closure_free, mlx_closure_new, mlx_closure_new_func_payload, mlx_custom_vjp, mlx_depends,
    mlx_vector_array,
};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Forward it takes the inputs and nothing, backward the inputs and the cotangents.
pub(super) type Body = Box<dyn Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Send>;

/// `forward(inputs)`, whose gradients are what `backward` returns: one for each input, since MLX does not count them.
///
/// Some call of mlx-rs that can fail must come before it, and the clone of an array is one: with its first such call mlx-rs
/// installs an error handler that returns, where MLX's own ends the process.
pub(super) fn custom_vjp(forward: Body, backward: Body, inputs: &[Array]) -> Result<Vec<Array>> {
    let payload = |body: Body| Box::into_raw(Box::new(body)).cast::<c_void>();
    let inputs = Vector::of(inputs);
    // SAFETY: each payload is a boxed `Body`, and its closure's own: MLX drops it with the last node of the graph that
    // needs it, on whatever thread (`Body` is `Send`). The graph holds what it needs, so the three handles are freed
    // here, after a failure too; an empty one may be freed.
    unsafe {
        let run = mlx_closure_new_func_payload(Some(run), payload(forward), Some(free));
        let run_vjp =
            mlx_closure_custom_new_func_payload(Some(run_vjp), payload(backward), Some(free));
        let mut both = mlx_closure_new();
        let outputs = with_cause(|| {
            Vector::filled("a block", |result| {
                match mlx_custom_vjp(&raw mut both, run, run_vjp) {
                    0 => mlx_closure_apply(result, both, inputs.handle()),
                    failed => failed,
                }
            })
        });
        mlx_closure_free(run);
        mlx_closure_custom_free(run_vjp);
        mlx_closure_free(both);
        outputs
    }
}

/// The same arrays, which MLX does not compute before `dependencies`.
///
/// None of both may be empty: MLX reads the first.
pub(super) fn depends(arrays: &[Array], dependencies: &[Array]) -> Result<Vec<Array>> {
    let (arrays, dependencies) = (Vector::of(arrays), Vector::of(dependencies));
    Vector::filled("mlx_depends", |result| {
        // SAFETY: all three vectors live.
        unsafe { mlx_depends(result, arrays.handle(), dependencies.handle()) }
    })
}

type Slot = *mut mlx_vector_array;

unsafe extern "C" fn run(result: Slot, inputs: mlx_vector_array, body: *mut c_void) -> c_int {
    // SAFETY: MLX passes an empty slot, a vector that lives, and the payload, which is not run twice at a time.
    unsafe { answer(result, || (*body.cast::<Body>())(&arrays(inputs)?, &[])) }
}

unsafe extern "C" fn run_vjp(
    result: Slot,
    primals: mlx_vector_array,
    cotangents: mlx_vector_array,
    _outputs: mlx_vector_array,
    body: *mut c_void,
) -> c_int {
    // SAFETY: as in `run`.
    unsafe {
        answer(result, || {
            (*body.cast::<Body>())(&arrays(primals)?, &arrays(cotangents)?)
        })
    }
}

unsafe extern "C" fn free(body: *mut c_void) {
    // SAFETY: MLX calls it once, with what `custom_vjp` made.
    let body = unsafe { Box::from_raw(body.cast::<Body>()) };
    // What a module does when it is dropped is the program's own, and must not unwind into C++.
    drop(catch_unwind(AssertUnwindSafe(|| drop(body))));
}

/// Answers MLX. Neither an error nor a panic may cross C++, so both are kept.
///
/// # Safety
///
/// `result` must be an empty slot. MLX frees what it holds then, also after a failure.
unsafe fn answer(result: Slot, run: impl FnOnce() -> Result<Vec<Array>>) -> c_int {
    let error = match caught(run) {
        // MLX reads the first output.
        Ok(arrays) if arrays.is_empty() => {
            Exception::custom("checkpointing: a block returned no arrays")
        }
        Ok(arrays) => {
            // SAFETY: the caller's.
            unsafe { *result = Vector::of(&arrays).into_handle() };
            return 0;
        }
        Err(error) => error,
    };
    store_cause(error);
    1
}
