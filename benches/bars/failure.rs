//! What goes wrong.

/// What a part of a bench that is not a measurement fails with.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
