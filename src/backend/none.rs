//! The backend of a program without MLX.

use super::{Backend, BackendError, Budget, Device, DeviceKind, MemoryCounters, Support};
use crate::system;
use std::sync::OnceLock;

/// A backend for programs that link no MLX: admission, sizing, statistics and events work, nothing is
/// wired.
///
/// Its budget is the machine's memory, or what the container allows where that is less; from which is taken what the
/// process uses beside the work that was admitted, and a reserve of a 32nd, at least 64 MiB and at most 2 GiB. What it
/// uses beside that work is at least what it used when it was first measured: work that was admitted may use nothing yet.
///
/// ```
/// use mlx_wired::ffi::{Backend, NoMlx, Support};
///
/// let device = NoMlx::new().device();
/// assert_eq!(device.support, Support::NoMlx);
/// assert!(device.budget < device.memory_size);
/// ```
#[derive(Debug, Clone, Default)]
pub struct NoMlx {
    /// What the process used when it was first measured.
    at_first: OnceLock<u64>,
}

impl NoMlx {
    /// The backend. Nothing is measured before the first call.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            at_first: OnceLock::new(),
        }
    }

    fn error(call: String) -> BackendError {
        BackendError::new(call).with_message(Support::NoMlx.to_string())
    }

    /// What the process uses beside so many bytes of admitted work.
    fn used_beside(&self, admitted: u64) -> u64 {
        let footprint = system::footprint();
        let beside = footprint.saturating_sub(admitted);
        beside.max(*self.at_first.get_or_init(|| beside))
    }
}

impl Backend for NoMlx {
    fn device(&self) -> Device {
        Device {
            memory_size: system::physical_memory(),
            budget: self.budget(0).map(|budget| budget.bytes),
            ..Device::new(DeviceKind::Cpu, Support::NoMlx)
        }
    }

    /// Reads four to ten files of `/proc` and of the control groups on Linux.
    fn budget(&self, admitted: u64) -> Option<Budget> {
        let memory = system::memory()?;
        let bytes = system::left_of(memory, self.used_beside(admitted));
        Some(Budget::new(bytes).of_memory(memory))
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
            assert!(0 < budget && budget < memory);
        }
    }

    #[test]
    fn r41_admitted_work_is_not_taken_off_twice() {
        let backend = NoMlx::new();
        let least = backend.used_beside(0);
        // More was admitted than is in use: what the process used at first is used still.
        assert_eq!(backend.used_beside(u64::MAX), least);
        let held = vec![1_u8; 64 << 20];
        assert!(
            backend.used_beside(0) >= least + (48 << 20),
            "beside any work"
        );
        assert!(backend.used_beside(64 << 20) < least + (48 << 20));
        drop(held);
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
