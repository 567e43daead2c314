//! The room's error.

use std::fmt;

/// What went wrong in the kit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The coordinator did not give a guard, or did not take a setting.
    Coordinator(crate::Error),
    /// Nothing is at a model's path, or it may not be looked at.
    #[cfg(feature = "estimate")]
    Model {
        /// The path, escaped and cut.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(error) => error.fmt(f),
            #[cfg(feature = "estimate")]
            Self::Model { path, source } => {
                let why = source.kind();
                write!(
                    f,
                    "no model can be read at {path} ({why}); name a model's folder"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Coordinator(error) => Some(error),
            #[cfg(feature = "estimate")]
            Self::Model { source, .. } => Some(source),
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Coordinator(error)
    }
}
