//! Whether a manager sets MLX's limit.

/// Whether a manager sets MLX's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum WireMode {
    /// Where the device has wired memory. `MLX_WIRED=never` in the environment turns it into
    /// [`Never`](Self::Never), for managers on MLX itself.
    #[default]
    Auto,
    /// Never touches the setter, not even with 0; admission, sizing and events work.
    Never,
    /// Coordinates nothing: admits everything at once, and never touches the setter.
    Uncoordinated,
}

impl WireMode {
    /// The former name of [`Uncoordinated`](Self::Uncoordinated).
    #[deprecated(note = "use `WireMode::Uncoordinated`")]
    #[allow(non_upper_case_globals, reason = "it was a variant")]
    pub const Off: Self = Self::Uncoordinated;
}
