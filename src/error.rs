//! The one error type.

mod cure;
mod obstacle;
mod print;

pub use obstacle::Obstacle;

use crate::backend::BackendError;
use crate::kind::Kind;
use crate::snapshot::Contention;
use crate::sync::Arc;
use std::panic::Location;
use std::time::Duration;

/// Why a guard was not given, or a setting not taken.
///
/// The fields are for programs, with sizes in bytes. The text is for people, and says what happened and what to do:
///
/// * `{}` is one line of at most 160 bytes.
/// * `{:#}` is everything: the guards and where they were acquired, the waiters, and the whole message of MLX, a policy or
///   a hook.
///
/// Names that the program gave (labels, policies, threads) and messages are printed escaped, and names are cut: a line
/// break in a label is no line break in a log.
///
/// # What a server answers
///
/// | error | answer | why |
/// | --- | --- | --- |
/// | [`is_never`](Self::is_never) | 413 Content Too Large | the same demand is refused each time |
/// | [`is_cancelled`](Self::is_cancelled) | 499 (client closed request) | no client waits for the answer |
/// | [`is_timeout`](Self::is_timeout) | 504 Gateway Timeout | the deadline came first; the same may succeed later |
/// | [`is_retryable`](Self::is_retryable) | 503 Service Unavailable, with `Retry-After` | the same may succeed in a moment |
/// | any other | 500 Internal Server Error | the program or a policy has to be changed |
///
/// ```
/// use mlx_wired::{Error, Manager, SumPolicy};
///
/// fn status(error: &Error) -> u16 {
///     match error {
///         error if error.is_never() => 413,
///         error if error.is_cancelled() => 499,
///         error if error.is_timeout() => 504, // it is retryable, too
///         error if error.is_retryable() => 503,
///         _ => 500,
///     }
/// }
///
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(1 << 30);
/// let _held = manager.ticket(&policy, 1 << 30).acquire_owned()?;
/// let answer = |bytes| manager.ticket(&policy, bytes).try_acquire().err().map(|error| status(&error));
/// assert_eq!(answer(1), Some(503));
/// assert_eq!(answer(2 << 30), Some(413));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The deadline came before admission. Nothing is held, nothing is left in the queue.
    Timeout {
        /// What was asked for.
        requested: u64,
        /// What the group's live guards hold, or those of all groups if the budget over them leaves less.
        in_use: u64,
        /// What may be held there, where the policy tells.
        capacity: Option<u64>,
        /// How long it waited.
        waited: Duration,
        /// How many waited in the same queue when it gave up, itself not counted.
        waiting: usize,
        /// What was in the way.
        obstacle: Obstacle,
        /// The guards and the waiters in the way.
        contention: Box<Contention>,
    },
    /// The [`CancelToken`](crate::CancelToken) was cancelled before admission.
    Cancelled {
        /// What was asked for.
        requested: u64,
        /// How long it waited.
        waited: Duration,
    },
    /// `try_acquire` would have had to wait.
    WouldBlock {
        /// What was asked for.
        requested: u64,
        /// What the group's live guards hold, or those of all groups if the budget over them leaves less.
        in_use: u64,
        /// What may be held there, where the policy tells.
        capacity: Option<u64>,
        /// How many wait in the same queue.
        waiting: usize,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// The policy would refuse this demand even if nothing else were live.
    NeverAdmissible {
        /// What was asked for.
        size: u64,
        /// What may be held at most, where the policy or the budget over all groups tells.
        capacity: Option<u64>,
        /// What refuses it.
        obstacle: Obstacle,
        /// The guards and the waiters at present. They do not matter: it would be refused without them too.
        contention: Box<Contention>,
    },
    /// The wait would never end: threads that wait hold what is waited for, this one among them.
    ///
    /// In a pool: acquire before the work is split, on the thread that hands it to the pool; or, with a guard held,
    /// hand the inner work over with `spawn` and block on a channel until it is done. The crate's page says
    /// [why](crate#deadlocks).
    WouldDeadlock {
        /// What was asked for.
        requested: u64,
        /// The size of a guard in the deadlock, this thread's if it holds one.
        held: u64,
        /// Where that guard was acquired.
        held_at: &'static Location<'static>,
        /// How many threads wait in the deadlock, or behind it.
        threads: usize,
        /// The guards of those threads, and the waiters.
        contention: Box<Contention>,
    },
    /// The demand does not fit beside pinned demands: guards that stay, since no work gives them back. Waiting for work
    /// would gain nothing.
    ///
    /// Make the ticket of the pinned demand with [`room_for`](crate::Ticket::room_for) a step, so that what cannot fit
    /// is refused before training begins; or wait for the pinned demand itself with
    /// [`Wait::for_holds`](crate::Wait::for_holds).
    NoRoom {
        /// What was asked for; of a growing guard, its new size.
        size: u64,
        /// What may be held, where the policy or the budget over all groups tells.
        capacity: Option<u64>,
        /// What the guards that stay hold together: those of the group, or of all groups if the budget over them is in the
        /// way.
        held: u64,
        /// The largest of them.
        holder: Arc<StayingGuard>,
        /// How many more stay.
        others: usize,
        /// The number of its policy's [`at_most`](crate::AtMost), if it is not bytes that lack: so many active guards, or
        /// more, are leaked, and the largest of them is the holder.
        at_most: Option<u32>,
    },
    /// As many acquires wait as [`Config::max_waiting`](crate::Config::max_waiting) allows.
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// A group cannot count this demand.
    GroupFull {
        /// Which count would overflow.
        what: GroupLimit,
        /// What was asked for.
        requested: u64,
        /// The most that a group counts: bytes or guards.
        maximum: u64,
    },
    /// MLX refused the limit that this demand needs. The demand was withdrawn.
    SetLimit {
        /// The limit that was asked for.
        limit: u64,
        /// The failed call.
        source: BackendError,
    },
    /// A method of the policy panicked.
    PolicyPanicked {
        /// The policy's label.
        policy: String,
        /// The panic's message.
        message: String,
    },
    /// A policy or backend called back into the manager that is calling it.
    Reentrant,
    /// The manager was closed.
    Closed,
    /// This process was forked from one that had built a manager, which is that process's own. A child may `exec`; or
    /// fork before the first manager is built.
    Forked,
    /// Another manager owns this backend.
    BackendInUse {
        /// The resource that both would own.
        resource: &'static str,
        /// Where the manager that owns it was built.
        built_at: &'static Location<'static>,
    },
    /// The shared manager exists already.
    SharedExists,
    /// This setting can change only while no guard lives and no thread waits.
    Busy {
        /// The configuration's field.
        field: &'static str,
    },
    /// A value is out of its range.
    InvalidConfig {
        /// The configuration's field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A synchronisation or hook that should run before a release failed; the guard was released.
    Release {
        /// What failed.
        reason: String,
    },
}

/// A live guard that stays until its program releases it: a reservation, a resident or a leaked guard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StayingGuard {
    /// Its size.
    pub bytes: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its ticket's name.
    pub label: Option<Arc<str>>,
    /// Its policy's label.
    pub policy: Arc<str>,
    /// Where it was acquired.
    pub place: &'static Location<'static>,
    /// Whether it was [leaked](crate::Guard::leak), so that it stays for the process's life.
    pub leaked: bool,
}

