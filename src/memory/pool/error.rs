//! What goes wrong with host buffers.

use crate::print::{Bytes, Name};
use std::fmt::{self, Write};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How many bytes of a name are printed in one line; in full, as many as [`Name::new`] prints.
const NAME_IN_SHORT: usize = 24;
/// The most bytes of one line.
const LINE: usize = 160;
/// How many users one line names.
const USERS_IN_SHORT: usize = 2;

/// What the buffers of one name hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolUser {
    /// The name: the pool's, or that of a [`named`](super::BufferPool::named) handle.
    pub name: Arc<str>,
    /// The capacity of its buffers in use, in bytes.
    pub bytes: u64,
}

/// What went wrong with a host buffer.
///
/// `{}` is one line of at most 160 bytes; `{:#}` names all that hold buffers.
#[derive(Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// The buffer does not fit beside those in use, or other threads wait before it. Nothing is held. Waiting may help.
    Full {
        /// The name of the handle that asked.
        name: Arc<str>,
        /// How many bytes.
        requested: u64,
        /// The capacity of all buffers in use, in bytes. Idle blocks are not in the way.
        in_use: u64,
        /// The pool's limit in bytes.
        limit: u64,
        /// How many threads wait for a buffer.
        waiting: usize,
        /// How long this one has waited.
        waited: Duration,
        /// The names that hold buffers, the largest first.
        users: Vec<PoolUser>,
    },
    /// The buffer is larger than the limit, or than what may be idle where it is to be [prepared](super::BufferPool::prewarm):
    /// waiting is of no use.
    TooLarge {
        /// The name of the handle that asked.
        name: Arc<str>,
        /// How many bytes.
        requested: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The manager by which the pool is counted did not admit the memory. The pool had given back what was idle, unless that could
    /// never have been enough.
    NotAdmitted {
        /// The name of the handle that asked.
        name: Arc<str>,
        /// How many bytes.
        requested: u64,
        /// Why.
        source: Box<crate::Error>,
    },
    /// The system gave no memory.
    System {
        /// The name of the handle that asked.
        name: Arc<str>,
        /// How many bytes.
        requested: u64,
        /// What it said.
        source: io::Error,
    },
    /// An array of this shape does not fit the buffer, or is none. MLX was not called.
    #[cfg(feature = "mlx-rs")]
    Shape {
        /// The shape.
        shape: Box<[i32]>,
        /// The type of its elements.
        dtype: Arc<str>,
        /// How many bytes it has; none if a side is negative, or the number is too large.
        needed: Option<u64>,
        /// How many the buffer has.
        available: u64,
    },
    /// The program's closure failed, or wrote too little. Carries why.
    #[cfg(feature = "mlx-rs")]
    Decode(Box<dyn std::error::Error + Send + Sync>),
    /// MLX failed. Carries what it said.
    #[cfg(feature = "mlx-rs")]
    Mlx(String),
}

impl PoolError {
    /// Whether the same call may succeed when other threads have dropped their buffers.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::NotAdmitted { source, .. } => source.is_retryable(),
            _ => false,
        }
    }
}

/// A name as it is printed: in quotation marks, cut in one line.
struct Quoted<'a>(&'a str, bool);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(name, true) => write!(f, "\"{}\"", Name::new(name)),
            Self(name, false) => write!(f, "\"{}\"", Name::cut(name, NAME_IN_SHORT)),
        }
    }
}

/// The largest users, for the end of what they hold.
fn largest(users: &[PoolUser], shown: usize, in_full: bool) -> String {
    let mut text = String::new();
    for (index, PoolUser { name, bytes }) in users.iter().take(shown).enumerate() {
        let before = if index == 0 { " (largest: " } else { ", " };
        let (name, bytes) = (Quoted(name, in_full), Bytes(*bytes));
        write!(text, "{before}{name} {bytes}").expect("text takes everything");
    }
    if !text.is_empty() {
        text.push(')');
    }
    text
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_full = f.alternate();
        match self {
            Self::Full {
                name,
                requested,
                in_use,
                limit,
                waiting,
                waited,
                users,
            } => {
                let (name, requested) = (Quoted(name, in_full), Bytes(*requested));
                let (in_use, limit) = (Bytes(*in_use), Bytes(*limit));
                let cure = "drop buffers, raise .limit, or wait with get_timeout";
                let told = |users: &str| {
                    format!(
                        "{requested} for {name} do not fit the pool: {in_use} of {limit} in use{users}; {cure}"
                    )
                };
                if in_full {
                    f.write_str(&told(&largest(users, usize::MAX, true)))?;
                    return write!(f, ". Waited {waited:.1?}; {waiting} threads wait");
                }
                // As many names as a line has room for.
                let lines = (0..=USERS_IN_SHORT).rev();
                let mut lines = lines.map(|shown| told(&largest(users, shown, false)));
                let line = lines.find(|line| line.len() <= LINE);
                f.write_str(&line.unwrap_or_else(|| told("")))
            }
            Self::TooLarge {
                name,
                requested,
                limit,
            } => {
                let (name, requested, limit) =
                    (Quoted(name, in_full), Bytes(*requested), Bytes(*limit));
                write!(
                    f,
                    "{requested} for {name} never fit the pool's {limit}; ask for less, or raise .limit or .idle_limit"
                )
            }
            Self::NotAdmitted {
                name,
                requested,
                source,
            } => {
                let (name, requested) = (Quoted(name, in_full), Bytes(*requested));
                write!(f, "{requested} for {name} were not admitted")?;
                if in_full {
                    return write!(f, ": {source:#}");
                }
                f.write_str("; drop buffers or end other work; `{:#}` tells what is in the way")
            }
            Self::System {
                name,
                requested,
                source,
            } => {
                let (name, requested) = (Quoted(name, in_full), Bytes(*requested));
                let source = source.kind();
                write!(
                    f,
                    "the system gave no {requested} for {name}: {source}; ask for less, or drop buffers"
                )
            }
            #[cfg(feature = "mlx-rs")]
            Self::Shape {
                shape,
                dtype,
                needed,
                available,
            } => {
                let shape = format!("{shape:?}");
                let shape = if in_full {
                    Name::whole(&shape)
                } else {
                    Name::cut(&shape, NAME_IN_SHORT)
                };
                match needed {
                    Some(needed) => write!(
                        f,
                        "an array {shape} of {dtype} has {needed} bytes, the buffer {available}; ask the pool for as many"
                    ),
                    None => write!(
                        f,
                        "an array {shape} of {dtype} is none; give it a shape that exists"
                    ),
                }
            }
            #[cfg(feature = "mlx-rs")]
            Self::Decode(cause) => {
                let cause = cause.to_string();
                let most = if in_full { usize::MAX } else { 100 };
                write!(
                    f,
                    "the values were not decoded: {}",
                    Name::cut(&cause, most)
                )
            }
            #[cfg(feature = "mlx-rs")]
            Self::Mlx(message) => {
                let most = if in_full { usize::MAX } else { 100 };
                write!(f, "MLX failed: {}", Name::cut(message, most))
            }
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotAdmitted { source, .. } => Some(source),
            Self::System { source, .. } => Some(source),
            #[cfg(feature = "mlx-rs")]
            Self::Decode(cause) => Some(&**cause),
            _ => None,
        }
    }
}
