//! A trainer's kit: what to write in a ticket, whether a model fits, and what a run's memory does.
//!
//! It stands on the crate's public names alone.

mod error;
#[cfg(feature = "estimate")]
pub mod estimate;

pub use error::Error;
#[cfg(feature = "estimate")]
pub use estimate::{estimate, plan};
