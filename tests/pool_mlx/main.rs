//! Host buffers as arrays of MLX, with MLX as it is here, and with Metal's rule put in (`scripts/metal-like`).
//!
//! Where MLX copies, which a test asks by address, the same tests show that the buffer is back at once. One test at a time:
//! MLX's counters are one for the process.
#![cfg(any(target_vendor = "apple", with_mlx))]

mod decoding;
mod giving;

use mlx_rs::Array;
use mlx_wired::memory::BufferPool;
use parking_lot::{Mutex, MutexGuard};
use std::time::Duration;

/// A page of Apple silicon.
const PAGE: usize = 16 << 10;

/// Holds other tests off.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

/// A pool that keeps everything and starts no thread.
fn pool() -> BufferPool {
    BufferPool::builder("test").decay(Duration::MAX).build()
}

/// Where an array's values are.
fn address(array: &Array) -> usize {
    array.as_slice::<f32>().as_ptr() as usize
}

/// How many buffers MLX keeps, where Metal's rule is put in; none where it is not.
#[cfg(target_os = "linux")]
fn kept() -> Option<usize> {
    // SAFETY: it looks for a name.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"metal_like_buffers".as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the preloaded library has this function with this type.
    let ask: extern "C" fn() -> usize = unsafe { std::mem::transmute(found) };
    Some(ask())
}

/// On a Mac MLX does not tell.
#[cfg(not(target_os = "linux"))]
fn kept() -> Option<usize> {
    None
}

/// Whether MLX keeps what has whole pages here.
fn keeps() -> bool {
    cfg!(target_vendor = "apple") || kept().is_some()
}
