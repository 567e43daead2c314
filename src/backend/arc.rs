//! Backends behind an `Arc`.

use super::{Backend, BackendError, Budget, Device, MemoryCounters};
use std::sync::Arc;

/// A backend that others share is one.
impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn device(&self) -> Device {
        (**self).device()
    }

    fn budget(&self, admitted: u64) -> Option<Budget> {
        (**self).budget(admitted)
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        (**self).set_wired_limit(bytes)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        (**self).synchronize()
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        (**self).memory()
    }

    fn reset_peak_memory(&self) -> Result<(), BackendError> {
        (**self).reset_peak_memory()
    }

    fn set_memory_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        (**self).set_memory_limit(bytes)
    }

    fn set_cache_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        (**self).set_cache_limit(bytes)
    }

    fn clear_cache(&self) -> Result<(), BackendError> {
        (**self).clear_cache()
    }

    fn footprint(&self) -> Option<u64> {
        (**self).footprint()
    }

    fn version(&self) -> Option<String> {
        (**self).version()
    }

    fn exclusive(&self) -> Option<&'static str> {
        (**self).exclusive()
    }

    fn synchronizes(&self) -> bool {
        (**self).synchronizes()
    }
}
