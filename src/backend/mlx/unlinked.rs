//! What the calls do where no MLX is linked: each says so.

use std::sync::OnceLock;

use crate::backend::{Backend, BackendError, Budget, Device, MemoryCounters, NoMlx, Support};

static MACHINE: NoMlx = NoMlx::new();

fn no_mlx<T>(call: impl Into<String>) -> Result<T, BackendError> {
    Err(BackendError::new(call).with_message(Support::NoMlx.to_string()))
}

pub(super) fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| MACHINE.device())
}

pub(super) fn budget(admitted: u64) -> Option<Budget> {
    MACHINE.budget(admitted)
}

pub(super) fn device_error() -> Option<&'static BackendError> {
    None
}

pub(super) fn set_wired_limit(bytes: u64) -> Result<u64, BackendError> {
    no_mlx(format!("mlx_set_wired_limit({bytes})"))
}

pub(super) fn memory_counters() -> Result<MemoryCounters, BackendError> {
    no_mlx("mlx_get_active_memory()")
}

pub(super) fn reset_peak_memory() -> Result<(), BackendError> {
    no_mlx("mlx_reset_peak_memory()")
}

pub(super) fn set_memory_limit(bytes: u64) -> Result<u64, BackendError> {
    no_mlx(format!("mlx_set_memory_limit({bytes})"))
}

pub(super) fn set_cache_limit(bytes: u64) -> Result<u64, BackendError> {
    no_mlx(format!("mlx_set_cache_limit({bytes})"))
}

pub(super) fn clear_cache() -> Result<(), BackendError> {
    no_mlx("mlx_clear_cache()")
}

pub(super) fn version() -> Result<String, BackendError> {
    no_mlx("mlx_version()")
}

pub(super) fn synchronize() -> Result<(), BackendError> {
    no_mlx("mlx_synchronize_default()")
}

/// Safe in fact; unsafe to have the signature of its counterpart.
pub(super) unsafe fn install_error_handler() {}

pub(super) fn error_handler_returns() -> bool {
    false
}

pub(super) fn take_error_message() -> Option<String> {
    None
}
