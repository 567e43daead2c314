//! The whole state of a manager at a moment, as [`Manager::snapshot`](crate::Manager::snapshot) tells it.

mod holder;
mod print;
mod reason;
mod stats;

pub use holder::{Holder, HolderState};
pub use reason::WaitReason;
pub use stats::Stats;

use crate::backend::Support;
use crate::kind::Kind;
use crate::mode::WireMode;
use crate::pressure::PressureLevel;
use crate::sync::ThreadId;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The whole state of a manager. Sizes in bytes. Prints as a report for people.
///
/// # One moment
///
/// A snapshot is taken under the manager's lock, and nothing under that lock changes meanwhile: limits, epoch, what is
/// pending, every queue, the counters and all reservations are of one moment.
///
/// Active and resident guards come and go without that lock. A group's count and sum are one atomic word: they always
/// belong together, to a moment within the call. Two groups may be read a few nanoseconds apart, and an acquirer that has
/// just counted itself may still be on its way to the lock, so that `desired` is above `applied`.
///
/// Single guards are listed after that. A guard that comes or goes during the call may be missing or still there;
/// [`guards_add_up`](Self::guards_add_up) says whether the list agrees with the groups' counts and sums.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was taken, on the manager's clock.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::instant"))]
    pub time: Instant,
    /// Whether the manager sets MLX's limit.
    pub mode: WireMode,
    /// What `MLX_WIRED` in the environment says, if that made the mode another one than is configured.
    pub environment: Option<String>,
    /// Whether a limit has an effect on the device.
    pub support: Support,
    /// Whether the manager was closed.
    pub closed: bool,
    /// The number of the open epoch.
    pub epoch: Option<u64>,
    /// The limit that the end of the epoch sets back.
    pub baseline: u64,
    /// Where it came from.
    pub baseline_source: BaselineSource,
    /// The highest limit that will ever be set for a demand; `None` where there is no wired memory.
    pub ceiling: Option<Ceiling>,
    /// What a policy capped by the device may hold.
    pub device_budget: Option<u64>,
    /// The cap on all groups together, if one is configured.
    pub budget: Option<u64>,
    /// The limit that the live guards call for, before any clamp. Custom policies count with their last answers: they
    /// are not asked where the limit stays whatever they say.
    pub desired: u64,
    /// The limit that was applied last; in policy-only mode the one that would have been.
    pub applied: u64,
    /// A thread is deciding about the limit, or calls the setter.
    pub setting: bool,
    /// Pending work: what must still be done about the limit.
    pub owed: Owed,
    /// How scarce memory is, as last reported.
    pub pressure: f64,
    /// The level of that.
    pub level: PressureLevel,
    /// The share of [elastic](crate::Config::elastic) caps, and of the budget, that counts for new demands now.
    pub share: f64,
    /// Live guards of all groups.
    pub live: u64,
    /// Their sizes together.
    pub live_bytes: u64,
    /// Admitted demands whose acquirers wait for the setter's call. They count as live.
    pub uncovered: usize,
    /// The groups that have guards or waiters.
    pub groups: Vec<Group>,
    /// Every live guard, the largest first.
    pub guards: Vec<Holder>,
    /// Whether the listed guards, with the uncovered demands, are as many and as large as the groups say.
    pub guards_add_up: bool,
    /// The threads that wait for admission, the longest waiting first.
    pub waiters: Vec<Waiter>,
    /// What was done so far.
    pub stats: Stats,
    /// How long acquires have waited that were admitted in the end.
    pub wait_times: WaitTimes,
}

// The floats are from 0 to 1, so equality is total.
impl Eq for Snapshot {}

/// Where a baseline came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum BaselineSource {
    /// MLX's own answer to the epoch's first successful call.
    Mlx,
    /// [`Config::baseline_override`](crate::Config::baseline_override).
    Override,
    /// Not known: the limit last known is assumed.
    Assumed,
}

/// The highest limit, and what made it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Ceiling {
    /// The limit.
    pub bytes: u64,
    /// Which of the bounds is the smallest.
    pub source: CeilingSource,
}

/// What bounds the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum CeilingSource {
    /// MLX's recommended working set, less the configured margin.
    Recommended {
        /// MLX's `max_recommended_working_set_size`.
        recommended: u64,
        /// What the margin takes off.
        margin: u64,
    },
    /// The memory size, less the configured reserve, and at least a byte less.
    Memory {
        /// The memory size.
        memory_size: u64,
        /// The configured reserve.
        reserve: u64,
    },
}

