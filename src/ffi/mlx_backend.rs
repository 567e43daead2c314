//! The backend over MLX itself.

use std::sync::Arc;

use super::{Backend, BackendError, Device, LINKED, MLX_WIRED_LIMIT, MemoryCounters, NoMlx, calls};

/// MLX, through `mlx-sys`: the process-wide wired limit that a [`Manager`](crate::Manager) owns.
///
/// It refuses by itself, without calling MLX, a limit above [`Device::max_wired_limit`] and every
/// limit on a device where it has no effect: MLX's default error handler would end the process in the
/// first case, and answers 0 or wires nothing in the second.
///
/// [`synchronizes`](Backend::synchronizes) is true once an error handler that returns has been stated,
/// by [`install_error_handler`](super::install_error_handler) or by the feature `mlx-rs`; the
/// [module's documentation](super#error-handlers) says why.
///
/// Where [no MLX is linked](LINKED), it behaves as [`NoMlx`].
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

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        calls::set_wired_limit(bytes)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        if LINKED { calls::synchronize() } else { Ok(()) }
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        calls::memory_counters()
    }

    fn exclusive(&self) -> Option<&'static str> {
        LINKED.then_some(MLX_WIRED_LIMIT)
    }

    fn synchronizes(&self) -> bool {
        calls::error_handler_returns()
    }
}

/// [`MlxBackend`] where [MLX is linked](LINKED), else [`NoMlx`].
#[must_use]
pub fn default_backend() -> Arc<dyn Backend> {
    if LINKED {
        Arc::new(MlxBackend::new())
    } else {
        Arc::new(NoMlx::new())
    }
}
