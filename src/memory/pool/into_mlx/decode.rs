//! Values that are written straight into MLX's own memory, on every backend.
//!
//! MLX loads a file of which only the header exists. When the array is evaluated it allocates its memory, and asks the
//! reader for all bytes in one call on a thread of its own: that call is the program's closure.

use super::super::PoolError;
use super::{bytes, dimensions, handler, make_bools, shape_error, too_many_dimensions};
use mlx_rs::{Array, Dtype};
use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a program's closure fails with.
type Cause = Box<dyn std::error::Error + Send + Sync>;
/// A program's closure.
type Decode<'a> = Box<dyn FnOnce(&mut Slot<'_>) -> Result<(), Cause> + Send + 'a>;

/// The memory of an array that is being made: written from its beginning to its end.
///
/// It is memory of MLX's own, which has not been written yet, and is aligned to 8 bytes. It takes bytes as any
/// [`Write`] does, and refuses what is over its end.
#[derive(Debug)]
pub struct Slot<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    written: usize,
}

impl Slot<'_> {
    /// How many bytes are still to be written.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.memory.len() - self.written
    }

    /// All that remains, with zeros in it, for code that writes into a slice: it counts as written.
    pub fn zeroed(&mut self) -> &mut [u8] {
        let before = self.written;
        self.memory[before..].fill(MaybeUninit::new(0));
        self.written = self.memory.len();
        &mut self.filled()[before..]
    }

    /// What has been written.
    fn filled(&mut self) -> &mut [u8] {
        let filled = &mut self.memory[..self.written];
        // SAFETY: each byte of it has been written.
        unsafe { &mut *(std::ptr::from_mut(filled) as *mut [u8]) }
    }
}

impl Write for Slot<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.remaining());
        let place = &mut self.memory[self.written..][..count];
        // SAFETY: both have `count` bytes, and the memory is borrowed for writing.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place.as_mut_ptr().cast(), count) };
        self.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What became of a closure.
enum Outcome {
    Waits(Decode<'static>),
    Done,
    Failed(Cause),
    Panicked(Box<dyn std::any::Any + Send>),
    /// It wrote so many bytes too few.
    Short(usize),
    Over,
}

/// What MLX's reader and the calling thread share.
struct Source {
    header: Vec<u8>,
    at: usize,
    dtype: Dtype,
    outcome: Arc<Mutex<Outcome>>,
}

/// An array whose values `decode` writes straight into MLX's own memory: without a copy, and without memory of others, on
/// every backend.
///
/// Of a [`Dtype::Bool`] every byte that is not 0 is true. On a warm cache of MLX's it costs what the decoding costs; `docs/MEMORY.md` has figures. The array is evaluated when this
/// returns.
///
/// # Errors
///
/// [`PoolError::Decode`] if `decode` failed, or wrote fewer bytes than the array has; [`PoolError::Shape`] for a shape that
/// is none; [`PoolError::Mlx`] if MLX failed.
///
/// # Panics
///
/// If `decode` does, with its payload.
///
/// # Blocking
///
/// Until `decode`, which runs on a thread of MLX's, has returned. It must not evaluate arrays there.
///
/// ```
/// use std::io::Write;
///
/// let pixels = [0_u8, 51, 255, 102];
/// let array = mlx_wired::memory::decode(&[2, 2], mlx_rs::Dtype::Float32, |slot| {
///     for pixel in pixels {
///         slot.write_all(&(f32::from(pixel) / 255.0).to_ne_bytes())?;
///     }
///     Ok(())
/// })?;
/// assert_eq!(array.as_slice::<f32>(), [0.0, 0.2, 1.0, 0.4]);
/// # Ok::<(), mlx_wired::memory::PoolError>(())
/// ```
pub fn decode<F>(shape: &[i32], dtype: Dtype, decode: F) -> Result<Array, PoolError>
where
    F: FnOnce(&mut Slot<'_>) -> Result<(), Cause> + Send,
{
    if bytes(shape, dtype).is_none() {
        return Err(shape_error(shape, dtype, 0));
    }
    dimensions(shape)?;
    let header = header(shape, dtype)?;
    handler()?;
    let decode: Decode<'_> = Box::new(decode);
    // SAFETY: only the lifetime is changed. `Ended` takes the closure away before this function returns or unwinds, and it
    // is neither called nor dropped after that.
    let decode = unsafe { std::mem::transmute::<Decode<'_>, Decode<'static>>(decode) };
    let outcome = Arc::new(Mutex::new(Outcome::Waits(decode)));
    let ended = Ended(&outcome);
    let made = load(header, dtype, &outcome);
    let evaluated = made.and_then(|array| {
        array.eval()?;
        Ok(array)
    });
    match (ended.outcome(), evaluated) {
        (Outcome::Panicked(payload), _) => resume_unwind(payload),
        (Outcome::Failed(cause), _) => Err(PoolError::Decode(cause)),
        (Outcome::Short(missing), _) => {
            let cause = format!("{missing} bytes of the array were not written");
            Err(PoolError::Decode(cause.into()))
        }
        // An array without bytes is not read.
        (_, Ok(array)) => Ok(array),
        // A half-written array counts as evaluated when it is asked again: it has gone.
        (_, Err(error)) => Err(PoolError::Mlx(error.to_string())),
    }
}

/// Takes the closure away from MLX's reader, which may live on.
struct Ended<'a>(&'a Mutex<Outcome>);

impl Ended<'_> {
    fn outcome(&self) -> Outcome {
        // Where the closure runs the lock is held, so this waits for it.
        std::mem::replace(&mut *lock(self.0), Outcome::Over)
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        drop(self.outcome());
    }
}

