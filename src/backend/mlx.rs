//! The backend over MLX itself.

#[cfg(feature = "mlx-rs")]
pub(crate) mod arrays;
pub(crate) mod calls;
#[cfg(any(target_vendor = "apple", with_mlx, feature = "mlx"))]
mod error_handler;
#[cfg(any(target_vendor = "apple", with_mlx, feature = "mlx"))]
mod linked;
#[cfg(not(any(target_vendor = "apple", with_mlx, feature = "mlx")))]
mod unlinked;

use super::{Backend, BackendError, Budget, Device, MLX_WIRED_LIMIT, MemoryCounters, NoMlx};
use calls::LINKED;
use std::sync::Arc;

/// MLX, through `mlx-sys`: the process-wide wired limit that a [`Manager`](crate::Manager) owns.
///
/// It refuses by itself, without calling MLX, a limit above [`Device::max_wired_limit`] and every
/// limit on a device where it has no effect: MLX's default error handler would end the process in the
/// first case, and answers 0 or wires nothing in the second.
///
/// [`synchronizes`](Backend::synchronizes) is true once an error handler that returns has been stated,
/// by [`install_error_handler`](crate::ffi::install_error_handler) or by the feature `mlx-rs`; the
/// [module's documentation](crate::ffi#error-handlers) says why.
///
/// Its budget, on devices without wired memory, is the least of MLX's memory limit as it is now and
///
/// * on the CPU, the machine's memory or what the container allows, less what the process uses beside MLX and a reserve, as
///   of [`NoMlx`]; what MLX uses (live arrays and cache) is not taken off;
/// * on CUDA, the card's free memory and what MLX has of it. MLX 0.32 asks the driver's management library for the free
///   memory at each call, so other programs' use counts; where that library is missing, the CUDA runtime.
///
/// Where [no MLX is linked](crate::ffi::LINKED), it behaves as [`NoMlx`].
#[derive(Debug, Clone, Copy, Default)]
pub struct MlxBackend {
    _private: (),
}

impl MlxBackend {
    /// The backend. Nothing is asked of MLX before the first call.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Backend for MlxBackend {
    fn device(&self) -> Device {
        calls::device().clone()
    }

    /// On the CPU it reads what [`NoMlx`] does; on CUDA it asks the driver.
    fn budget(&self, admitted: u64) -> Option<Budget> {
        calls::budget(admitted)
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        calls::set_wired_limit(bytes)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        if LINKED { calls::synchronize() } else { Ok(()) }
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        calls::memory_counters()
    }

    fn reset_peak_memory(&self) -> Result<(), BackendError> {
        calls::reset_peak_memory()
    }

    fn set_memory_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        calls::set_memory_limit(bytes)
    }

    fn set_cache_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        calls::set_cache_limit(bytes)
    }

    fn clear_cache(&self) -> Result<(), BackendError> {
        calls::clear_cache()
    }

    fn version(&self) -> Option<String> {
        calls::version().ok()
    }

    fn exclusive(&self) -> Option<&'static str> {
        LINKED.then_some(MLX_WIRED_LIMIT)
    }

    fn synchronizes(&self) -> bool {
        calls::error_handler_returns()
    }
}

/// [`MlxBackend`] where [MLX is linked](crate::ffi::LINKED), else [`NoMlx`].
#[must_use]
pub fn default_backend() -> Arc<dyn Backend> {
    if LINKED {
        Arc::new(MlxBackend::new())
    } else {
        Arc::new(NoMlx::new())
    }
}
