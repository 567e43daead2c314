//! Calls of a backend that failed.

use crate::print::Name;
use std::fmt;

/// A backend's call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendError {
    /// The call with its arguments, for example `mlx_set_wired_limit(4096)`.
    pub call: String,
    /// The return code, if the call gave one.
    pub code: Option<i32>,
    /// MLX's own message, where a handler that keeps it is in place.
    pub message: Option<String>,
}

impl BackendError {
    /// A failure of `call`, which is written with its arguments.
    #[must_use]
    pub fn new(call: impl Into<String>) -> Self {
        Self {
            call: call.into(),
            code: None,
            message: None,
        }
    }

    /// Adds the return code.
    #[must_use]
    pub fn with_code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", Name::whole(&self.call))?;
        if let Some(code) = self.code {
            write!(f, " with code {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {}", Name::whole(message))?;
        }
        Ok(())
    }
}

impl std::error::Error for BackendError {}