fn lock(outcome: &Mutex<Outcome>) -> MutexGuard<'_, Outcome> {
    outcome.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The array of a file that has this header and no data yet.
fn load(
    header: Vec<u8>,
    dtype: Dtype,
    outcome: &Arc<Mutex<Outcome>>,
) -> Result<Array, mlx_rs::error::Exception> {
    let source = Box::new(Source {
        header,
        at: 0,
        dtype,
        outcome: outcome.clone(),
    });
    let vtable = mlx_sys::mlx_io_vtable {
        is_open: Some(yes),
        good: Some(yes),
        tell: Some(tell),
        seek: Some(seek),
        read: Some(read),
        read_at_offset: Some(read_at),
        write: None,
        label: Some(label),
        free: Some(free),
    };
    let mut array = mlx_array_in_place();
    // SAFETY: the functions of the table take the boxed source, which the reader owns, and frees once, when the last array
    // that needs it has gone. The stream and our handle of the reader are freed here.
    let status = unsafe {
        let reader = mlx_sys::mlx_io_reader_new(Box::into_raw(source).cast(), vtable);
        let stream = mlx_sys::mlx_default_cpu_stream_new();
        let status = mlx_sys::mlx_load_reader(&raw mut array, reader, stream);
        mlx_sys::mlx_stream_free(stream);
        mlx_sys::mlx_io_reader_free(reader);
        status
    };
    // SAFETY: a handle of its own, which may be empty.
    let array = unsafe { Array::from_ptr(array) };
    match status {
        0 => Ok(array),
        _ => Err(mlx_rs::error::Exception::from("mlx_load_reader failed")),
    }
}

fn mlx_array_in_place() -> mlx_sys::mlx_array {
    // SAFETY: it makes an empty handle.
    unsafe { mlx_sys::mlx_array_new() }
}

