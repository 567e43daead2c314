//! MLX's counters and limits beside the wired one, as a [`RecordingBackend`] plays them.

use super::record::{Fault, MemoryCall, MemorySetting};
use super::{RecordingBackend, lock};
use crate::backend::BackendError;

impl RecordingBackend {
    /// All calls that changed limits beside the wired one, or would have, and those that emptied the cache; in order. Resets
    /// of the peak are not among them: there are as many as steps.
    #[must_use]
    pub fn memory_calls(&self) -> Vec<MemoryCall> {
        lock(&self.record).memory_calls.clone()
    }

    /// The limit of the cache that is in force. MLX has no such getter: it is for assertions only.
    #[must_use]
    pub fn cache_limit(&self) -> u64 {
        lock(&self.record).cache_limit
    }

    /// Sets what [`Backend::footprint`](crate::ffi::Backend::footprint) answers. At first nothing is known.
    pub fn set_footprint(&self, bytes: Option<u64>) {
        lock(&self.record).footprint = bytes;
    }

    /// Switches on or off that calls which change `setting` fail.
    pub fn fail_setting(&self, setting: MemorySetting, failing: bool) {
        self.fault(setting, failing.then_some(Fault::Fail));
    }

    /// Switches on or off that calls which change `setting` panic.
    pub fn panic_setting(&self, setting: MemorySetting, panicking: bool) {
        self.fault(setting, panicking.then_some(Fault::Panic));
    }

    fn fault(&self, setting: MemorySetting, fault: Option<Fault>) {
        let mut record = lock(&self.record);
        record
            .faults
            .settings
            .retain(|(other, _)| *other != setting);
        record
            .faults
            .settings
            .extend(fault.map(|fault| (setting, fault)));
    }

    /// Carries a call out, and returns what was there before.
    pub(super) fn change_memory(
        &self,
        setting: MemorySetting,
        bytes: u64,
    ) -> Result<u64, BackendError> {
        let mut record = lock(&self.record);
        if setting != MemorySetting::Peak {
            record.memory_calls.push(MemoryCall { setting, bytes });
        }
        let mut faults = record.faults.settings.iter();
        match faults.find(|(other, _)| *other == setting) {
            None => {}
            Some((_, Fault::Fail)) => {
                return Err(BackendError::new(setting.call(bytes))
                    .with_code(1)
                    .with_message("the test asked for it"));
            }
            Some((_, Fault::Panic)) => {
                drop(record);
                panic!("{} panics as the test asked", setting.call(bytes));
            }
        }
        let place = match setting {
            MemorySetting::MemoryLimit => &mut record.memory.memory_limit,
            MemorySetting::CacheLimit => &mut record.cache_limit,
            MemorySetting::Cache => &mut record.memory.cache,
            MemorySetting::Peak => &mut record.memory.recorded_peak,
        };
        Ok(std::mem::replace(place, bytes))
    }
}
