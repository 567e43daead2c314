//! What goes wrong with memory while a program runs.

use crate::ffi::BackendError;
use std::fmt;

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// MLX, or what stands for it, refused.
    Backend(BackendError),
    /// A host buffer was not to be had, or could not be handed over.
    Pool(super::PoolError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) => error.fmt(f),
            Self::Pool(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<super::PoolError> for Error {
    fn from(error: super::PoolError) -> Self {
        Self::Pool(error)
    }
}
