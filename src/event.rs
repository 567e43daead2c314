//! Events: what the manager does, as it does it.

use crate::Snapshot;
use crate::sync::Ordering;
use crate::sync::ThreadId;
use crate::sync::unmodelled::{AtomicBool, AtomicU64, Mutex};
use arc_swap::ArcSwap;
use crossbeam::channel::{self, Receiver, Sender, TrySendError};
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
    /// The thread that acquires or releases, also where another thread admits it; else the one that does what is told.
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
    /// An acquire has waited for longer than [`Config::stall_after`](crate::Config::stall_after). Once for each wait.
    WaitStalled {
        /// How long it has waited.
        #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
        waited: Duration,
        /// The whole state then: who holds what it waits for.
        snapshot: Arc<Snapshot>,
    },
    /// A guard began to live.
    TicketStarted,
    /// A guard was released.
    TicketEnded,
    /// A live guard's size changed.
    TicketResized {
        /// What it was.
        from: u64,
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
    /// Somebody else changed the limit: MLX reported another previous value than the one set last.
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
    /// `MLX_WIRED` in the environment is neither `auto` nor `never`; it acts as `never`.
    WireModeUnrecognised(String),
    /// A model given to [`Manager::wire_max`](crate::Manager::wire_max) needs more than 90 % of the ceiling.
    ModelNearCeiling {
        /// The model's bytes.
        model: u64,
        /// The ceiling.
        ceiling: u64,
    },
}

/// Receives a manager's events.
///
/// The channel is bounded: when it is full, events are lost to this subscriber and counted.
/// Dropping the subscriber ends the subscription.
#[derive(Debug)]
pub struct Subscriber {
    receiver: Receiver<Event>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lost: AtomicU64,
    /// Cleared when the subscriber is dropped.
    open: AtomicBool,
}

impl Subscriber {
    /// Takes the next event if one is there.
    #[must_use]
    pub fn try_recv(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Waits for the next event; `None` once the manager is gone or the time is over.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        self.receiver.recv_timeout(timeout).ok()
    }

    /// Takes all events that are there.
    pub fn drain(&self) -> impl Iterator<Item = Event> + '_ {
        self.receiver.try_iter()
    }

    /// How many events this subscriber has lost because it was slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        // A statistic: it orders nothing.
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // The bus reads the flag under its own lock or before a harmless send; nothing is ordered by it.
        self.shared.open.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Tap {
    sender: Sender<Event>,
    shared: Arc<Shared>,
}

/// The manager's side: hands each event to every subscriber without waiting.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    taps: ArcSwap<Vec<Arc<Tap>>>,
    /// Serialises changes of `taps`.
    changing: Mutex<()>,
    /// Somebody has subscribed and was not seen to leave.
    watched: AtomicBool,
    sequence: AtomicU64,
}

impl Bus {
    pub(crate) fn subscribe(&self, capacity: usize) -> Subscriber {
        let (sender, receiver) = channel::bounded(capacity.max(1));
        let shared = Arc::new(Shared {
            lost: AtomicU64::new(0),
            open: AtomicBool::new(true),
        });
        let tap = Arc::new(Tap {
            sender,
            shared: shared.clone(),
        });
        let _changing = self.changing.lock();
        let mut taps = self.open_taps();
        taps.push(tap);
        self.taps.store(Arc::new(taps));
        self.watched.store(true, Ordering::Relaxed);
        Subscriber { receiver, shared }
    }

    fn open_taps(&self) -> Vec<Arc<Tap>> {
        let taps = self.taps.load();
        taps.iter()
            .filter(|tap| tap.shared.open.load(Ordering::Relaxed))
            .cloned()
            .collect()
    }

    /// Whether anybody listens; forgets subscribers that are gone.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        // Relaxed: who subscribes under the manager's lock is seen by whoever takes it afterwards.
        self.watched.load(Ordering::Relaxed) && self.has_subscribers()
    }

    #[cold]
    fn has_subscribers(&self) -> bool {
        let gone = |tap: &Arc<Tap>| !tap.shared.open.load(Ordering::Relaxed);
        if self.taps.load().iter().any(gone) {
            let _changing = self.changing.lock();
            let taps = self.open_taps();
            self.watched.store(!taps.is_empty(), Ordering::Relaxed);
            self.taps.store(Arc::new(taps));
        }
        self.watched.load(Ordering::Relaxed)
    }

    /// Delivers `event`, which gets the next sequence number. Callers serialise themselves.
    pub(crate) fn emit(&self, mut event: Event) {
        event.sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        for tap in self.taps.load().iter() {
            if let Err(TrySendError::Full(_)) = tap.sender.try_send(event.clone()) {
                tap.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
