//! Which errors say that memory was refused.

use std::error::Error;

/// What MLX, CUDA and Metal say where memory was refused, in lower case.
const TEXTS: [&str; 7] = [
    // MLX, any backend: "[malloc] Unable to allocate 4096 bytes."
    "] unable to allocate",
    // MLX on Metal, of a single buffer: a smaller batch has smaller ones.
    "greater than the maximum allowed buffer size",
    // CUDA: "cudaMallocAsync(&data, size, stream) failed: out of memory".
    "out of memory",
    "cudaerrormemoryallocation",
    "cuda_error_out_of_memory",
    // Metal, when the command buffer runs.
    "kiogpucommandbuffercallbackerroroutofmemory",
    "insufficient memory",
];

/// Whether an error, or one that caused it, says that memory was refused: that of MLX's allocator, of CUDA, or of Metal's
/// command buffers.
///
/// MLX has no type for it, so the texts are looked at. "Resource limit (499000) exceeded" is not one: it counts
/// buffers, not bytes ([`explain`](fn@super::explain)), and a smaller batch has as many.
///
/// On the CPU MLX does not report refused memory: the process ends.
///
/// ```
/// use mlx_wired::ffi::BackendError;
/// use mlx_wired::train::is_allocation_failure;
///
/// let refused = BackendError::new("mlx_eval()").with_message("[malloc] Unable to allocate 4096 bytes.");
/// assert!(is_allocation_failure(&refused));
/// let shapes = BackendError::new("mlx_matmul()").with_message("[matmul] last dimension 3 and 4 do not match");
/// assert!(!is_allocation_failure(&shapes));
/// ```
#[must_use]
pub fn is_allocation_failure(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    // A chain may be a circle.
    for _ in 0..32 {
        let Some(error) = next else {
            break;
        };
        if is_refusal(&error.to_string()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether a text says so.
pub(super) fn is_refusal(text: &str) -> bool {
    let text = text.to_lowercase();
    TEXTS.iter().any(|it| text.contains(it))
}
