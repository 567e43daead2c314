//! Memory while a program runs.
//!
//! It stands on the crate's public names alone.

mod error;
pub mod pool;

pub use error::Error;
pub use pool::{BufferPool, PoolBuf, PoolError};
