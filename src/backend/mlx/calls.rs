//! Safe functions over MLX's process-wide memory calls.

use crate::backend::{BackendError, Budget, Device, MemoryCounters};

#[cfg(any(target_vendor = "apple", with_mlx, feature = "mlx"))]
use super::linked as mlx;
#[cfg(not(any(target_vendor = "apple", with_mlx, feature = "mlx")))]
use super::unlinked as mlx;

/// Whether MLX is linked: always on Apple's systems, elsewhere with the feature `mlx`.
///
/// Without it, [`device`] describes the machine, and the calls of this module return an error that
/// says so.
///
/// # On Linux
///
/// The build script of `mlx-sys` knows Apple's toolchain only, so the feature alone does not build there: cargo ends with
/// ``failed to run custom build command for `mlx-sys` ``, mostly with ``is `cmake` not installed?``. Installing it does not
/// help. [Set-up](crate::docs::setup) has all that a fresh machine says, and what to do.
/// Either run cargo under the repository's `scripts/with-mlx`, from any package's folder: it prepares MLX's
/// CPU build once and links it, whether or not the feature is on.
///
/// ```text
/// path/to/mlx-wired/scripts/with-mlx cargo run
/// ```
///
/// Or enable the feature and give cargo an MLX of your own, by a
/// [build script override](https://doc.rust-lang.org/cargo/reference/build-scripts.html#overriding-build-scripts)
/// for `links = "mlx"`; the repository's `scripts/mlx/README.md` says what it has to name.
pub const LINKED: bool = cfg!(any(target_vendor = "apple", with_mlx, feature = "mlx"));

/// Sets MLX's process-wide wired limit in bytes and returns the limit that was in force before.
///
/// **This bypasses the manager.** A [`Manager`](crate::Manager) on [`MlxBackend`](crate::ffi::MlxBackend)
/// believes itself the only one to set the limit; it notices this call at its own next one, reports a
/// foreign change, and sets what it needs. It is for programs without a manager.
///
/// MLX has no getter: to set a limit is the only way to learn the one in force.
///
/// # Errors
///
/// Without calling MLX: above [`Device::max_wired_limit`], which MLX refuses and its default error
/// handler answers by ending the process, and on a device where a limit has no effect (MLX succeeds
/// there, wires nothing, and may answer 0 whatever was set). From MLX: none is known.
pub fn set_wired_limit(bytes: u64) -> Result<u64, BackendError> {
    mlx::set_wired_limit(bytes)
}

/// Describes the device that MLX computes on, asked once for the process.
///
/// It is the GPU if this MLX has one, whatever the calling thread's default device is: wired memory is
/// a property of the machine. Of several CUDA devices it is the first. [`Device::free_memory`] and
/// [`Device::budget`] are as they were then; a [`Manager`](crate::Manager) measures its budget anew.
///
/// If MLX could not be asked, the support is [`Unknown`](crate::ffi::Support::Unknown) and
/// [`device_error`] says why.
#[must_use]
pub fn device() -> &'static Device {
    mlx::device()
}

/// Measures what the device can hold now, for [`MlxBackend`](crate::ffi::MlxBackend).
pub(super) fn budget(admitted: u64) -> Option<Budget> {
    mlx::budget(admitted)
}

/// Why [`device`] knows nothing, if MLX could not be asked.
#[must_use]
pub fn device_error() -> Option<&'static BackendError> {
    mlx::device_error()
}

/// Reads MLX's process-wide memory counters and its memory limit.
///
/// They are read one after another, not as one: with other threads at work they may not fit together
/// to the byte.
///
/// # Errors
///
/// If a counter could not be read.
pub fn memory_counters() -> Result<MemoryCounters, BackendError> {
    mlx::memory_counters()
}

/// Resets the record of the peak, for all threads, to 0; see [`MemoryCounters::peak`].
///
/// # Errors
///
/// If MLX failed.
pub fn reset_peak_memory() -> Result<(), BackendError> {
    mlx::reset_peak_memory()
}

/// Sets MLX's process-wide memory limit in bytes and returns the one before.
///
/// It does not refuse memory: above it, evaluation waits for running work, and the cache is emptied. A manager on a device
/// without wired memory goes by it from its next [`poke`](crate::Manager::poke) on.
///
/// # Errors
///
/// If MLX failed, or if `bytes` does not fit the address space.
pub fn set_memory_limit(bytes: u64) -> Result<u64, BackendError> {
    mlx::set_memory_limit(bytes)
}

/// Sets how many bytes of freed buffers MLX keeps for reuse, for all threads, and returns the limit
/// before.
///
/// On Metal a lower limit frees nothing at once; the next allocation does.
///
/// # Errors
///
/// If MLX failed, or if `bytes` does not fit the address space.
pub fn set_cache_limit(bytes: u64) -> Result<u64, BackendError> {
    mlx::set_cache_limit(bytes)
}

/// Frees all buffers that MLX keeps for reuse, for all threads.
///
/// # Errors
///
/// If MLX failed.
pub fn clear_cache() -> Result<(), BackendError> {
    mlx::clear_cache()
}

/// MLX's version, for example `0.32.2`.
///
/// # Errors
///
/// If MLX failed.
pub fn version() -> Result<String, BackendError> {
    mlx::version()
}

/// Waits for the work on the calling thread's default stream of its default device.
///
/// Streams belong to threads: work that another thread has started is not waited for. On a thread
/// that has no stream yet, MLX makes one.
///
/// Unlike the other calls it fails in ordinary use, when the work does. With MLX's default error
/// handler in place **that ends the process**: see [`install_error_handler`].
///
/// # Errors
///
/// If work on the stream failed since the last time. MLX hands such a failure out **once**: a caller that
/// drops this error will not learn of it elsewhere. To evaluate the array that failed then
/// succeeds, with whatever is in its memory.
pub fn synchronize() -> Result<(), BackendError> {
    mlx::synchronize()
}

/// Replaces MLX's error handler, which ends the process, by one that returns and keeps the message.
///
/// For programs that use `mlx-sys` directly, once, before they start threads. Programs with `mlx-rs`
/// do not call it: `mlx-rs` installs a handler of its own, and each replaces the other.
///
/// From then on a failing call of this module carries MLX's message in [`BackendError::message`]; that
/// of a program's own failing call is read with [`take_error_message`]. Where no MLX is linked it does
/// nothing.
///
/// # Safety
///
/// `mlx_set_error_handler` writes plain static variables, which every failing call reads:
///
/// * No other thread is inside a call of MLX's, or will be before this function returns.
/// * No handler of other code is in place whose code relies on it: its errors would lose their text.
pub unsafe fn install_error_handler() {
    // SAFETY: what it asks for is what this function asks for.
    unsafe { mlx::install_error_handler() };
}

/// Whether an error handler that returns has been stated, by [`install_error_handler`] or by the
/// feature `mlx-rs`.
#[must_use]
pub fn error_handler_returns() -> bool {
    mlx::error_handler_returns()
}

/// Takes the message of the calling thread's last failing MLX call that was not made by this module.
///
/// There is none without [`install_error_handler`].
#[must_use]
pub fn take_error_message() -> Option<String> {
    mlx::take_error_message()
}
