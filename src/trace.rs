//! Reporting through `tracing`, with the feature of that name; without it, nothing at all.
//!
//! A subscriber is foreign code. It is called only when the calling thread holds nothing of the manager's: what
//! happens under the lock is kept until the lock is free. Its panics are caught.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Kept, WaitSpan, wants, wants_warnings};
#[cfg(feature = "tracing")]
pub(crate) use on::{GuardSpan, Kept, WaitSpan, wants, wants_warnings};
