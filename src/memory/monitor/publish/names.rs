//! The names of published figures: this list is their documentation, and a test holds `docs/` to it.

/// A figure that a monitor publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figure {
    /// Its whole name, with unit, and `_total` if it only rises.
    pub name: &'static str,
    /// What kind it is.
    pub kind: FigureKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub text: &'static str,
}

/// What kind a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FigureKind {
    /// It rises and falls.
    Gauge,
    /// It rises.
    Counter,
    /// Many values, counted in buckets.
    Histogram,
}

const fn figure(
    name: &'static str,
    kind: FigureKind,
    labels: &'static [&'static str],
    text: &'static str,
) -> Figure {
    Figure {
        name,
        kind,
        labels,
        text,
    }
}

pub(super) const ACTIVE: &str = "mlx_wired_active_bytes";
pub(super) const CACHE: &str = "mlx_wired_cache_bytes";
pub(super) const PEAK: &str = "mlx_wired_peak_bytes";
pub(super) const FOOTPRINT: &str = "mlx_wired_footprint_bytes";
pub(super) const LIMIT: &str = "mlx_wired_limit_bytes";
pub(super) const BUDGET: &str = "mlx_wired_budget_bytes";
pub(super) const UNCOUNTED: &str = "mlx_wired_uncounted_bytes";
pub(super) const USED: &str = "mlx_wired_used_bytes";
pub(super) const ADMITTED: &str = "mlx_wired_admitted_bytes";
pub(super) const WAITING: &str = "mlx_wired_waiting";
pub(super) const OLDEST_WAIT: &str = "mlx_wired_oldest_wait_seconds";
pub(super) const WAIT: &str = "mlx_wired_wait_seconds";
pub(super) const ADMISSIONS: &str = "mlx_wired_admissions_total";
pub(super) const SETTER_CALLS: &str = "mlx_wired_setter_calls_total";
pub(super) const RECLAIMED: &str = "mlx_wired_reclaimed_bytes_total";
pub(super) const POOL_HITS: &str = "mlx_wired_pool_hits_total";
pub(super) const POOL_MISSES: &str = "mlx_wired_pool_misses_total";
pub(super) const POOL_IN_USE: &str = "mlx_wired_pool_in_use_bytes";
pub(super) const POOL_IDLE: &str = "mlx_wired_pool_idle_bytes";
pub(super) const LEVEL: &str = "mlx_wired_level";
pub(super) const PRESSURE_LEVEL: &str = "mlx_wired_pressure_level";
pub(super) const FAILURES: &str = "mlx_wired_reading_failures_total";
pub(super) const INFO: &str = "mlx_wired_info";

use FigureKind::{Counter, Gauge, Histogram};

/// The figures that a monitor publishes. A name goes only after a version that has both, and says in its text that it is
/// deprecated.
pub const FIGURES: &[Figure] = &[
    figure(ACTIVE, Gauge, &[], "Live arrays, as MLX counts them."),
    figure(CACHE, Gauge, &[], "Freed buffers that MLX keeps for reuse."),
    figure(
        PEAK,
        Gauge,
        &[],
        "The most that was live since MLX's record was reset last.",
    ),
    figure(
        FOOTPRINT,
        Gauge,
        &[],
        "What the process uses of the machine's memory, where the system tells.",
    ),
    figure(LIMIT, Gauge, &[], "The wired limit that was applied last."),
    figure(
        BUDGET,
        Gauge,
        &[],
        "What there is: stated, or measured by the manager. Absent if neither.",
    ),
    figure(
        UNCOUNTED,
        Gauge,
        &[],
        "What the program has registered that MLX does not count.",
    ),
    figure(USED, Gauge, &[], "What is compared with the budget."),
    figure(
        ADMITTED,
        Gauge,
        &["group"],
        "What a group's live guards hold. 0 when the group has gone.",
    ),
    figure(WAITING, Gauge, &[], "How many demands wait for admission."),
    figure(
        OLDEST_WAIT,
        Gauge,
        &[],
        "How long the longest waiting of them has waited; 0 if none waits.",
    ),
    figure(
        WAIT,
        Histogram,
        &[],
        "How long acquires have waited that were admitted in the end. Their sum is exact, each within a factor of two.",
    ),
    figure(
        ADMISSIONS,
        Counter,
        &["result"],
        "Ends of acquires that took the manager's lock: admitted, timed_out, cancelled. Those that changed nothing for others took none, and are not counted.",
    ),
    figure(
        SETTER_CALLS,
        Counter,
        &[],
        "Calls of MLX's setter of the wired limit.",
    ),
    figure(
        RECLAIMED,
        Counter,
        &["by"],
        "What was given back: of MLX's cache by forced cleanups (cache), what the program's functions say that they gave there (function), and what watched pressure has had back (reaction).",
    ),
    figure(
        POOL_HITS,
        Counter,
        &["pool"],
        "Buffers of a watched pool that were made of an idle block.",
    ),
    figure(
        POOL_MISSES,
        Counter,
        &["pool"],
        "Buffers of a watched pool that were mapped anew.",
    ),
    figure(
        POOL_IN_USE,
        Gauge,
        &["pool"],
        "Capacities of a watched pool's buffers in use.",
    ),
    figure(
        POOL_IDLE,
        Gauge,
        &["pool"],
        "Capacities of a watched pool's idle blocks.",
    ),
    figure(
        LEVEL,
        Gauge,
        &[],
        "The level of the monitor's own reading: 0 normal, 1 warning, 2 urgent, 3 critical.",
    ),
    figure(
        PRESSURE_LEVEL,
        Gauge,
        &[],
        "The level that the manager was told last, likewise.",
    ),
    figure(
        FAILURES,
        Counter,
        &[],
        "Readings that failed, since MLX's counters could not be read. Other figures are of the last that did not.",
    ),
    figure(
        INFO,
        Gauge,
        &["version", "mlx", "device", "support"],
        "1; its labels say what runs: the crate's version, MLX's, the device's kind, and whether the wired limit has an effect (yes, no).",
    ),
];

/// The buckets to configure for `mlx_wired_wait_seconds`, in seconds.
pub const WAIT_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
