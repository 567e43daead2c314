//! Memory while a program runs.
//!
//! [`monitor`]: what is in use of what, how scarce that is, what is wrong, and who is told of it.
//!
//! It stands on the crate's public names alone.

mod error;
pub mod monitor;

pub use error::{Error, SocketProblem};

/// The crate whose recorders get a [monitor's](monitor::Monitor) figures, in the version that this crate uses: 0.24. A program
/// with a recorder of another version gets nothing, without a word.
#[cfg(feature = "metrics")]
pub use ::metrics;
