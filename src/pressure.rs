//! How scarce memory is, in words.

use std::fmt;

/// How scarce memory is: the level of the pressure that was [reported](crate::Manager::set_pressure) last.
///
/// They are in order: `level >= PressureLevel::Urgent` is true of the last two.
///
/// ```
/// use mlx_wired::PressureLevel;
///
/// assert_eq!(PressureLevel::of(0.6), PressureLevel::Urgent);
/// assert!(PressureLevel::Critical > PressureLevel::Urgent);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum PressureLevel {
    /// Below 0.25.
    #[default]
    Normal,
    /// Below 0.5.
    Warning,
    /// Below 0.75.
    Urgent,
    /// 0.75 and above.
    Critical,
}

impl PressureLevel {
    /// The level of a pressure from 0 to 1. What is not a number is critical.
    #[must_use]
    pub fn of(pressure: f64) -> Self {
        if pressure < 0.25 {
            Self::Normal
        } else if pressure < 0.5 {
            Self::Warning
        } else if pressure < 0.75 {
            Self::Urgent
        } else {
            Self::Critical
        }
    }
}

impl fmt::Display for PressureLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::Urgent => "urgent",
            Self::Critical => "critical",
        })
    }
}
