//! Errors of MLX whose text does not say what to do.

use std::fmt;

/// What an error of MLX means. Prints as the meaning and the cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferLimit {
    /// The most buffers that may live at once.
    pub limit: u64,
}

/// Says what an error's text means, if MLX ran out of buffers: "Resource limit (499000) exceeded" speaks of how many live,
/// not of bytes.
///
/// ```
/// let text = "[metal::malloc] Resource limit (499000) exceeded.";
/// let meaning = mlx_wired::train::explain(text).expect("it is that error");
/// assert_eq!(meaning.limit, 499_000);
/// assert!(mlx_wired::train::explain("out of memory").is_none());
/// ```
#[must_use]
pub fn explain(error: &str) -> Option<BufferLimit> {
    let (_, after) = error.split_once("Resource limit (")?;
    let (number, rest) = after.split_once(')')?;
    let limit = number.parse().ok()?;
    rest.trim_start()
        .starts_with("exceeded")
        .then_some(BufferLimit { limit })
}

impl fmt::Display for BufferLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is a number of live buffers, not of bytes: a compiled function keeps some for each distinct shape that it \
             was called with; pad batches to few shapes, or compile it shapeless",
            self.limit
        )
    }
}
