//! Memory while a program runs.
//!
//! It stands on the crate's public names alone.

mod error;

pub use error::Error;
