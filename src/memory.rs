//! Memory while a program runs.
//!
//! It stands on the crate's public names alone; the pool also on `sync` and `fork`, for its models and for forked children.

mod error;
pub mod pool;
#[cfg(not(any(loom, shuttle)))]
mod pressure;
#[cfg(not(any(loom, shuttle)))]
pub mod reactions;

pub use error::Error;
#[cfg(feature = "mlx-rs")]
pub use pool::decode;
pub use pool::{BufferPool, PoolBuf, PoolError};
#[cfg(all(unix, not(any(loom, shuttle))))]
pub use pressure::ServiceManager;
#[cfg(not(any(loom, shuttle)))]
pub use pressure::{
    Change, Container, GroupStalls, Machine, MachineStalls, MlxUse, Pressure, PressureBuilder,
    PressureStats, Reading, Scripted, Source, SourceError, SourceEvent, SourceState,
    system_sources, system_sources_under,
};
#[cfg(any(target_vendor = "apple", check_apple))]
pub use pressure::{Footprint, KernelLevel};
#[cfg(not(any(loom, shuttle)))]
pub use reactions::Subscription;
