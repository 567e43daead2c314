//! The room's error.

use std::fmt;

/// What went wrong in the kit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The coordinator did not give a guard, or did not take a setting.
    Coordinator(crate::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Coordinator(error) => Some(error),
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Coordinator(error)
    }
}
