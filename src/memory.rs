//! Memory while a program runs.
//!
//! It stands on the crate's public names alone.

mod error;
pub mod pool;

pub use error::Error;
#[cfg(feature = "mlx-rs")]
pub use pool::decode;
pub use pool::{BufferPool, PoolBuf, PoolError};
