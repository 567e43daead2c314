//! What MLX says about its device.
//!
//! The keys, as MLX 0.32.2 gives them:
//!
//! | device | sizes | texts |
//! | --- | --- | --- |
//! | Metal | `max_recommended_working_set_size`, `memory_size`, `max_buffer_length`, `resource_limit` | `device_name`, `architecture` |
//! | CUDA | `total_memory`, `free_memory` and more | `device_name`, `architecture`, `uuid` and more |
//! | CPU | none | `device_name`, `architecture` |

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::OnceLock;

use super::counters::{from_size, get, memory_limit};
use crate::backend::mlx::error_handler::check;
use crate::backend::{Backend, BackendError, Budget, Device, DeviceKind, NoMlx, Support};
use crate::system;

/// What counts where MLX cannot be asked.
static MACHINE: NoMlx = NoMlx::new();

/// The device and, if MLX could not be asked, why. Asked once: MLX reads the working set once too.
pub(super) fn probed() -> &'static (Device, Option<BackendError>) {
    static PROBED: OnceLock<(Device, Option<BackendError>)> = OnceLock::new();
    PROBED.get_or_init(|| match probe() {
        Ok(device) => (device, None),
        Err(error) => (unasked(), Some(error)),
    })
}

/// What counts if MLX could not be asked. A policy capped by the device must not go without a cap then.
fn unasked() -> Device {
    Device {
        support: Support::Unknown,
        ..MACHINE.device()
    }
}

/// What the device can hold now. What cannot be asked is unknown, and does not limit.
pub(super) fn budget(admitted: u64) -> Option<Budget> {
    let (device, error) = probed();
    match device.kind {
        _ if error.is_some() => MACHINE.budget(admitted),
        DeviceKind::Metal => Budget::of(device),
        DeviceKind::Cuda => budget_of_card(device),
        DeviceKind::Cpu => budget_of_cpu(),
    }
}

/// The card's free memory, which MLX asks for at each call, and what MLX has of it.
fn budget_of_card(device: &Device) -> Option<Budget> {
    let info = Info::of(mlx_sys::mlx_device_type__MLX_GPU).ok();
    let free = info.and_then(|info| info.size(c"free_memory").ok().flatten());
    let within_reach = free.map(|free| free.saturating_add(own()) / system::STEP * system::STEP);
    let bytes = system::smaller(within_reach, limit())?;
    let memory = device.memory_size;
    Some(Budget { bytes, memory })
}

fn budget_of_cpu() -> Option<Budget> {
    let memory = system::memory();
    let beside_mlx = system::footprint().saturating_sub(own());
    let left = memory.map(|memory| system::left_of(memory, beside_mlx));
    let bytes = system::smaller(left, limit())?;
    Some(Budget { bytes, memory })
}

/// MLX's memory limit as it is now.
fn limit() -> Option<u64> {
    memory_limit().ok().and_then(known)
}

/// What MLX has of the memory: live arrays and the buffers that it keeps.
fn own() -> u64 {
    let active = get("mlx_get_active_memory()", mlx_sys::mlx_get_active_memory);
    let cache = get("mlx_get_cache_memory()", mlx_sys::mlx_get_cache_memory);
    active.unwrap_or(0).saturating_add(cache.unwrap_or(0))
}

/// Asks for the GPU by name, not for the calling thread's default device: a thread that computes on
/// the CPU must not decide that the process has no wired memory.
fn probe() -> Result<Device, BackendError> {
    if ask("mlx_metal_is_available()", mlx_sys::mlx_metal_is_available)? {
        return metal(&Info::of(mlx_sys::mlx_device_type__MLX_GPU)?);
    }
    // CUDA is "available" in each build that has it, also where no card is.
    if ask("mlx_cuda_is_available()", mlx_sys::mlx_cuda_is_available)?
        && is_available(mlx_sys::mlx_device_type__MLX_GPU)?
    {
        return cuda(&Info::of(mlx_sys::mlx_device_type__MLX_GPU)?);
    }
    cpu(&Info::of(mlx_sys::mlx_device_type__MLX_CPU)?)
}

fn metal(info: &Info) -> Result<Device, BackendError> {
    let recommended = info.size(c"max_recommended_working_set_size")?;
    let mut device = Device::new(DeviceKind::Metal, metal_support());
    device.name = info.text(c"device_name")?;
    device.architecture = info.text(c"architecture")?;
    device.max_recommended_working_set_size = recommended;
    device.max_buffer_length = info.size(c"max_buffer_length")?;
    device.resource_limit = info.size(c"resource_limit")?;
    // On iOS a process may have less than the machine has.
    let allowed = system::container_limit();
    device.memory_size = system::smaller(info.size(c"memory_size")?, allowed);
    device.budget = system::smaller(recommended, allowed);
    Ok(device)
}

fn cuda(info: &Info) -> Result<Device, BackendError> {
    let mut device = Device::new(DeviceKind::Cuda, Support::NoWiredMemory);
    device.name = info.text(c"device_name")?;
    device.architecture = info.text(c"architecture")?;
    device.memory_size = info.size(c"total_memory")?;
    device.free_memory = info.size(c"free_memory")?;
    device.budget = budget_of_card(&device).map(|budget| budget.bytes);
    Ok(device)
}

fn cpu(info: &Info) -> Result<Device, BackendError> {
    let mut device = Device::new(DeviceKind::Cpu, Support::NoWiredMemory);
    device.name = info.text(c"device_name")?;
    device.architecture = info.text(c"architecture")?;
    device.memory_size = system::physical_memory();
    device.budget = budget_of_cpu().map(|budget| budget.bytes);
    Ok(device)
}

