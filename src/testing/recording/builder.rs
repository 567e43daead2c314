//! How a [`RecordingBackend`](super::RecordingBackend) is described before it is built.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Device, DeviceKind, MemoryCounters, Support};

pub(super) const GIB: u64 = 1 << 30;

/// Decides from the limit asked for and the limit in force whether a call fails.
pub(super) type FailWhen = Arc<dyn Fn(u64, u64) -> bool + Send + Sync>;

/// Describes a [`RecordingBackend`](crate::ffi::RecordingBackend).
#[derive(Clone)]
#[must_use = "nothing is made before `build`"]
pub struct RecordingBuilder {
    pub(super) device: Device,
    pub(super) exclusive: Option<&'static str>,
    pub(super) synchronizes: bool,
    pub(super) expected_ceiling: Option<u64>,
    pub(super) initial_limit: u64,
    pub(super) cost: Duration,
    pub(super) fail_calls: BTreeSet<usize>,
    pub(super) panic_calls: BTreeSet<usize>,
    pub(super) fail_when: Option<FailWhen>,
    pub(super) memory: MemoryCounters,
    pub(super) cache_limit: u64,
    pub(super) version: Option<&'static str>,
}

impl RecordingBuilder {
    fn new(device: Device) -> Self {
        let memory = MemoryCounters {
            memory_limit: device.budget.unwrap_or(0),
            ..MemoryCounters::default()
        };
        Self {
            device,
            exclusive: None,
            synchronizes: true,
            expected_ceiling: None,
            initial_limit: 0,
            cost: Duration::ZERO,
            fail_calls: BTreeSet::new(),
            panic_calls: BTreeSet::new(),
            fail_when: None,
            memory,
            cache_limit: 32 << 20,
            version: None,
        }
    }

    pub(super) fn metal() -> Self {
        Self::new(Device {
            name: Some("recorded Metal device".to_owned()),
            architecture: Some("applegpu_recorded".to_owned()),
            max_recommended_working_set_size: Some(48 * GIB),
            max_buffer_length: Some(36 * GIB),
            resource_limit: Some(499_000),
            memory_size: Some(64 * GIB),
            budget: Some(48 * GIB),
            ..Device::new(DeviceKind::Metal, Support::Supported)
        })
    }

    pub(super) fn cuda() -> Self {
        Self::new(Device {
            name: Some("recorded CUDA device".to_owned()),
            memory_size: Some(80 * GIB),
            free_memory: Some(79 * GIB),
            budget: Some(76 * GIB),
            ..Device::new(DeviceKind::Cuda, Support::NoWiredMemory)
        })
    }

    pub(super) fn cpu() -> Self {
        Self::new(Device {
            name: Some("recorded CPU".to_owned()),
            memory_size: Some(16 * GIB),
            budget: Some(12 * GIB),
            ..Device::new(DeviceKind::Cpu, Support::NoWiredMemory)
        })
    }

    /// Replaces the whole device.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Replaces what the device says about support, for example [`Support::SystemTooOld`].
    pub fn support(mut self, support: Support) -> Self {
        self.device.support = support;
        self
    }

    /// Sets the recommended working set, above which the setter fails, and with it the budget.
    pub fn recommended(mut self, bytes: u64) -> Self {
        self.device.max_recommended_working_set_size = Some(bytes);
        self.device.budget = Some(bytes);
        self
    }

    /// Sets the memory size.
    pub fn memory_size(mut self, bytes: u64) -> Self {
        self.device.memory_size = Some(bytes);
        self
    }

    /// Sets the device's budget, and the memory limit among the counters with it.
    pub fn budget(mut self, bytes: u64) -> Self {
        self.device.budget = Some(bytes);
        self.memory.memory_limit = bytes;
        self
    }

    /// Sets the limit that is in force before the first call: other code's. Default: 0, as in MLX.
    pub fn initial_limit(mut self, bytes: u64) -> Self {
        self.initial_limit = bytes;
        self
    }

    /// Gives the ceiling that the caller has to keep, if it is stricter than the device's own
    /// ([`Device::max_wired_limit`]), as with a margin or a reserve. A limit that other code had in
    /// force may be set back even if it is higher.
    pub fn expect_ceiling(mut self, bytes: u64) -> Self {
        self.expected_ceiling = Some(bytes);
        self
    }

    /// Sets how long each call of the setter takes.
    pub fn cost(mut self, cost: Duration) -> Self {
        self.cost = cost;
        self
    }

    /// Makes the setter's `n`-th call fail, counted from 1. May be given several times.
    pub fn fail_call(mut self, n: usize) -> Self {
        self.fail_calls.insert(n);
        self
    }

    /// Makes the setter's `n`-th call panic, counted from 1. May be given several times.
    pub fn panic_call(mut self, n: usize) -> Self {
        self.panic_calls.insert(n);
        self
    }

    /// Makes every call fail for which `f(limit asked for, limit in force)` is true. `f` runs while
    /// the call is in flight and may look at the backend; if it panics, the call does.
    pub fn fail_when(mut self, f: impl Fn(u64, u64) -> bool + Send + Sync + 'static) -> Self {
        self.fail_when = Some(Arc::new(f));
        self
    }

    /// Sets [`Backend::exclusive`](crate::ffi::Backend::exclusive). Default: none.
    pub fn exclusive(mut self, name: &'static str) -> Self {
        self.exclusive = Some(name);
        self
    }

    /// Sets [`Backend::synchronizes`](crate::ffi::Backend::synchronizes). Default: true.
    pub fn synchronizes(mut self, synchronizes: bool) -> Self {
        self.synchronizes = synchronizes;
        self
    }

    /// Sets the memory counters.
    pub fn memory(mut self, counters: MemoryCounters) -> Self {
        self.memory = counters;
        self
    }

    /// Sets the limit of the cache that is in force at the start. Default: 32 MiB, as MLX's CPU build has it.
    pub fn initial_cache_limit(mut self, bytes: u64) -> Self {
        self.cache_limit = bytes;
        self
    }

    /// Sets [`Backend::version`](crate::ffi::Backend::version). Default: none.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = Some(version);
        self
    }
}

impl fmt::Debug for RecordingBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingBuilder")
            .field("device", &self.device)
            .field("initial_limit", &self.initial_limit)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}
