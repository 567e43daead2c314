//! Apple's sources: the kernel's own level, and this process's footprint.

use super::source::{Reading, Source, SourceError};
use crate::clock::Waker;
use crate::system::{PressureEvents, ProcessMemory, vm_pressure_level};
use std::time::Instant;

/// The kernel's level: asked where it may be asked (macOS), else as it was told last. Each change wakes the monitor.
#[derive(Debug, Default)]
pub struct KernelLevel(Option<PressureEvents>);

impl Source for KernelLevel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let told = || self.0.as_ref().and_then(PressureEvents::level);
        Ok(vm_pressure_level().or_else(told).map(Reading::level))
    }

    fn watch(&mut self, waker: &Waker) {
        self.0 = PressureEvents::listen(waker);
    }
}

/// This process's footprint, of what it may have.
#[derive(Debug, Default)]
pub struct Footprint(());

impl Source for Footprint {
    fn name(&self) -> &str {
        "footprint"
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let memory = ProcessMemory::read().ok_or("the system does not tell")?;
        Ok(Some(Reading::used(memory.used, memory.limit)))
    }
}

/// Apple's sources, in the order of trust.
pub(super) fn sources() -> Vec<Box<dyn Source>> {
    vec![
        Box::new(KernelLevel::default()),
        Box::new(Footprint::default()),
    ]
}
