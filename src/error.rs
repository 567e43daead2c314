//! The one error type.

use crate::ffi::BackendError;
use crate::snapshot::Contention;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// Why a guard was not given, or a setting not taken.
///
/// Every variant says what happened, how much was asked and what can be done. Sizes are bytes in the
/// fields and written for people in the message.
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
        /// How many waited in the same line when it gave up, itself not counted.
        waiting: usize,
        /// Who was in the way.
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
        /// How many wait in the same line.
        waiting: usize,
    },
    /// The policy would refuse this demand even if nothing else were live.
    NeverAdmissible {
        /// What was asked for.
        size: u64,
        /// What may be held at most, where the policy or the budget over all groups tells.
        capacity: Option<u64>,
        /// Who holds and waits at present. They do not matter: it would be refused without them too.
        contention: Box<Contention>,
    },
    /// The wait would never end: threads that wait hold what is waited for, this one among them.
    ///
    /// Acquire before entering the pool, or run the inner parallelism in a pool of its own.
    WouldDeadlock {
        /// What was asked for.
        requested: u64,
        /// The size of a guard in the circle, this thread's if it holds one.
        held: u64,
        /// Where that guard was acquired.
        held_at: &'static Location<'static>,
        /// How many threads wait in the circle, or behind it.
        threads: usize,
        /// The guards of those threads, and who waits.
        contention: Box<Contention>,
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
    /// Another manager owns this backend.
    BackendInUse {
        /// The resource that both would own.
        resource: &'static str,
        /// Where the manager that owns it was built.
        built_at: &'static Location<'static>,
    },
    /// The shared manager exists already.
    SharedExists,
    /// This setting can change only while no guard lives and nobody waits.
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
}

/// Bytes for people: in the largest unit that leaves at least 1, rounded to two digits.
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = if value.fract() == 0.0 { 0 } else { 2 };
        write!(f, "{value:.digits$} {}", UNITS[unit])
    }
}

/// "of C capacity", if it is known.
struct Capacity(Option<u64>);

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, " of {}", Bytes(bytes)),
            None => Ok(()),
        }
    }
}

/// Who is in the way, behind the rest of a message; nothing if nobody is.
struct After<'a>(&'a Contention);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.holders.is_empty() && self.0.queue.is_empty() {
            return Ok(());
        }
        write!(f, ". {}", self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout {
                requested,
                in_use,
                capacity,
                waited,
                waiting,
                contention,
            } => write!(
                f,
                "{} not admitted within {waited:.1?}: {}{} in use, {waiting} more waiting; wait longer, \
                 ask for less, or release guards that are no longer needed{}",
                Bytes(*requested),
                Bytes(*in_use),
                Capacity(*capacity),
                After(contention),
            ),
            Self::Cancelled { requested, waited } => write!(
                f,
                "the wait for {} was cancelled after {waited:.1?}",
                Bytes(*requested)
            ),
            Self::WouldBlock {
                requested,
                in_use,
                capacity,
                waiting,
            } => write!(
                f,
                "{} not available now: {}{} in use, {waiting} waiting; use acquire to wait",
                Bytes(*requested),
                Bytes(*in_use),
                Capacity(*capacity),
            ),
            Self::NeverAdmissible {
                size,
                capacity,
                contention,
            } => {
                write!(f, "{} can never be admitted", Bytes(*size))?;
                if let Some(capacity) = capacity {
                    write!(f, ": at most {} can be held", Bytes(*capacity))?;
                }
                write!(
                    f,
                    "; split the work into smaller tickets or raise the cap{}",
                    After(contention)
                )
            }
            Self::WouldDeadlock {
                requested,
                held,
                held_at,
                threads,
                contention,
            } => {
                write!(f, "waiting for {} would never end: ", Bytes(*requested))?;
                match threads {
                    1 => f.write_str("this thread holds what it waits for")?,
                    _ => write!(f, "{threads} waiting threads hold what they wait for")?,
                }
                write!(
                    f,
                    ", among it {} acquired at {held_at}; acquire before entering the pool, or run the inner \
                     parallelism in a pool of its own{}",
                    Bytes(*held),
                    After(contention),
                )
            }
            Self::GroupFull {
                what: GroupLimit::Bytes,
                requested,
                maximum,
            } => write!(
                f,
                "{} would take the group's sum over the {} that a group can count; \
                 check the size, or use a policy with another id",
                Bytes(*requested),
                Bytes(*maximum),
            ),
            Self::GroupFull { maximum, .. } => write!(
                f,
                "the group has {maximum} driving guards, the most it can count; \
                 share one guard between threads, or use a policy with another id"
            ),
            Self::SetLimit { limit, source } => write!(
                f,
                "the wired limit could not be set to {}: {source}; the demand was withdrawn",
                Bytes(*limit)
            ),
            Self::PolicyPanicked { policy, message } => {
                write!(f, "policy {policy} panicked: {message}; the demand was withdrawn")
            }
            Self::Reentrant => f.write_str(
                "called from inside a policy or backend of the same manager, where waiting would deadlock; \
                 decide from the arguments instead",
            ),
            Self::Closed => f.write_str("the manager was closed"),
            Self::BackendInUse { resource, built_at } => write!(
                f,
                "another manager, built at {built_at}, already owns the {resource}; use that one, or drop it first"
            ),
            Self::SharedExists => f.write_str(
                "the shared manager exists already; call init_shared before the first use of Manager::shared",
            ),
            Self::Busy { field } => write!(
                f,
                "{field} can change only while no guard lives and nobody waits"
            ),
            Self::InvalidConfig { field, reason } => write!(f, "{field}: {reason}"),
            Self::Release { reason } => {
                write!(f, "before the release: {reason}; the guard was released all the same")
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_people() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (3 << 30, "3 GiB"),
            (1_500_000, "1.43 MiB"),
            (u64::MAX, "16384 PiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_circle_of_one_is_not_written_as_several() {
        let circle = |threads| {
            let error = Error::WouldDeadlock {
                requested: 1 << 20,
                held: 2 << 20,
                held_at: Location::caller(),
                threads,
                contention: Box::default(),
            };
            error.to_string()
        };
        let one = circle(1);
        assert!(
            one.contains("this thread holds what it waits for, among it 2 MiB"),
            "{one}"
        );
        let two = circle(2);
        assert!(
            two.contains("2 waiting threads hold what they wait for"),
            "{two}"
        );
    }

    #[test]
    fn r18_the_refusal_names_the_capacity_only_where_it_is_known() {
        let refused = |capacity| {
            let error = Error::NeverAdmissible {
                size: 3 << 30,
                capacity,
                contention: Box::default(),
            };
            error.to_string()
        };
        assert_eq!(
            refused(Some(2 << 30)),
            "3 GiB can never be admitted: at most 2 GiB can be held; split the work into smaller tickets or \
             raise the cap"
        );
        assert!(refused(None).starts_with("3 GiB can never be admitted; split"));
    }
}
