//! The calls, where MLX is linked. All use of `mlx-sys` is here, in `linked/` and in `error_handler`.

mod counters;
mod device;

use super::error_handler::{self, check};
use crate::backend::{BackendError, Budget, Device, MemoryCounters};
use counters::{from_size, get, memory_limit, refused, set, to_size};
use std::ffi::CStr;

pub(super) use error_handler::{
    install as install_error_handler, returns as error_handler_returns,
    take_message as take_error_message,
};

pub(super) fn device() -> &'static Device {
    &device::probed().0
}

pub(super) fn budget(admitted: u64) -> Option<Budget> {
    device::budget(admitted)
}

pub(super) fn device_error() -> Option<&'static BackendError> {
    device::probed().1.as_ref()
}

pub(super) fn set_wired_limit(bytes: u64) -> Result<u64, BackendError> {
    let call = || format!("mlx_set_wired_limit({bytes})");
    let limit = wired_limit_for(bytes, device()).map_err(|why| refused(call(), why))?;
    let mut previous = 0;
    check(
        // SAFETY: `previous` can be written to; the call keeps no pointer.
        || unsafe { mlx_sys::mlx_set_wired_limit(&raw mut previous, limit) },
        call,
    )?;
    Ok(from_size(previous))
}

/// Checks what the manager promises and other callers may not keep.
fn wired_limit_for(bytes: u64, device: &Device) -> Result<usize, String> {
    if !device.support.is_supported() {
        return Err(device.support.to_string());
    }
    let max = device.max_wired_limit();
    if bytes > max {
        return Err(format!(
            "above {max}, the most that the system lets MLX wire (raise it with \
             `sudo sysctl iogpu.wired_limit_mb=N` and start again)"
        ));
    }
    to_size(bytes)
}

pub(super) fn memory_counters() -> Result<MemoryCounters, BackendError> {
    Ok(MemoryCounters {
        active: get("mlx_get_active_memory()", mlx_sys::mlx_get_active_memory)?,
        recorded_peak: get("mlx_get_peak_memory()", mlx_sys::mlx_get_peak_memory)?,
        cache: get("mlx_get_cache_memory()", mlx_sys::mlx_get_cache_memory)?,
        memory_limit: memory_limit()?,
    })
}

pub(super) fn reset_peak_memory() -> Result<(), BackendError> {
    check(
        // SAFETY: the call takes nothing, and MLX locks its allocator.
        || unsafe { mlx_sys::mlx_reset_peak_memory() },
        || "mlx_reset_peak_memory()".to_owned(),
    )
}

pub(super) fn set_memory_limit(bytes: u64) -> Result<u64, BackendError> {
    set("mlx_set_memory_limit", mlx_sys::mlx_set_memory_limit, bytes)
}

pub(super) fn set_cache_limit(bytes: u64) -> Result<u64, BackendError> {
    set("mlx_set_cache_limit", mlx_sys::mlx_set_cache_limit, bytes)
}

pub(super) fn clear_cache() -> Result<(), BackendError> {
    check(
        // SAFETY: the call takes nothing, and MLX locks its allocator.
        || unsafe { mlx_sys::mlx_clear_cache() },
        || "mlx_clear_cache()".to_owned(),
    )
}

pub(super) fn version() -> Result<String, BackendError> {
    // SAFETY: the text is made, written, read and freed once, here; what it points to is copied before that.
    unsafe {
        let mut text = mlx_sys::mlx_string_new();
        let asked = check(
            || mlx_sys::mlx_version(&raw mut text),
            || "mlx_version()".to_owned(),
        );
        let read = asked.map(|()| {
            let data = mlx_sys::mlx_string_data(text);
            CStr::from_ptr(data).to_string_lossy().into_owned()
        });
        mlx_sys::mlx_string_free(text);
        read
    }
}

pub(super) fn synchronize() -> Result<(), BackendError> {
    check(
        // SAFETY: the call takes nothing and uses the calling thread's own stream.
        || unsafe { mlx_sys::mlx_synchronize_default() },
        || "mlx_synchronize_default()".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{DeviceKind, Support};

    #[test]
    fn r10_a_limit_is_refused_before_mlx_sees_it() {
        let mut device = Device::new(DeviceKind::Metal, Support::Supported);
        device.max_recommended_working_set_size = Some(48 << 30);
        assert_eq!(wired_limit_for(48 << 30, &device), Ok(48 << 30));
        assert_eq!(wired_limit_for(0, &device), Ok(0));
        let above = wired_limit_for((48 << 30) + 1, &device).unwrap_err();
        assert!(
            above.contains("sudo sysctl iogpu.wired_limit_mb"),
            "{above}"
        );

        // Where the recommended size is the whole memory, the limit stays below it.
        device.memory_size = Some(48 << 30);
        assert_eq!(wired_limit_for((48 << 30) - 1, &device), Ok((48 << 30) - 1));
        assert!(wired_limit_for(48 << 30, &device).is_err());

        device.support = Support::SystemTooOld;
        assert!(wired_limit_for(0, &device).is_err());
    }
}
