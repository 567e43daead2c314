//! Errors for people: `{}` in one line of at most 160 bytes, `{:#}` with everything.
//!
//! The short form has no locations and no lists, since paths and labels are as long as they like. Names in it are cut so
//! that the longest of everything else fits, too.

use super::cure::{NAME_IN_FULL, PolicyName, Refusal};
use super::{Error, GroupLimit, StayingGuard};
use crate::print::{Bytes, Name, Place};
use crate::snapshot::Contention;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// After how long a wait ended, in few digits.
struct Waited(Duration);

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        match self.0 {
            Duration::ZERO => f.write_str("at once"),
            long if long > YEAR => f.write_str("after over a year"),
            time => write!(f, "after {time:.1?}"),
        }
    }
}

/// The holders and waiters, at the end of what is told in full.
fn in_full(f: &mut fmt::Formatter<'_>, contention: &Contention) -> fmt::Result {
    let is_empty = contention.holders.is_empty() && contention.queue.is_empty();
    if is_empty || !f.alternate() {
        return Ok(());
    }
    write!(f, ". {contention}")
}

/// What is said of a deadlock.
fn deadlock(
    f: &mut fmt::Formatter<'_>,
    threads: usize,
    held: u64,
    location: &Location<'_>,
    contention: &Contention,
) -> fmt::Result {
    match threads {
        1 => f.write_str("this thread holds what it waits for")?,
        _ => write!(f, "{threads} threads hold what they wait for")?,
    }
    if !f.alternate() {
        return f
            .write_str("; acquire before the work is split, or spawn it and block on a channel");
    }
    let (held, location) = (Bytes(held), Place(location));
    write!(
        f,
        ", among it {held} acquired at {location}; acquire before the work is split, or hand the inner work over with \
         `spawn` and block on a channel; else release first, or acquire all at once"
    )?;
    in_full(f, contention)
}

/// What is said of a demand that does not fit beside what stays.
fn no_room(
    f: &mut fmt::Formatter<'_>,
    size: u64,
    capacity: Option<u64>,
    held: u64,
    holder: &StayingGuard,
    others: usize,
) -> fmt::Result {
    let (size, held) = (Bytes(size), Bytes(held));
    write!(f, "{size} do not fit beside {held} that stay")?;
    if let Some(capacity) = capacity {
        write!(f, ", of {}", Bytes(capacity))?;
    }
    if f.alternate() {
        holder_in_full(f, holder)?;
        if others > 0 {
            write!(f, ", and {others} more")?;
        }
    }
    f.write_str("; release one, ask for less, or wait for it with `for_holds`")
}

/// What is said of a demand that waits for one of `at_most` guards, all of them leaked.
fn no_place(f: &mut fmt::Formatter<'_>, most: u32, holder: &StayingGuard) -> fmt::Result {
    write!(
        f,
        "of the {most} guards that `at_most` allows at once all are leaked"
    )?;
    if f.alternate() {
        holder_in_full(f, holder)?;
    }
    f.write_str("; keep guards in place of leaking them, or allow more")
}

