//! A manager's settings.

use crate::Error;
use crate::mode::WireMode;
use std::time::Duration;

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

/// Whether the release of an active or resident guard first waits for the work of its thread.
///
/// Wherever it waits, it waits for the releasing thread's own default stream ([`Backend::synchronize`]), with the demand
/// still counted; a guard's [`before_release`](crate::Guard::before_release) hook runs in place of that, whatever is
/// chosen here. Where the limit is wired, a release that may lower it waits in any case but [`Never`](Self::Never).
///
/// Where each release waits, that of an owned guard on another thread than the one that took it waits for nothing: the
/// work is on another stream, and on a thread without one MLX would make one. A hook or
/// [`release_after`](crate::OwnedGuard::release_after) is the way there.
///
/// [`Backend::synchronize`]: crate::ffi::Backend::synchronize
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum SyncOnRelease {
    /// On CUDA each release, since bytes are free there only when the work on them is done; not in [`WireMode::Uncoordinated`],
    /// where no thread waits for them. Elsewhere those that may lower a wired limit.
    #[default]
    Auto,
    /// None: for programs that release what is evaluated. Hooks run as with [`Auto`](Self::Auto).
    Never,
    /// Each, on every device.
    Always,
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
    /// Whether a thread may be started that does pending work when it is due.
    pub housekeeping: bool,
    /// After how long a queue that admits no waiter is told of.
    pub stall_after: Option<Duration>,
    /// Whether nothing is ever printed.
    pub quiet: bool,
    /// Whether the release of an active or resident guard first waits for the work of its thread.
    pub sync_on_release: SyncOnRelease,
    /// What the limit is rounded to while a guard that was grown lives, in bytes.
    pub growth_step: Option<u64>,
    /// How many acquires may wait in the manager.
    pub max_waiting: Option<usize>,
    /// The share of the caps and of the budget that counts for new demands, by the level of the pressure.
    pub elastic: Option<[f64; 4]>,
    /// The longest that the pressure alone delays a demand.
    pub pressure_patience: Duration,
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
            stall_after: Some(Duration::from_secs(30)),
            quiet: false,
            sync_on_release: SyncOnRelease::Auto,
            growth_step: None,
            max_waiting: None,
            elastic: None,
            pressure_patience: Duration::from_secs(10),
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

    /// Caps the sum of the live sizes over all groups, in bytes, beside each policy. Then all groups wait in one queue,
    /// and every acquire and release takes a lock. A budget above the memory is refused. Default: none.
    #[must_use]
    pub fn budget(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.budget = bytes.into();
        self
    }

    /// How many later acquires may be admitted before a waiting one that does not fit yet; then it is served
    /// next. At most 64 that do not fit are passed at once. Default: 0, first in, first out.
    #[must_use]
    pub fn overtaking(mut self, times: u64) -> Self {
        self.overtaking = times;
        self
    }

    /// Whether a thread may be started that does pending work when it is due: a shrink that the cooldown held back, the
    /// end of linger, a call to be tried again. Without it, each acquire and release and
    /// [`Manager::maintain`](crate::Manager::maintain) look. Default: true.
    #[must_use]
    pub fn housekeeping(mut self, on: bool) -> Self {
        self.housekeeping = on;
        self
    }

    /// After how long a queue that admits no waiter is told of, by its first waiter:
    /// [`EventKind::WaitStalled`](crate::EventKind::WaitStalled) says what waits, for how long and why. It is told of
    /// again after twice that time, then four times, and so on, until the queue admits a waiter.
    ///
    /// Each group has a queue; with a [`budget`](Self::budget) all groups have one together. The waiting threads wake
    /// for this; no other is started. A change counts for waits that begin later. Less than 100 µs counts as that.
    /// Default: 30 s.
    #[must_use]
    pub fn stall_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.stall_after = time.into();
        self
    }

    /// While a guard that was grown lives, what the live guards call for is rounded up to a multiple of so many bytes, at most
    /// to the ceiling. So a cache that grows by a token at a time costs a setter call each step, not each token, and the
    /// shrink threshold does not take the step back. 0: exactly what is called for. Default: a 64th of the ceiling.
    ///
    /// It rounds the limit alone. Growth is admitted to the byte, and may be refused or wait. A server that must not be
    /// refused in the middle takes a ticket of the most that it may need.
    #[must_use]
    pub fn growth_step(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.growth_step = bytes.into();
        self
    }

    /// How many acquires may wait in the manager, in a queue or set aside; one more is [`Error::QueueFull`]. Growing
    /// guards count among them, and are never refused for it. Default: no bound.
    #[must_use]
    pub fn max_waiting(mut self, waiters: impl Into<Option<usize>>) -> Self {
        self.max_waiting = waiters.into();
        self
    }

    /// Whether nothing is ever printed. Else a line that [stalls](Self::stall_after) is told of by one line on stderr
    /// where the program would not learn of it otherwise: without a [subscriber](crate::Manager::subscribe) of events,
    /// and without one of `tracing` that takes warnings. Nothing else is ever printed. `MLX_WIRED_QUIET=1` in the environment
    /// does the same; empty or `0` is as if it were not set. It is read when a manager is built. Default: false.
    #[must_use]
    pub fn quiet(mut self, on: bool) -> Self {
        self.quiet = on;
        self
    }

    /// Whether the release of an active or resident guard first waits for the work of its thread. It may change at any
    /// time, and counts for releases that begin later. Default: [`SyncOnRelease::Auto`].
    #[must_use]
    pub fn sync_on_release(mut self, choice: SyncOnRelease) -> Self {
        self.sync_on_release = choice;
        self
    }

    /// Lets caps give way under [pressure](crate::Manager::set_pressure): by its [level](crate::PressureLevel) from normal to
    /// critical, the caps of built-in policies and the [budget](Self::budget) count with this share of themselves, from 0 to
    /// 1, for new demands. No share may be larger than the one before it. Default: none, they count in full.
    ///
    /// It only delays. What lives stays, and may grow. A demand that fits in full is admitted all the same if it is the
    /// first in its queue and no active guard of the queue lives (a reservation or a resident: no guard at all), and at
    /// the latest after [`pressure_patience`](Self::pressure_patience). Errors of demands that can never be admitted,
    /// or not beside what is held, go by the caps in full, and so do deadlocks. A reservation or a resident that is
    /// delayed holds up no active work.
    ///
    /// ```
    /// use mlx_wired::{Config, Manager, SumPolicy};
    ///
    /// let config = Config::default().elastic([1.0, 0.9, 0.75, 0.5]);
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).config(config).build()?;
    /// let step = manager.ticket(&SumPolicy::capped(100), 40);
    /// let _first = step.acquire()?;
    /// manager.set_pressure(0.6)?; // urgent: 75 of the 100 count
    /// assert_eq!(step.available(), Some(35));
    /// assert!(step.try_acquire().is_err());
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    #[must_use]
    pub fn elastic(mut self, shares: impl Into<Option<[f64; 4]>>) -> Self {
        self.elastic = shares.into();
        self
    }

    /// The longest that the pressure alone delays a demand: from when it does first, or delays those before it in the
    /// queue. A change counts for demands that are delayed later. With zero none is delayed. Default: 10 s.
    #[must_use]
    pub fn pressure_patience(mut self, patience: Duration) -> Self {
        self.pressure_patience = patience;
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
        if let Some(shares) = self.elastic {
            if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
                let reason = format!("{share} is not a share from 0 to 1");
                return Err(invalid("elastic", reason));
            }
            if !shares.is_sorted_by(|a, b| a >= b) {
                let reason = format!("{shares:?}: more would count at a higher level of pressure");
                return Err(invalid("elastic", reason));
            }
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
