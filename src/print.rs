//! How sizes, names and locations are printed: in this crate's texts, and in a program's beside them.
//!
//! Names that programs give (labels, policies, paths) are escaped, and cut.
//! A server names its tickets after what a request says. A line break in such a name forges a line of the log, an
//! escape sequence commands the terminal, a megabyte makes each message a megabyte long.

mod bytes;
mod name;
mod thread;

pub use bytes::Bytes;
pub use name::{Name, Place};
pub(crate) use thread::ThreadLabel;
#[cfg(any(feature = "serde", feature = "timeline"))]
pub(crate) use thread::thread_number;
