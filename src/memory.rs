//! Memory while a program runs.
//!
//! | what | where |
//! | --- | --- |
//! | how scarce memory is, and what a program does about it | [`Pressure`], [`reactions`] |
//! | what is in use of what, what is wrong, and how that is told | [`monitor`] |
//! | buffers on the host that are used again, and arrays of MLX over them | [`pool`] |
//!
//! It stands on the crate's public names alone, but for the pool's mutex and thread, which are `sync`'s, so that models
//! run the pool on theirs.

#[cfg(not(any(loom, shuttle)))]
mod error;
#[cfg(not(any(loom, shuttle)))]
pub mod monitor;
pub mod pool;
#[cfg(not(any(loom, shuttle)))]
mod pressure;
#[cfg(not(any(loom, shuttle)))]
pub mod reactions;
#[cfg(not(any(loom, shuttle)))]
mod thresholds;

#[cfg(not(any(loom, shuttle)))]
pub use error::{Error, SocketProblem};
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

/// The crate whose recorders get a [monitor's](monitor::Monitor) figures, in the version that this crate uses: 0.24. A program
/// with a recorder of another version gets nothing, without a word.
#[cfg(feature = "metrics")]
pub use ::metrics;
