//! A manager's settings.

use crate::Error;
use std::time::Duration;

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
    #[allow(non_upper_case_globals)]
    pub const Off: Self = Self::Uncoordinated;
}

/// What an acquire does when MLX refuses the limit it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnApplyFailure {
    /// Every acquire that the failed call was to cover gets [`Error::SetLimit`].
    #[default]
    Fail,
    /// Gives a guard that says it runs unwired.
    Proceed,
}

/// A manager's settings. `Config::default()` is valid.
///
/// ```
/// use mlx_wired::Config;
/// use std::time::Duration;
///
/// let config = Config::default()
///     .margin(0.1)
///     .linger(Duration::from_secs(5));
/// assert_eq!(config.margin, 0.1);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether MLX's limit is set.
    pub mode: WireMode,
    /// The baseline in place of MLX's own answer, in bytes.
    pub baseline_override: Option<u64>,
    /// The fraction of what the device recommends, or of its budget, that is kept free.
    pub margin: f64,
    /// How many bytes of the memory are kept free at least.
    pub reserve: u64,
    /// The fraction of the limit that a drop must have while guards live.
    pub shrink_threshold_ratio: f64,
    /// The drop, in bytes, that suffices whatever the fraction.
    pub shrink_threshold_bytes: Option<u64>,
    /// How long after its last change the limit may be lowered while guards live.
    pub shrink_cooldown: Duration,
    /// How long after the last driving guard the baseline is set back.
    pub linger: Duration,
    /// What an acquire does when MLX refuses the limit.
    pub on_apply_failure: OnApplyFailure,
    /// The cap on the sum of the live sizes over all groups, in bytes.
    pub budget: Option<u64>,
    /// How many later acquires may be admitted before a waiting one.
    pub overtaking: u64,
    /// Whether a thread may be started that does what is owed when it is due.
    pub housekeeping: bool,
    /// After how long a wait for admission counts as stalled.
    pub stall_after: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: WireMode::Auto,
            baseline_override: None,
            margin: 0.0,
            reserve: 0,
            // mlx-swift's defaults.
            shrink_threshold_ratio: 0.25,
            shrink_threshold_bytes: None,
            shrink_cooldown: Duration::from_secs(1),
            linger: Duration::ZERO,
            on_apply_failure: OnApplyFailure::Fail,
            budget: None,
            overtaking: 0,
            housekeeping: true,
            stall_after: None,
        }
    }
}

impl Config {
    /// Whether MLX's limit is set. Default: [`WireMode::Auto`].
    #[must_use]
    pub fn mode(mut self, mode: WireMode) -> Self {
        self.mode = mode;
        self
    }

    /// The baseline, in bytes, in place of MLX's own answer; what an epoch's end sets back. One above the ceiling
    /// is refused. Default: none.
    #[must_use]
    pub fn baseline_override(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.baseline_override = bytes.into();
        self
    }

    /// Keeps the ceiling this fraction below what MLX recommends, from 0 to 1; without wired memory, the
    /// [budget of the device](crate::Manager::budget) this fraction below what was measured. Default: 0.
    #[must_use]
    pub fn margin(mut self, fraction: f64) -> Self {
        self.margin = fraction;
        self
    }

    /// Keeps the ceiling at least this many bytes below the memory size; without wired memory, the
    /// [budget of the device](crate::Manager::budget) below the memory, or below what the container allows. A reserve of all
    /// the memory is refused. Default: 0.
    #[must_use]
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// While guards live, the limit is lowered only by at least this fraction of itself (clamped to
    /// 0 to 1). Default: 0.25.
    #[must_use]
    pub fn shrink_threshold_ratio(mut self, fraction: f64) -> Self {
        self.shrink_threshold_ratio = fraction;
        self
    }

    /// A drop of this many bytes suffices too, whatever the ratio. Default: none.
    #[must_use]
    pub fn shrink_threshold_bytes(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.shrink_threshold_bytes = bytes.into();
        self
    }

    /// While guards live, the limit is lowered only this long after it last changed. Default: 1 s.
    #[must_use]
    pub fn shrink_cooldown(mut self, cooldown: Duration) -> Self {
        self.shrink_cooldown = cooldown;
        self
    }

    /// How long after the last driving guard the baseline is set back. Default: at once.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// What an acquire does when MLX refuses the limit. Default: [`OnApplyFailure::Fail`].
    #[must_use]
    pub fn on_apply_failure(mut self, choice: OnApplyFailure) -> Self {
        self.on_apply_failure = choice;
        self
    }

    /// Caps the sum of the live sizes over all groups, in bytes, beside each policy. Then all groups wait in one
    /// line, and every acquire and release takes a lock. A budget above the memory is refused. Default: none.
    #[must_use]
    pub fn budget(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.budget = bytes.into();
        self
    }

    /// How many later acquires may be admitted before a waiting one that does not fit yet; then it is served
    /// next. Default: 0, first in, first out.
    #[must_use]
    pub fn overtaking(mut self, times: u64) -> Self {
        self.overtaking = times;
        self
    }

    /// Whether a thread may be started that does what is owed when it is due: a shrink that the
    /// cooldown held back, the end of linger, a call to be tried again. Without it, each acquire and release
    /// and [`Manager::maintain`](crate::Manager::maintain) look. Default: true.
    #[must_use]
    pub fn housekeeping(mut self, on: bool) -> Self {
        self.housekeeping = on;
        self
    }

    /// After how long a wait for admission counts as stalled: then
    /// [`EventKind::WaitStalled`](crate::EventKind::WaitStalled) tells of it once, with a snapshot. The waiting thread wakes
    /// for that; no other is started. It counts for waits that begin later. Default: never.
    #[must_use]
    pub fn stall_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.stall_after = time.into();
        self
    }

    /// Clamps what is clamped and refuses the rest.
    pub(crate) fn validate(mut self) -> Result<Self, Error> {
        if self.shrink_threshold_ratio.is_nan() {
            return Err(invalid("shrink_threshold_ratio", "not a number"));
        }
        self.shrink_threshold_ratio = self.shrink_threshold_ratio.clamp(0.0, 1.0);
        if !(0.0..=1.0).contains(&self.margin) {
            let reason = format!("{} is not a fraction from 0 to 1", self.margin);
            return Err(invalid("margin", reason));
        }
        Ok(self)
    }
}

pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Error {
    Error::InvalidConfig {
        field,
        reason: reason.into(),
    }
}
