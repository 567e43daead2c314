//! Events: what the manager does, as it does it.

mod bus;
mod journal;
mod subscriber;

pub(crate) use bus::Bus;
pub(crate) use journal::{Journal, Moment};
pub(crate) use subscriber::JournalOwner;
pub use subscriber::Subscriber;

use crate::pressure::PressureLevel;
use crate::snapshot::{Holder, WaitReason};
use crate::sync::ThreadId;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One thing that happened in a [`Manager`](crate::Manager). Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Event {
    /// Counts the manager's events, from 0.
    pub sequence: u64,
    /// When, on the manager's clock.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::instant"))]
    pub time: Instant,
    /// What happened.
    pub kind: EventKind,
    /// The ticket's [id](crate::Ticket::id), if one ticket is concerned.
    pub ticket: Option<u64>,
    /// Its size.
    pub size: Option<u64>,
    /// Its policy's label.
    pub policy: Option<Arc<str>>,
    /// Its name.
    pub label: Option<Arc<str>>,
    /// Where it is acquired or resized, if the event is of an acquire or a resize.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::place::optional"))]
    pub place: Option<&'static Location<'static>>,
    /// The thread that acquires or releases, also where another thread admits its demand or takes it back. In other events the
    /// thread that does what is told.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::thread"))]
    pub thread: ThreadId,
    /// That thread's name.
    pub thread_name: Option<Arc<str>>,
    /// The baseline that counts at that moment.
    pub baseline: u64,
    /// The limit that the live guards call for, before any clamp.
    pub desired: Option<u64>,
    /// The limit then in force, if the event is about the limit or the baseline.
    pub applied: Option<u64>,
    /// Live guards of every kind.
    pub live: u64,
    /// Waiting acquires; [`EventKind::AdmissionWait`] does not count its own yet.
    pub waiters: u64,
}

/// What an [`Event`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum EventKind {
    /// An epoch began with this baseline; again when MLX's own answer differs.
    BaselineCaptured,
    /// An acquire began to wait for admission.
    AdmissionWait,
    /// A demand was admitted.
    AdmissionGranted,
    /// A waiting acquire was cancelled.
    AdmissionCancelled,
    /// A waiting acquire's deadline came.
    AdmissionTimedOut,
    /// A waiting acquire ended with another error, since the manager was closed, a policy panicked or a deadlock of
    /// waits had to be broken; carries the error's message.
    AdmissionFailed(String),
    /// A queue has admitted no waiter for longer than [`Config::stall_after`](crate::Config::stall_after), or than
    /// twice that time, four times, and so on. The event is the queue's first waiter's: it says what waits, where, and
    /// on which thread.
    WaitStalled {
        /// How long that waiter has waited.
        #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
        waited: Duration,
        /// How long the queue has admitted no waiter.
        #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
        stood: Duration,
        /// How many wait behind it.
        behind: u64,
        /// Why it waits.
        why: WaitReason,
        /// The largest guard in its way, of those that were looked at: in its group, or under a budget in all groups.
        largest: Option<Arc<Holder>>,
    },
    /// A [reclaimer](crate::Manager::on_shortage) panicked; carries its message.
    ReclaimerPanicked(String),
    /// Threads wait for what they hold themselves, and some of their waits have a deadline or a token, so none fails; carries
    /// the threads.
    CircleWithDeadline {
        /// Their names, or numbers.
        threads: Vec<String>,
    },
    /// A guard began to live.
    TicketStarted,
    /// A guard was released. Or an admitted demand was taken back before it had a guard, since the limit could not be raised,
    /// or not without waiting.
    TicketEnded,
    /// A live guard's size changed. It has another ticket from then on: the event's.
    TicketResized {
        /// What its size was.
        from: u64,
        /// The number of the ticket that it had.
        from_ticket: u64,
    },
    /// The limit that the live guards call for was computed.
    LimitComputed,
    /// The limit was set.
    LimitApplied,
    /// The limit could not be set; carries the message.
    LimitApplyFailed(String),
    /// The epoch ended and the baseline was set back.
    BaselineRestored,
    /// More was called for than the ceiling allows; the limit was set to the ceiling. On a Mac the
    /// system's own bound is raised with `sudo sysctl iogpu.wired_limit_mb=N`.
    LimitClamped {
        /// The ceiling.
        ceiling: u64,
    },
    /// What a policy capped by the device may hold has changed, by new settings or by a new measurement of a device without
    /// wired memory; see [`Manager::budget`](crate::Manager::budget).
    BudgetChanged {
        /// What it was; `None` if nothing was known.
        from: Option<u64>,
        /// What it is.
        to: Option<u64>,
    },
    /// The level of the [pressure](crate::Manager::set_pressure) has changed, and with it what counts of
    /// [elastic](crate::Config::elastic) caps.
    PressureChanged {
        /// What it was.
        from: PressureLevel,
        /// What it is.
        to: PressureLevel,
    },
    /// Other code changed the limit: MLX reported another previous value than the one set last.
    ForeignLimit {
        /// The value set last.
        expected: u64,
        /// The value found.
        found: u64,
    },
    /// A policy panicked; carries its message.
    PolicyPanicked(String),
    /// A synchronisation or hook before a release failed; carries the reason.
    ReleaseFailed(String),
    /// A release should have synchronised first and did not, since no error handler that returns is known to be in place
    /// ([`Backend::synchronizes`](crate::ffi::Backend::synchronizes)). Once for each manager, to its subscribers at that time.
    SynchronizationSkipped,
    /// `MLX_WIRED` in the environment is neither `auto` nor `never`; it acts as `never`.
    WireModeUnrecognised(String),
    /// The live bytes of all groups together have passed the ceiling: not all of them can be wired. Told once, and again
    /// only after they fell to the ceiling or below.
    LiveAboveCeiling {
        /// The live bytes.
        bytes: u64,
        /// The ceiling.
        ceiling: u64,
    },
    /// A resident guard, or a model given to [`Manager::wire_max`](crate::Manager::wire_max), needs more than 90 % of the
    /// ceiling: told at its admission, and as it grows to that.
    ModelNearCeiling {
        /// The model's bytes.
        model: u64,
        /// The ceiling.
        ceiling: u64,
    },
}