/// Which guard stays.
fn holder_in_full(f: &mut fmt::Formatter<'_>, holder: &StayingGuard) -> fmt::Result {
    let name = Name::cut(
        holder.label.as_ref().unwrap_or(&holder.policy),
        NAME_IN_FULL,
    );
    let (bytes, location) = (Bytes(holder.bytes), Place(holder.place));
    write!(f, ": {name}, {bytes}, acquired at {location}")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = f.alternate();
        // Messages of MLX, policies and hooks are told whole, or as far as there is room.
        let most = |short| if all { usize::MAX } else { short };
        match self {
            Self::Timeout {
                requested,
                in_use,
                capacity,
                waited,
                waiting,
                obstacle,
                contention,
            } => {
                let (requested, waited) = (Bytes(*requested), Waited(*waited));
                write!(f, "{requested} not admitted {waited}: ")?;
                let refusal = Refusal {
                    obstacle: *obstacle,
                    in_use: *in_use,
                    capacity: *capacity,
                    policy: &contention.policy,
                };
                refusal.at_present(f, format_args!("{waiting} more waiting"), "wait longer")?;
                in_full(f, contention)
            }
            Self::Cancelled { requested, waited } => {
                let (requested, waited) = (Bytes(*requested), Waited(*waited));
                write!(
                    f,
                    "the wait for {requested} was cancelled {waited}; nothing is held"
                )
            }
            Self::WouldBlock {
                requested,
                in_use,
                capacity,
                waiting,
                obstacle,
            } => {
                write!(f, "{} not available now: ", Bytes(*requested))?;
                let refusal = Refusal {
                    obstacle: *obstacle,
                    in_use: *in_use,
                    capacity: *capacity,
                    policy: "",
                };
                refusal.at_present(f, format_args!("{waiting} waiting"), "wait with acquire")
            }
            Self::NeverAdmissible {
                size,
                capacity,
                obstacle,
                contention,
            } => {
                let refusal = Refusal {
                    obstacle: *obstacle,
                    in_use: 0,
                    capacity: *capacity,
                    policy: &contention.policy,
                };
                refusal.for_ever(f, *size)?;
                in_full(f, contention)
            }
            Self::WouldDeadlock {
                requested,
                held,
                held_at,
                threads,
                contention,
            } => {
                write!(f, "waiting for {} never ends: ", Bytes(*requested))?;
                deadlock(f, *threads, *held, held_at, contention)
            }
            Self::NoRoom {
                size,
                capacity,
                held,
                holder,
                others,
                at_most,
            } => match at_most {
                Some(most) => no_place(f, *most, holder),
                None => no_room(f, *size, *capacity, *held, holder, *others),
            },
            Self::QueueFull { waiting } => write!(
                f,
                "{waiting} acquires wait already, the most that `max_waiting` allows; try again later"
            ),
            Self::GroupFull {
                what: GroupLimit::Bytes,
                requested,
                maximum,
            } => write!(
                f,
                "{} would take the group's sum over the {} that a group counts; check the size, or use a policy with \
                 another id",
                Bytes(*requested),
                Bytes(*maximum),
            ),
            Self::GroupFull { maximum, .. } => write!(
                f,
                "the group has {maximum} driving guards, the most it counts; share a guard between threads, or use a \
                 policy with another id"
            ),
            Self::SetLimit { limit, source } => {
                write!(f, "the wired limit could not be set to {}", Bytes(*limit))?;
                if all {
                    write!(f, ": {source}")?;
                }
                f.write_str("; the demand was withdrawn: try again or ask for less")
            }
            Self::PolicyPanicked { policy, message } => {
                let policy = PolicyName::new(policy, f);
                let message = Name::cut(message, most(56));
                write!(
                    f,
                    "{policy} panicked: {message}; the demand was withdrawn, the policy must be mended"
                )
            }
            Self::Reentrant => f.write_str(
                "called from inside a policy or backend of the same manager, where waiting would deadlock; \
                 decide from the arguments instead",
            ),
            Self::Closed => f.write_str("the manager was closed and admits nothing more; end the work, or build another"),
            Self::Forked => f.write_str(
                "in a forked child there is no manager: use it in the parent, exec, or fork before building one",
            ),
            Self::BackendInUse { resource, built_at } => {
                let resource = Name::cut(resource, most(40));
                write!(f, "another manager already owns the {resource}")?;
                if all {
                    write!(f, ": it was built at {}", Place(built_at))?;
                }
                f.write_str("; use that one, or drop it first")
            }
            Self::SharedExists => f.write_str(
                "the shared manager exists already; call init_shared before the first use of Manager::shared",
            ),
            Self::Busy { field } => write!(
                f,
                "{} can change only while no guard lives and no thread waits; try again then",
                Name::cut(field, most(40))
            ),
            Self::InvalidConfig { field, reason } => {
                write!(f, "{}: {}", Name::cut(field, most(40)), Name::cut(reason, most(100)))
            }
            Self::Release { reason } => write!(
                f,
                "before the release: {}; the guard was released all the same",
                Name::cut(reason, most(80))
            ),
        }
    }
}

#[cfg(test)]
mod tests;
