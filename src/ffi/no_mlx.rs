//! The backend of a program without MLX.

use super::{Backend, BackendError, Device, DeviceKind, MemoryCounters, Support, system};

/// A backend for programs that link no MLX: admission, sizing, statistics and events work, nothing is
/// wired.
///
/// Its budget is the physical memory, or the container's limit where that is smaller.
///
/// ```
/// use mlx_wired::ffi::{Backend, NoMlx, Support};
///
/// let device = NoMlx::new().device();
/// assert_eq!(device.support, Support::NoMlx);
/// assert!(device.budget <= device.memory_size);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMlx {
    _private: (),
}

impl NoMlx {
    /// The backend.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }

    fn error(call: String) -> BackendError {
        BackendError::new(call).with_message(Support::NoMlx.to_string())
    }
}

impl Backend for NoMlx {
    fn device(&self) -> Device {
        let memory_size = system::physical_memory();
        Device {
            memory_size,
            budget: system::smaller(memory_size, system::container_limit()),
            ..Device::new(DeviceKind::Cpu, Support::NoMlx)
        }
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        Err(Self::error(format!("set_wired_limit({bytes})")))
    }

    /// There is no stream, so nothing to wait for.
    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        Err(Self::error("memory counters".to_owned()))
    }

    fn synchronizes(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_the_machine() {
        let device = NoMlx::new().device();
        assert_eq!(device.kind, DeviceKind::Cpu);
        assert_eq!(device.support, Support::NoMlx);
        assert!(!device.support.is_supported());
        if cfg!(any(target_os = "linux", target_vendor = "apple")) {
            let memory = device.memory_size.expect("the system tells");
            let budget = device.budget.expect("the memory is known");
            assert!(0 < budget && budget <= memory);
        }
    }

    #[test]
    fn has_no_setter_and_no_counters() {
        let backend = NoMlx::new();
        let error = backend.set_wired_limit(4096).unwrap_err();
        assert_eq!(error.call, "set_wired_limit(4096)");
        assert_eq!(error.code, None);
        assert_eq!(error.message, Some(Support::NoMlx.to_string()));
        assert!(backend.memory().is_err());
        assert_eq!(backend.synchronize(), Ok(()));
        assert!(!backend.synchronizes());
        assert_eq!(backend.exclusive(), None);
    }
}
