//! What is in the way of a demand, and what to do about it, in words.

use super::Obstacle;
use crate::print::{Bytes, Name};
use std::fmt;

/// How many bytes of a name are printed in the short form.
pub(super) const NAME_IN_SHORT: usize = 24;
/// The same where everything is told.
pub(super) const NAME_IN_FULL: usize = 80;

/// A demand that was refused: what is in its way, and how much of what there is is taken.
pub(super) struct Refusal<'a> {
    pub(super) obstacle: Obstacle,
    pub(super) in_use: u64,
    pub(super) capacity: Option<u64>,
    /// The policy's label, empty if it is not known.
    pub(super) policy: &'a str,
}

impl Refusal<'_> {
    /// Why a demand is not admitted at present, how many wait, and what to do: first of all `first`.
    pub(super) fn at_present(
        &self,
        f: &mut fmt::Formatter<'_>,
        waiting: fmt::Arguments<'_>,
        first: &str,
    ) -> fmt::Result {
        self.state(f)?;
        if f.alternate() {
            write!(f, ", {waiting}")?;
        }
        f.write_str("; ")?;
        self.cures(f, first)
    }

    /// Why a demand of `size` is never admitted, and what to do.
    pub(super) fn for_ever(&self, f: &mut fmt::Formatter<'_>, size: u64) -> fmt::Result {
        let size = Bytes(size);
        let Some(bound) = self.bound() else {
            let name = self.policy_name(f);
            return write!(
                f,
                "{name} never admits {size}, not even alone; split the work"
            );
        };
        write!(f, "{size} never fits into {bound}; ")?;
        alternatives(f, &[Some("split the work"), self.change()])?;
        self.sysctl(f)
    }

    fn state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bound) = self.bound() {
            return write!(f, "{} of {bound} in use", Bytes(self.in_use));
        }
        let name = self.policy_name(f);
        match self.obstacle {
            Obstacle::Promised => f.write_str("what it would leave is promised to others")?,
            Obstacle::AtMost { most } => {
                write!(f, "as many guards live as `at_most({most})` allows at once")?;
            }
            Obstacle::Line => f.write_str("others are in the queue before it")?,
            Obstacle::Setter => f.write_str("another thread is setting the limit")?,
            Obstacle::Pressure { percent } => {
                write!(f, "{name} refuses it at a pressure of {percent} %")?;
            }
            Obstacle::Elastic { level, percent } => {
                write!(f, "the pressure is {level}, {percent} % of its cap count")?;
            }
            _ => write!(f, "{name} refuses it")?,
        }
        if !f.alternate() {
            return Ok(());
        }
        write!(f, ", {}", Bytes(self.in_use))?;
        if let Some(capacity) = self.capacity {
            write!(f, " of {}", Bytes(capacity))?;
        }
        f.write_str(" in use")
    }

    fn cures(&self, f: &mut fmt::Formatter<'_>, first: &str) -> fmt::Result {
        let all = f.alternate();
        let first = match self.obstacle {
            Obstacle::Pressure { .. } | Obstacle::Elastic { .. } => "wait until it falls",
            _ => first,
        };
        let lacks_place = matches!(self.obstacle, Obstacle::AtMost { .. });
        let passes = matches!(self.obstacle, Obstacle::Line | Obstacle::Setter);
        let lacks_bytes = !lacks_place && !passes;
        let held = lacks_place || (lacks_bytes && self.in_use > 0);
        let cures = [
            Some(first),
            (lacks_bytes && (all || !held)).then_some("ask for less"),
            held.then_some("release guards"),
            self.change(),
        ];
        alternatives(f, &cures)?;
        if all {
            self.sysctl(f)?;
        }
        Ok(())
    }

    /// What allows only so many bytes; none of what refuses for another reason.
    fn bound(&self) -> Option<Bound> {
        let (before, after) = match self.obstacle {
            Obstacle::Cap => ("the ", " its policy allows"),
            Obstacle::Device { .. } => ("the ", " the device leaves"),
            Obstacle::Margin => ("the ", " the margin leaves"),
            Obstacle::Reserve => ("the ", " the reserve leaves"),
            Obstacle::Budget => ("the budget of ", ""),
            _ => return None,
        };
        let bytes = self.capacity?;
        Some(Bound {
            bytes,
            before,
            after,
        })
    }

    /// What the program may change so that more is admitted.
    fn change(&self) -> Option<&'static str> {
        Some(match self.obstacle {
            Obstacle::Cap => "raise the cap",
            Obstacle::Margin => "lower the margin",
            Obstacle::Reserve => "lower the reserve",
            Obstacle::Budget => "raise the budget",
            Obstacle::AtMost { .. } => "allow more",
            Obstacle::Line => "allow overtaking",
            _ => return None,
        })
    }

    /// How the device is made to allow more, where it can be.
    fn sysctl(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.obstacle {
            Obstacle::Device {
                wired_limit_mb: Some(mib),
            } => write!(
                f,
                ", or run `sudo sysctl iogpu.wired_limit_mb={mib}` and start again"
            ),
            _ => Ok(()),
        }
    }

    fn policy_name(&self, f: &fmt::Formatter<'_>) -> PolicyName<'_> {
        PolicyName::new(self.policy, f)
    }
}

/// A policy, by its label where it is known.
pub(super) struct PolicyName<'a> {
    label: &'a str,
    most: usize,
}

impl<'a> PolicyName<'a> {
    /// As long as there is room for in this form.
    pub(super) fn new(label: &'a str, f: &fmt::Formatter<'_>) -> Self {
        let most = if f.alternate() {
            NAME_IN_FULL
        } else {
            NAME_IN_SHORT
        };
        Self { label, most }
    }
}

impl fmt::Display for PolicyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.label.is_empty() {
            return f.write_str("its policy");
        }
        write!(f, "policy {}", Name::cut(self.label, self.most))
    }
}

/// So many bytes, and what allows no more.
struct Bound {
    bytes: u64,
    before: &'static str,
    after: &'static str,
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