impl StayingGuard {
    /// Whether it is an active guard that was leaked.
    pub(crate) fn is_leaked_active(&self) -> bool {
        self.leaked && self.kind == Kind::Active
    }
}

/// What a group counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupLimit {
    /// The sum of its live sizes.
    Bytes,
    /// Its driving guards.
    DrivingGuards,
}

impl Error {
    /// Whether the same call may succeed later, with nothing changed in the program: [`Timeout`](Self::Timeout),
    /// [`WouldBlock`](Self::WouldBlock), [`NoRoom`](Self::NoRoom), [`QueueFull`](Self::QueueFull) and
    /// [`SetLimit`](Self::SetLimit).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::WouldBlock { .. }
                | Self::NoRoom { .. }
                | Self::QueueFull { .. }
                | Self::SetLimit { .. }
        )
    }

    /// Whether the demand is too large to be admitted ever: [`NeverAdmissible`](Self::NeverAdmissible), and
    /// [`GroupFull`](Self::GroupFull) of bytes.
    #[must_use]
    pub fn is_never(&self) -> bool {
        matches!(
            self,
            Self::NeverAdmissible { .. }
                | Self::GroupFull {
                    what: GroupLimit::Bytes,
                    ..
                }
        )
    }

    /// Whether this is [`Error::Cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Whether this is [`Error::Timeout`].
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether this is [`Error::WouldBlock`].
    #[must_use]
    pub fn is_would_block(&self) -> bool {
        matches!(self, Self::WouldBlock { .. })
    }

    /// What is in the way, where the error is about a demand that something else keeps out.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Timeout { obstacle, .. }
            | Self::WouldBlock { obstacle, .. }
            | Self::NeverAdmissible { obstacle, .. } => Some(*obstacle),
            _ => None,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::SetLimit { source, .. } => Some(source),
            _ => None,
        }
    }
}

// It travels through every acquire's result.
static_assertions::const_assert!(size_of::<Error>() <= 88);
static_assertions::const_assert!(size_of::<Obstacle>() <= 8);
