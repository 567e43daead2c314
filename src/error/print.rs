//! Errors for people: `{}` in one line of at most 160 bytes, `{:#}` with everything.
//!
//! The short form has no places and no lists, since paths and labels are as long as they like. Names in it are cut so
//! that the longest of everything else fits, too.

use super::{Error, GroupLimit, Obstacle};
use crate::names::{Name, Place};
use crate::snapshot::Contention;
use std::fmt;
use std::time::Duration;

/// How many bytes of a name are printed in the short form.
const SHORT: usize = 24;
/// The same where everything is told.
const LONG: usize = 80;

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

/// A policy, by its label where it is known.
struct PolicyName<'a>(&'a str, usize);

impl fmt::Display for PolicyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("its policy");
        }
        write!(f, "policy {}", Name::cut(self.0, self.1))
    }
}

/// What is in a demand's way, and how much of it is taken.
struct Way<'a> {
    obstacle: Obstacle,
    in_use: u64,
    capacity: Option<u64>,
    policy: &'a str,
    /// What to do about it first of all.
    first: &'static str,
}

/// So many bytes, and what allows no more.
struct Bound {
    bytes: u64,
    before: &'static str,
    after: &'static str,
}

impl Bound {
    /// None of what refuses for a reason that is no number of bytes.
    fn new(obstacle: Obstacle, capacity: Option<u64>) -> Option<Self> {
        let (before, after) = match obstacle {
            Obstacle::Cap => ("the ", " its policy allows"),
            Obstacle::Device { .. } => ("the ", " the device leaves"),
            Obstacle::Margin => ("the ", " the margin leaves"),
            Obstacle::Reserve => ("the ", " the reserve leaves"),
            Obstacle::Budget => ("the budget of ", ""),
            _ => return None,
        };
        let bytes = capacity?;
        Some(Self {
            bytes,
            before,
            after,
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bytes,
            before,
            after,
        } = self;
        write!(f, "{before}{}{after}", Bytes(*bytes))
    }
}

impl Way<'_> {
    /// What is the matter with a demand that could be admitted at another time.
    fn state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = f.alternate();
        if let Some(bound) = Bound::new(self.obstacle, self.capacity) {
            return write!(f, "{} of {bound} in use", Bytes(self.in_use));
        }
        let name = PolicyName(self.policy, if all { LONG } else { SHORT });
        match self.obstacle {
            Obstacle::Line => f.write_str("others are in line before it")?,
            Obstacle::Setter => f.write_str("another thread is setting the limit")?,
            Obstacle::Pressure { percent } => {
                write!(f, "{name} refuses it at a pressure of {percent} %")?;
            }
            _ => write!(f, "{name} refuses it")?,
        }
        if all {
            write!(f, ", {}", Bytes(self.in_use))?;
            if let Some(capacity) = self.capacity {
                write!(f, " of {}", Bytes(capacity))?;
            }
            f.write_str(" in use")?;
        }
        Ok(())
    }

    /// What to do about it.
    fn cure(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = f.alternate();
        let first = match self.obstacle {
            Obstacle::Pressure { .. } => "wait until it falls",
            _ => self.first,
        };
        let takes_bytes = !matches!(self.obstacle, Obstacle::Line | Obstacle::Setter);
        let held = takes_bytes && self.in_use > 0;
        let cures = [
            Some(first),
            (takes_bytes && (all || !held)).then_some("ask for less"),
            held.then_some("release guards"),
            change(self.obstacle),
        ];
        alternatives(f, &cures)?;
        if all {
            sysctl(f, self.obstacle)?;
        }
        Ok(())
    }
}

/// What the program may change so that more is admitted.
fn change(obstacle: Obstacle) -> Option<&'static str> {
    Some(match obstacle {
        Obstacle::Cap => "raise the cap",
        Obstacle::Margin => "lower the margin",
        Obstacle::Reserve => "lower the reserve",
        Obstacle::Budget => "raise the budget",
        Obstacle::Line => "allow overtaking",
        _ => return None,
    })
}

