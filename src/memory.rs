//! Memory while a program runs.
//!
//! It stands on the crate's public names alone.

mod error;
mod pressure;
pub mod reactions;

pub use error::Error;
#[cfg(unix)]
pub use pressure::ServiceManager;
pub use pressure::{
    Change, Container, GroupStalls, Machine, MachineStalls, MlxUse, Pressure, PressureBuilder,
    PressureStats, Reading, Scripted, Source, SourceError, SourceEvent, SourceState,
    system_sources, system_sources_under,
};
#[cfg(any(target_vendor = "apple", check_apple))]
pub use pressure::{Footprint, KernelLevel};
pub use reactions::Subscription;
