//! A setting that may be chosen, or may not be touched.

/// A setting that [`plan`](mod@super::estimate) or a [`Fit`](super::Fit) may choose, or may not touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(rename_all = "lowercase"))]
pub enum Knob {
    /// Chosen, as the one that chooses says.
    #[default]
    Auto,
    /// As it is.
    Fixed(u64),
}

impl From<u64> for Knob {
    fn from(value: u64) -> Self {
        Self::Fixed(value)
    }
}

#[cfg(feature = "estimate")]
impl Knob {
    /// Its value to begin with.
    pub(super) fn or(self, default: u64) -> u64 {
        match self {
            Self::Auto => default,
            Self::Fixed(value) => value.max(1),
        }
    }
}