/// Residency sets exist from macOS 15 and iOS 18 on GPUs of the Metal 3 family: the two conditions
/// under which MLX makes them. Elsewhere its setter succeeds and wires nothing.
fn metal_support() -> Support {
    #[cfg(any(target_vendor = "apple", check_apple))]
    {
        system::residency_sets().map_or_else(support_without, |()| Support::Supported)
    }
    #[cfg(not(any(target_vendor = "apple", check_apple)))]
    {
        Support::Unknown
    }
}

/// What is said of a machine without residency sets.
#[cfg(any(target_vendor = "apple", check_apple))]
fn support_without(lack: system::NoResidencySets) -> Support {
    match lack {
        system::NoResidencySets::SystemTooOld => Support::SystemTooOld,
        system::NoResidencySets::NoMetal3 => Support::NoMetal3,
    }
}

/// A size, of which MLX says 0 if it does not know it.
fn known(bytes: u64) -> Option<u64> {
    (bytes > 0).then_some(bytes)
}

fn ask(call: &str, getter: unsafe extern "C" fn(*mut bool) -> c_int) -> Result<bool, BackendError> {
    let mut answer = false;
    check(
        // SAFETY: `answer` can be written to; the call keeps no pointer.
        || unsafe { getter(&raw mut answer) },
        || call.to_owned(),
    )?;
    Ok(answer)
}

fn is_available(kind: mlx_sys::mlx_device_type) -> Result<bool, BackendError> {
    let device = Handle::new(kind)?;
    let mut available = false;
    check(
        // SAFETY: the device is not empty and lives; `available` can be written to.
        || unsafe { mlx_sys::mlx_device_is_available(&raw mut available, device.0) },
        || format!("mlx_device_is_available({kind})"),
    )?;
    Ok(available)
}

/// Owns a device that is not empty.
struct Handle(mlx_sys::mlx_device);

impl Handle {
    fn new(kind: mlx_sys::mlx_device_type) -> Result<Self, BackendError> {
        // SAFETY: `kind` is one of the enumeration's values.
        let device = Self(unsafe { mlx_sys::mlx_device_new_type(kind, 0) });
        // It returns no code: a failure is an empty device.
        if device.0.ctx.is_null() {
            return Err(BackendError::new(format!("mlx_device_new_type({kind}, 0)")));
        }
        Ok(device)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once. Freeing cannot throw.
        unsafe { mlx_sys::mlx_device_free(self.0) };
    }
}

/// Owns a map of device properties that is not empty.
struct Info(mlx_sys::mlx_device_info);

impl Info {
    fn of(kind: mlx_sys::mlx_device_type) -> Result<Self, BackendError> {
        let device = Handle::new(kind)?;
        // SAFETY: takes nothing and returns an empty object.
        let mut info = Self(unsafe { mlx_sys::mlx_device_info_new() });
        check(
            // SAFETY: the device is not empty and lives; the empty info may be filled.
            || unsafe { mlx_sys::mlx_device_info_get(&raw mut info.0, device.0) },
            || format!("mlx_device_info_get({kind})"),
        )?;
        Ok(info)
    }

    fn has(&self, key: &CStr) -> Result<bool, BackendError> {
        let mut exists = false;
        check(
            // SAFETY: the info was filled by `of`; the key is a C string; `exists` can be written to.
            || unsafe { mlx_sys::mlx_device_info_has_key(&raw mut exists, self.0, key.as_ptr()) },
            || format!("mlx_device_info_has_key({key:?})"),
        )?;
        Ok(exists)
    }

    /// A size, if the key is there and holds one.
    fn size(&self, key: &CStr) -> Result<Option<u64>, BackendError> {
        if !self.has(key)? {
            return Ok(None);
        }
        let mut value = 0;
        present(
            || {
                // SAFETY: as in `has`.
                unsafe { mlx_sys::mlx_device_info_get_size(&raw mut value, self.0, key.as_ptr()) }
            },
            || format!("mlx_device_info_get_size({key:?})"),
        )
        .map(|found| found.then(|| from_size(value)).and_then(known))
    }

    /// A text, if the key is there and holds one.
    fn text(&self, key: &CStr) -> Result<Option<String>, BackendError> {
        if !self.has(key)? {
            return Ok(None);
        }
        let mut value: *const c_char = ptr::null();
        let found = present(
            || {
                // SAFETY: as in `has`.
                unsafe { mlx_sys::mlx_device_info_get_string(&raw mut value, self.0, key.as_ptr()) }
            },
            || format!("mlx_device_info_get_string({key:?})"),
        )?;
        if !found || value.is_null() {
            return Ok(None);
        }
        // SAFETY: the text belongs to the info, which lives; it is copied before that ends.
        let text = unsafe { CStr::from_ptr(value) };
        Ok(Some(text.to_string_lossy().into_owned()))
    }
}

impl Drop for Info {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once; an empty one may be freed too. Freeing cannot throw.
        unsafe { mlx_sys::mlx_device_info_free(self.0) };
    }
}

/// Whether a getter found its value. It returns 2, without an exception, if the key holds another type.
fn present(
    getter: impl FnOnce() -> c_int,
    describe: impl FnOnce() -> String,
) -> Result<bool, BackendError> {
    const OTHER_TYPE: c_int = 2;
    match check(getter, describe) {
        Ok(()) => Ok(true),
        Err(error) if error.code == Some(OTHER_TYPE) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_asked_has_the_machines_budget() {
        let device = unasked();
        assert_eq!(device.support, Support::Unknown);
        assert!(device.budget.is_some_and(|budget| budget > 0), "{device:?}");
        assert!(device.budget <= device.memory_size, "{device:?}");
    }
}
