//! Host buffers as arrays of MLX, with MLX as it is here, and with Metal's rule put in (`scripts/metal-like`).
//!
//! Where MLX copies, which a test asks by address, the same tests show that the buffer is back at once. One test at a time:
//! MLX's counters are one for the process.
#![cfg(any(target_vendor = "apple", with_mlx))]

mod decoding;
mod giving;

use mlx_rs::{Array, Dtype};
use mlx_wired::memory::BufferPool;
use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

/// A page of Apple silicon.
const PAGE: usize = 16 << 10;

const EVERY_DTYPE: [Dtype; 14] = [
    Dtype::Bool,
    Dtype::Uint8,
    Dtype::Uint16,
    Dtype::Uint32,
    Dtype::Uint64,
    Dtype::Int8,
    Dtype::Int16,
    Dtype::Int32,
    Dtype::Int64,
    Dtype::Float16,
    Dtype::Float32,
    Dtype::Float64,
    Dtype::Bfloat16,
    Dtype::Complex64,
];

/// Holds other tests off.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

/// Holds other tests off, with a pool that keeps everything and starts no thread.
fn pool() -> (MutexGuard<'static, ()>, BufferPool) {
    let alone = alone();
    let pool = BufferPool::builder("test").decay(Duration::MAX);
    (alone, pool.build())
}

/// Where an array's values are.
fn address(array: &Array) -> usize {
    array.as_slice::<f32>().as_ptr() as usize
}

/// A function of the preloaded library, where Metal's rule is put in; none where it is not.
#[cfg(target_os = "linux")]
fn metal_like(name: &std::ffi::CStr) -> Option<std::ptr::NonNull<libc::c_void>> {
    // SAFETY: it looks for a name.
    std::ptr::NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// How many buffers MLX keeps, where Metal's rule is put in; none where it is not.
#[cfg(target_os = "linux")]
fn kept() -> Option<usize> {
    let found = metal_like(c"metal_like_buffers")?;
    // SAFETY: the preloaded library has this function with this type.
    let ask: extern "C" fn() -> usize = unsafe { std::mem::transmute(found) };
    Some(ask())
}

/// Has MLX refuse allocations of more bytes, as Metal does, where its rule is put in. Returns whether it is.
#[cfg(target_os = "linux")]
fn refuse_over(bytes: usize) -> bool {
    let Some(found) = metal_like(c"metal_like_refuse_over") else {
        return false;
    };
    // SAFETY: the preloaded library has this function with this type.
    let tell: extern "C" fn(usize) = unsafe { std::mem::transmute(found) };
    tell(bytes);
    true
}

/// On a Mac MLX does not tell.
#[cfg(not(target_os = "linux"))]
fn kept() -> Option<usize> {
    None
}

/// On a Mac the limit is the device's.
#[cfg(not(target_os = "linux"))]
fn refuse_over(_bytes: usize) -> bool {
    false
}

/// Whether MLX keeps what has whole pages here.
fn keeps() -> bool {
    cfg!(target_vendor = "apple") || kept().is_some()
}