/// The header of a file of numpy's: what MLX reads a shape and a type from.
fn header(shape: &[i32], dtype: Dtype) -> Result<Vec<u8>, PoolError> {
    let kind = match dtype {
        Dtype::Bool => "|b1",
        Dtype::Uint8 => "|u1",
        Dtype::Uint16 => "<u2",
        Dtype::Uint32 => "<u4",
        Dtype::Uint64 => "<u8",
        Dtype::Int8 => "|i1",
        Dtype::Int16 => "<i2",
        Dtype::Int32 => "<i4",
        Dtype::Int64 => "<i8",
        Dtype::Float16 => "<f2",
        Dtype::Float32 => "<f4",
        Dtype::Float64 => "<f8",
        // Numpy has none: MLX's own writing of it.
        Dtype::Bfloat16 => "|V2",
        Dtype::Complex64 => "<c8",
    };
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sides}), }}");
    // With what stands before it, the text ends on a multiple of 64.
    text.push_str(&" ".repeat(63 - (10 + text.len()) % 64));
    text.push('\n');
    let len = u16::try_from(text.len()).map_err(|_| too_many_dimensions())?;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(len.to_le_bytes());
    header.extend(text.as_bytes());
    Ok(header)
}

unsafe extern "C" fn yes(_source: *mut c_void) -> bool {
    true
}

unsafe extern "C" fn label(_source: *mut c_void) -> *const c_char {
    c"a decoder".as_ptr()
}

unsafe extern "C" fn tell(source: *mut c_void) -> usize {
    // SAFETY: the reader's source; MLX reads the header on one thread.
    unsafe { (*source.cast::<Source>()).at }
}

unsafe extern "C" fn seek(source: *mut c_void, offset: i64, whence: c_int) -> c_int {
    // SAFETY: as in `tell`.
    let source = unsafe { &mut *source.cast::<Source>() };
    // From the beginning, from here, from the end: as in C.
    let base = match whence {
        0 => 0,
        1 => source.at,
        _ => source.header.len(),
    };
    source.at = base.saturating_add_signed(isize::try_from(offset).unwrap_or(isize::MAX));
    0
}

/// The header.
unsafe extern "C" fn read(source: *mut c_void, data: *mut c_char, count: usize) -> usize {
    // SAFETY: as in `tell`.
    let source = unsafe { &mut *source.cast::<Source>() };
    let rest = source.header.get(source.at..).unwrap_or_default();
    let count = count.min(rest.len());
    // SAFETY: MLX has room for so many bytes there.
    unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), data.cast(), count) };
    source.at += count;
    count
}

/// The data, all in one call. Fewer bytes than asked for fail the evaluation.
unsafe extern "C" fn read_at(
    source: *mut c_void,
    data: *mut c_char,
    count: usize,
    _offset: usize,
) -> usize {
    // SAFETY: the reader's source, of which only what is shared or never changes is used: other threads may read it.
    let (outcome, dtype) = unsafe {
        let source = source.cast::<Source>();
        (&(*source).outcome, (*source).dtype)
    };
    let mut outcome = lock(outcome);
    let Outcome::Waits(decode) = std::mem::replace(&mut *outcome, Outcome::Over) else {
        return 0;
    };
    // SAFETY: MLX has room for so many bytes there, which nothing else uses before this returns.
    let memory = unsafe { std::slice::from_raw_parts_mut(data.cast::<MaybeUninit<u8>>(), count) };
    let mut slot = Slot { memory, written: 0 };
    // A panic must not unwind into C++.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(&mut slot)));
    *outcome = match decoded {
        Ok(Ok(())) if slot.remaining() == 0 => {
            if dtype == Dtype::Bool {
                make_bools(slot.filled());
            }
            Outcome::Done
        }
        Ok(Ok(())) => Outcome::Short(slot.remaining()),
        Ok(Err(cause)) => Outcome::Failed(cause),
        Err(payload) => Outcome::Panicked(payload),
    };
    match *outcome {
        Outcome::Done => count,
        _ => 0,
    }
}

unsafe extern "C" fn free(source: *mut c_void) {
    // SAFETY: MLX calls it once, with what `load` boxed. Nothing in it panics when dropped.
    drop(unsafe { Box::from_raw(source.cast::<Source>()) });
}