/// What must still be done, and in how long. Zero is due: the next transition does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Owed {
    /// A shrink that the cooldown holds back.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serialize::duration::optional")
    )]
    pub shrink_in: Option<Duration>,
    /// The end of linger, when the baseline is set back.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serialize::duration::optional")
    )]
    pub restore_in: Option<Duration>,
    /// A failed call, to be tried again.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serialize::duration::optional")
    )]
    pub retry_in: Option<Duration>,
}

/// A group: the guards whose policies share an id. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Group {
    /// Its number in the manager, which [`Holder::group`] and [`Waiter::group`] repeat. Reused once it is empty.
    pub number: usize,
    /// The label of the policy that speaks for it.
    pub policy: Arc<str>,
    /// The name in its policies' id, if that is [named](crate::PolicyId::named).
    pub name: Option<Arc<str>>,
    /// Its live guards of every kind.
    pub guards: u64,
    /// Those among them that count without holding the limit up.
    pub reservations: u64,
    /// The sizes of its live guards together.
    pub bytes: u64,
    /// The most that they may be, where the policy tells.
    pub capacity: Option<u64>,
    /// The limit that it calls for; of a custom policy, its last answer.
    pub limit: u64,
    /// How many wait for admission to it.
    pub waiting: usize,
}

/// One demand that waits for admission, as snapshots, errors and [`Manager::waiting`](crate::Manager::waiting) tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Waiter {
    /// Its ticket's [id](crate::Ticket::id).
    pub ticket: u64,
    /// What it asks for. For a guard that grows, its new size.
    pub bytes: u64,
    /// What a guard that grows holds meanwhile.
    pub held: Option<u64>,
    /// Its ticket's kind.
    pub kind: Kind,
    /// Its policy's label.
    pub policy: Arc<str>,
    /// Its ticket's name.
    pub label: Option<Arc<str>>,
    /// The [number](Group::number) of its group.
    pub group: usize,
    /// Where it was called.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::place"))]
    pub place: &'static Location<'static>,
    /// The waiting thread.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::thread"))]
    pub thread: ThreadId,
    /// That thread's name.
    pub thread_name: Option<Arc<str>>,
    /// Since when, on the manager's clock.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::instant"))]
    pub since: Instant,
    /// How long it has waited.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub waited: Duration,
    /// How many that came after it were admitted before it.
    pub overtaken: u64,
    /// How many are before it in its queue: that of its group, or under a budget the one of all groups. Guards that
    /// grow come first. Of one that is set aside: how many that are set aside came before it.
    pub position: usize,
    /// It waits for guards that no work gives back: it is in no queue, and delays no thread that works.
    pub set_aside: bool,
    /// Why it waits.
    pub why: WaitReason,
}

/// How long acquires have waited, from a histogram with a resolution of a microsecond and 1 %.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WaitTimes {
    /// How many waits ended with a guard.
    pub count: u64,
    /// Their mean.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub mean: Duration,
    /// Half of them were at most this long.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub median: Duration,
    /// 90 % were at most this long.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub p90: Duration,
    /// 99 % were at most this long.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub p99: Duration,
    /// The longest.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub longest: Duration,
    /// How many were shorter than each bound and not shorter than the one before; those with any.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::buckets"))]
    pub buckets: Vec<(Duration, u64)>,
}

/// The guards and the waiters that an [`Error`](crate::Error) tells about a demand that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Contention {
    /// Live guards that are in the way, the largest first; at most [`Contention::LISTED`]. They are the largest of at most
    /// 64 that were looked at, however many there are: those of very many threads, or of other managers, may hide one.
    pub holders: Vec<Holder>,
    /// How many live guards are in the way, listed or not.
    pub guards: usize,
    /// The first in the queue; at most [`Contention::LISTED`].
    pub queue: Vec<Waiter>,
    /// How long the queue is.
    pub waiting: usize,
    /// The label of the policy that was asked.
    pub policy: Arc<str>,
}

impl Contention {
    /// How many holders and waiters an error lists.
    pub const LISTED: usize = 5;

    /// Lists the first of `holders`, which are sorted.
    pub(crate) fn name(&mut self, mut holders: Vec<Holder>) {
        // They were seen at another moment than the guards were counted.
        self.guards = self.guards.max(holders.len());
        holders.truncate(Self::LISTED);
        holders.shrink_to_fit();
        self.holders = holders;
    }
}
