//! A trainer's kit: what to write in a ticket, whether a model fits, and what a run's memory does.
//!
//! It stands on the crate's public names alone.

mod error;

pub use error::Error;
