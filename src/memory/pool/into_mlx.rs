//! Buffers as arrays of MLX (feature `mlx-rs`).
//!
//! MLX keeps the memory that it is given on Metal alone, and there only what starts on a page and has whole pages, which is
//! 16 KiB on Apple silicon. All else it copies, and lets go of it inside the call: on the CPU and on CUDA always. So what is
//! given must be right in both cases:
//!
//! * *The shape is checked before the call.* MLX reads as many bytes as the shape says.
//! * *One array for each buffer.* MLX counts the references of an array, not of the memory: it may write the result of
//!   `x + 1` where `x` was, and another array over the same memory would change. A [`PoolBuf`] goes by value.
//! * *Rust cannot write while MLX has it*, for the same reason.
//! * *The deleter may run anywhere*: on the thread that drops the last handle, on MLX's own, inside the call, or never, where
//!   the process ends first. It gives the buffer back, and lets no panic out. A buffer keeps what its pool is made of, so it
//!   may run after the pool has gone. It does not run where MLX finds no memory for its copy: then the buffer is given back
//!   here.
//! * *Bools are 0 or 1*, on which Rust relies, and a buffer has whatever bytes.

mod decode;

pub use decode::{Slot, decode};

use super::{PoolBuf, PoolError};
use mlx_rs::{Array, Dtype};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl PoolBuf {
    /// The first bytes of it as an array of MLX, without a copy where MLX keeps the memory: on Metal, where the array has
    /// whole pages of 16 KiB.
    ///
    /// Of a [`Dtype::Bool`] every byte that is not 0 is true. The buffer is in use until MLX lets go of it, and goes back to the pool then: where it is copied, before this returns.
    /// MLX may compute in it, so what comes back is not what was given. An operation that is recorded and not
    /// evaluated keeps its arrays: evaluate before waiting for buffers of a pool with a [limit](super::PoolBuilder::limit).
    ///
    /// # Errors
    ///
    /// [`PoolError::Shape`] if the array has more bytes than the buffer, or a negative dimension; [`PoolError::Mlx`] if MLX
    /// fails. The buffer goes back to the pool.
    ///
    /// ```
    /// # use mlx_wired::memory::BufferPool;
    /// let pool = BufferPool::builder("loader").build();
    /// let mut batch = pool.get(4 * 1024)?;
    /// for (place, value) in batch.chunks_exact_mut(4).enumerate() {
    ///     value.copy_from_slice(&(place as f32).to_ne_bytes());
    /// }
    /// let array = batch.into_array(&[32, 32], mlx_rs::Dtype::Float32)?;
    /// assert_eq!(array.as_slice::<f32>()[1023], 1023.0);
    /// # Ok::<(), mlx_wired::memory::PoolError>(())
    /// ```
    pub fn into_array(mut self, shape: &[i32], dtype: Dtype) -> Result<Array, PoolError> {
        let available = self.len() as u64;
        let needed = bytes(shape, dtype).filter(|needed| *needed <= available);
        let Some(needed) = needed else {
            return Err(shape_error(shape, dtype, available));
        };
        let dimensions = dimensions(shape)?;
        handler()?;
        if dtype == Dtype::Bool {
            make_bools(&mut self[..needed as usize]);
        }
        let data = self.as_mut_ptr().cast::<c_void>();
        let is_back = Arc::new(AtomicBool::new(false));
        let lent = Box::into_raw(Box::new(Lent {
            buffer: self,
            is_back: is_back.clone(),
        }));
        // SAFETY: `data` has as many bytes as the array, starts on a page, and lives until `give_back` is called with the
        // payload. Nothing else reads or writes it until then: the buffer is in the payload.
        let array = unsafe {
            mlx_sys::mlx_array_new_data_managed_payload(
                data,
                shape.as_ptr(),
                dimensions,
                dtype.into(),
                lent.cast(),
                Some(give_back),
            )
        };
        if array.ctx.is_null() {
            // Relaxed: where MLX has made nothing, it can only have let go on this thread, in the call.
            if !is_back.load(Ordering::Relaxed) {
                // SAFETY: `give_back` has not been called, and what would call it has gone with MLX's exception.
                drop(unsafe { Box::from_raw(lent) });
            }
            return Err(PoolError::Mlx(String::from("it made no array of a buffer")));
        }
        // SAFETY: a handle of its own, which nothing else frees.
        Ok(unsafe { Array::from_ptr(array) })
    }
}

/// A buffer that MLX has.
struct Lent {
    buffer: PoolBuf,
    /// MLX has let go of it.
    is_back: Arc<AtomicBool>,
}

/// What MLX calls when it lets go of a buffer, on whatever thread.
unsafe extern "C" fn give_back(payload: *mut c_void) {
    // SAFETY: MLX calls it once, with what `into_array` made.
    let lent = unsafe { Box::from_raw(payload.cast::<Lent>()) };
    let Lent { buffer, is_back } = *lent;
    is_back.store(true, Ordering::Relaxed);
    // To release what the pool is counted by may call code of the program, which must not unwind into C++.
    drop(catch_unwind(AssertUnwindSafe(|| drop(buffer))));
}

/// Makes bools of bytes: true of what is not 0.
fn make_bools(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = u8::from(*byte != 0);
    }
}

/// How many bytes an array has; none if that is no number of bytes.
fn bytes(shape: &[i32], dtype: Dtype) -> Option<u64> {
    // SAFETY: it only answers.
    let item = unsafe { mlx_sys::mlx_dtype_size(dtype.into()) } as u64;
    let sides = shape.iter().map(|side| u64::try_from(*side).ok());
    let all = sides.collect::<Option<Vec<u64>>>()?;
    all.into_iter().try_fold(item, u64::checked_mul)
}

fn dimensions(shape: &[i32]) -> Result<i32, PoolError> {
    i32::try_from(shape.len()).map_err(|_| too_many_dimensions())
}

fn too_many_dimensions() -> PoolError {
    PoolError::Mlx(String::from("it has no arrays of so many dimensions"))
}

fn shape_error(shape: &[i32], dtype: Dtype, available: u64) -> PoolError {
    PoolError::Shape {
        shape: shape.into(),
        dtype: Arc::from(format!("{dtype:?}")),
        needed: bytes(shape, dtype),
        available,
    }
}

/// Sees to it that mlx-rs's error handler is in place, which returns: it comes with the first call that can fail.
fn handler() -> Result<(), PoolError> {
    let asked = mlx_rs::memory::active_memory();
    asked
        .map(drop)
        .map_err(|error| PoolError::Mlx(error.to_string()))
}
