//! What a release did.

use crate::Error;

/// What a release did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Released {
    /// The limit in force afterwards, in bytes.
    pub limit: u64,
    /// Whether the limit fell while the guard was released.
    pub lowered: bool,
    /// What went wrong; the guard is released all the same.
    pub error: Option<Error>,
}