/// Writes "a, b or c", of those that there are.
fn alternatives(f: &mut fmt::Formatter<'_>, all: &[Option<&str>]) -> fmt::Result {
    let count = all.iter().flatten().count();
    for (n, one) in all.iter().flatten().enumerate() {
        let separator = match n {
            0 => "",
            n if n + 1 == count => " or ",
            _ => ", ",
        };
        write!(f, "{separator}{one}")?;
    }
    Ok(())
}

/// How the device is made to allow more, where it can be.
fn sysctl(f: &mut fmt::Formatter<'_>, obstacle: Obstacle) -> fmt::Result {
    match obstacle {
        Obstacle::Device {
            wired_limit_mb: Some(mib),
        } => write!(
            f,
            ", or run `sudo sysctl iogpu.wired_limit_mb={mib}` and start again"
        ),
        _ => Ok(()),
    }
}

/// Who is in the way, behind the rest of a message; nothing if nobody is.
fn in_the_way(f: &mut fmt::Formatter<'_>, contention: &Contention) -> fmt::Result {
    if contention.holders.is_empty() && contention.queue.is_empty() {
        return Ok(());
    }
    write!(f, ". {contention}")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = f.alternate();
        // Messages of others are told whole, or as far as there is room.
        let most = |short| if all { usize::MAX } else { short };
        let long_name = if all { LONG } else { SHORT };
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
                let way = Way {
                    obstacle: *obstacle,
                    in_use: *in_use,
                    capacity: *capacity,
                    policy: &contention.policy,
                    first: "wait longer",
                };
                let (requested, waited) = (Bytes(*requested), Waited(*waited));
                write!(f, "{requested} not admitted {waited}: ")?;
                way.state(f)?;
                if all {
                    write!(f, ", {waiting} more waiting")?;
                }
                f.write_str("; ")?;
                way.cure(f)?;
                if all {
                    in_the_way(f, contention)?;
                }
                Ok(())
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
                let way = Way {
                    obstacle: *obstacle,
                    in_use: *in_use,
                    capacity: *capacity,
                    policy: "",
                    first: "wait with acquire",
                };
                write!(f, "{} not available now: ", Bytes(*requested))?;
                way.state(f)?;
                if all {
                    write!(f, ", {waiting} waiting")?;
                }
                f.write_str("; ")?;
                way.cure(f)
            }
            Self::NeverAdmissible {
                size,
                capacity,
                obstacle,
                contention,
            } => {
                let (size, policy) = (Bytes(*size), &contention.policy);
                if let Some(bound) = Bound::new(*obstacle, *capacity) {
                    write!(f, "{size} never fits into {bound}; ")?;
                    alternatives(f, &[Some("split the work"), change(*obstacle)])?;
                    sysctl(f, *obstacle)?;
                } else {
                    let name = PolicyName(policy, long_name);
                    write!(f, "{name} never admits {size}, not even alone; split the work")?;
                }
                if all {
                    in_the_way(f, contention)?;
                }
                Ok(())
            }
            Self::WouldDeadlock {
                requested,
                held,
                held_at,
                threads,
                contention,
            } => {
                write!(f, "waiting for {} never ends: ", Bytes(*requested))?;
                match threads {
                    1 => f.write_str("this thread holds what it waits for")?,
                    _ => write!(f, "{threads} threads hold what they wait for")?,
                }
                if !all {
                    return f.write_str(
                        "; acquire before the work is split, or spawn it and block on a channel",
                    );
                }
                let (held, place) = (Bytes(*held), Place(held_at));
                write!(
                    f,
                    ", among it {held} acquired at {place}; acquire before the work is split, or hand the inner \
                     work over with `spawn` and block on a channel"
                )?;
                in_the_way(f, contention)
            }
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
                let policy = PolicyName(policy, long_name);
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
            Self::Closed => f.write_str("the manager was closed and admits nothing more"),
            Self::BackendInUse { resource } => write!(
                f,
                "another manager already owns the {}; use Manager::shared, or drop the other first",
                Name::cut(resource, most(40))
            ),
            Self::SharedExists => f.write_str(
                "the shared manager exists already; call init_shared before the first use of Manager::shared",
            ),
            Self::Busy { field } => write!(
                f,
                "{} can change only while no guard lives and nobody waits; try again then",
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
