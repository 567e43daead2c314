//! What goes wrong with memory while a program runs.

use super::thresholds::Thresholds;
use crate::ffi::BackendError;
use crate::print::{Bytes, Name};
use std::fmt;
use std::io;
use std::path::PathBuf;

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
    /// The coordinator refused: in a forked child, everything.
    Coordinator(crate::Error),
    /// So many bytes do not fit beside what is in use.
    DoesNotFit {
        /// What was asked for.
        bytes: u64,
        /// What is in use.
        used: u64,
        /// Of what.
        budget: u64,
    },
    /// Thresholds that are not from 0 to 1, or not in order.
    Thresholds(Thresholds),
    /// The system started no thread.
    Thread(io::Error),
    /// What was to be checked for leaks failed itself.
    Work(Box<dyn std::error::Error + Send + Sync>),
    /// A socket could not be made.
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        problem: SocketProblem,
    },
}

/// Why a socket could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketProblem {
    /// The system refused.
    Io(io::Error),
    /// Another program serves it, or this one does already.
    InUse,
    /// There is something else at its path.
    NotASocket,
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
            Self::Coordinator(error) => error.fmt(f),
            Self::DoesNotFit {
                bytes,
                used,
                budget,
            } => write!(
                f,
                "{} do not fit beside {} in use, of {}; drop arrays, or ask for less",
                Bytes(*bytes),
                Bytes(*used),
                Bytes(*budget)
            ),
            Self::Thresholds(it) => {
                write!(f, "thresholds of {} ", it.warning)?;
                if let Some(urgent) = it.urgent {
                    write!(f, "{urgent} ")?;
                }
                write!(
                    f,
                    "{}: they must be above 0, at most 1, and in order",
                    it.critical
                )
            }
            Self::Thread(error) => {
                let kind = error.kind();
                write!(
                    f,
                    "no thread is to be had ({kind}); do by hand what it would, or raise the limit of threads"
                )
            }
            Self::Work(error) => write!(f, "the checked work failed: {error}"),
            Self::Socket { path, problem } => {
                let path = path.to_string_lossy();
                let most = if f.alternate() { usize::MAX } else { 80 };
                write!(f, "{}: {problem}", Name::cut(&path, most))
            }
        }
    }
}

impl fmt::Display for SocketProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "no socket: {error}"),
            Self::InUse => f.write_str("is served already; take another path"),
            Self::NotASocket => f.write_str("is no socket, and stays; take another path"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Backend(error) => Some(error),
            Self::Pool(error) => Some(error),
            Self::Coordinator(error) => Some(error),
            Self::Work(error) => Some(&**error),
            Self::Thread(error)
            | Self::Socket {
                problem: SocketProblem::Io(error),
                ..
            } => Some(error),
            Self::DoesNotFit { .. }
            | Self::Lines { .. }
            | Self::Thresholds(_)
            | Self::Socket { .. } => None,
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Coordinator(error)
    }
}

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
