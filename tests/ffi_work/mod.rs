//! Work for MLX that fails, made with `mlx-sys` alone.

use mlx_wired::ffi;

/// The rows of a matrix that takes a while to find singular, so that its inversion seldom fails before the start returns:
/// on a busy machine one of two rows did, again and again.
const ROWS: usize = 256;

/// Starts work on the CPU that fails while it is evaluated.
///
/// If it has failed before its start returns, which is told of it then, that one is forgotten, and another started.
///
/// # Panics
///
/// If no start succeeds.
pub(crate) fn start_work_that_fails() {
    let started = (0..100).any(|_| {
        let code = start_inversion();
        if code != 0 {
            drop(ffi::take_error_message());
        }
        code == 0
    });
    assert!(started, "the work always fails before its start returns");
}

/// Starts an inversion of a singular matrix, and returns the code of the start.
fn start_inversion() -> i32 {
    // SAFETY: each object is made, used and freed once, on this thread; the pointers are to locals
    // that outlive the calls.
    unsafe {
        let cpu = mlx_sys::mlx_default_cpu_stream_new();
        let singular = vec![0.0_f32; ROWS * ROWS];
        let matrix = mlx_sys::mlx_array_new_data(
            singular.as_ptr().cast(),
            [ROWS as i32, ROWS as i32].as_ptr(),
            2,
            mlx_sys::mlx_dtype__MLX_FLOAT32,
        );
        let mut inverse = mlx_sys::mlx_array_new();
        assert_eq!(mlx_sys::mlx_linalg_inv(&raw mut inverse, matrix, cpu), 0);
        let outputs = mlx_sys::mlx_vector_array_new_value(inverse);
        let code = mlx_sys::mlx_async_eval(outputs);
        mlx_sys::mlx_vector_array_free(outputs);
        mlx_sys::mlx_array_free(inverse);
        mlx_sys::mlx_array_free(matrix);
        mlx_sys::mlx_stream_free(cpu);
        code
    }
}

/// Makes the CPU the default device, whose default stream is the one synchronised.
pub(crate) fn compute_on_the_cpu() {
    // SAFETY: the device is made, used and freed once.
    unsafe {
        let cpu = mlx_sys::mlx_device_new_type(mlx_sys::mlx_device_type__MLX_CPU, 0);
        assert_eq!(mlx_sys::mlx_set_default_device(cpu), 0);
        mlx_sys::mlx_device_free(cpu);
    }
}
