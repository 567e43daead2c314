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
    /// Lines between levels of pressure that do not rise from warning to critical, or lie outside 0.05 to 1.
    Lines {
        /// Where warning, urgent and critical were to begin.
        lines: [f64; 3],
    },
    /// The system gave no thread.
    Thread(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) => error.fmt(f),
            Self::Pool(error) => error.fmt(f),
            Self::Lines { lines } => write!(
                f,
                "levels of pressure cannot begin at {lines:?}: give three numbers from 0.05 to 1 that rise, and none for normal"
            ),
            Self::Thread(error) => write!(
                f,
                "no thread is to be had for the monitor ({}); poll by hand, or raise the limit of threads",
                error.kind()
            ),
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
