//! From which share of the budget on memory is how scarce.

use crate::PressureLevel;

/// From which share of the budget on a reading has which level: at or above it. From 0 to 1, in order.
///
/// ```
/// use mlx_wired::PressureLevel;
/// use mlx_wired::memory::monitor::Thresholds;
///
/// assert_eq!(Thresholds::default().level(0.85), PressureLevel::Urgent);
/// assert_eq!(Thresholds::TWO.level(0.85), PressureLevel::Warning);
/// // One is changed, the others stay.
/// let late = Thresholds::default().warning(0.8);
/// assert_eq!((late.warning, late.critical), (0.8, 0.95));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Thresholds {
    /// Where [`PressureLevel::Warning`] begins.
    pub warning: f64,
    /// Where [`PressureLevel::Urgent`] begins; `None`: there is no such level.
    pub urgent: Option<f64>,
    /// Where [`PressureLevel::Critical`] begins.
    pub critical: f64,
}

impl Thresholds {
    /// 75 % and 90 %: a warning and a critical level.
    pub const TWO: Self = Self {
        warning: 0.75,
        urgent: None,
        critical: 0.9,
    };
    /// 75 %, 85 % and 95 %: all levels. The default.
    pub const THREE: Self = Self {
        warning: 0.75,
        urgent: Some(0.85),
        critical: 0.95,
    };

    /// Sets where [`PressureLevel::Warning`] begins.
    #[must_use]
    pub fn warning(mut self, share: f64) -> Self {
        self.warning = share;
        self
    }

    /// Sets where [`PressureLevel::Urgent`] begins, or that there is no such level.
    #[must_use]
    pub fn urgent(mut self, share: impl Into<Option<f64>>) -> Self {
        self.urgent = share.into();
        self
    }

    /// Sets where [`PressureLevel::Critical`] begins.
    #[must_use]
    pub fn critical(mut self, share: f64) -> Self {
        self.critical = share;
        self
    }

    /// The level of a share of the budget. What is not a number is critical.
    #[must_use]
    pub fn level(&self, share: f64) -> PressureLevel {
        let below = |threshold: f64| share < threshold;
        if below(self.warning) {
            PressureLevel::Normal
        } else if below(self.urgent.unwrap_or(self.critical)) {
            PressureLevel::Warning
        } else if below(self.critical) {
            PressureLevel::Urgent
        } else {
            PressureLevel::Critical
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::THREE
    }
}
