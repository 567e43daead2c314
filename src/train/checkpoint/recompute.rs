//! The knob: which blocks are recomputed.

use std::fmt;

/// Which blocks of a network keep nothing for the backward pass, and are computed again there.
///
/// The blocks are numbered from the input, from 0. The peak of a step is where its backward pass begins, so the blocks
/// nearest to the input save the most for the same work: the last one saves little, as its activations are needed
/// at the peak anyway. That is why the knob counts from the front, and has no "every second one".
/// [Training](crate::docs::training) has what each value saves and costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Recompute {
    /// None: every block keeps what its backward pass needs.
    #[default]
    None,
    /// The first so many, counted from the input.
    First(usize),
    /// All of them.
    All,
}

impl Recompute {
    /// Whether the block of this number is recomputed.
    ///
    /// ```
    /// use mlx_wired::train::checkpoint::Recompute;
    ///
    /// assert!(Recompute::First(4).recomputes(3));
    /// assert!(!Recompute::First(4).recomputes(4));
    /// ```
    #[must_use]
    pub fn recomputes(self, block: usize) -> bool {
        match self {
            Self::None => false,
            Self::First(count) => block < count,
            Self::All => true,
        }
    }
}

impl fmt::Display for Recompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::First(count) => write!(f, "first {count}"),
            Self::All => f.write_str("all"),
        }
    }
}
