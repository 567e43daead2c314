//! Why a demand waits.

use crate::pressure::PressureLevel;
use crate::print::Bytes;
use std::fmt;

/// Why a demand waits for admission. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum WaitReason {
    /// Others are before it in its queue.
    Line,
    /// The live guards of its group hold what it waits for.
    Work {
        /// What they hold.
        in_use: u64,
        /// What they may hold, where the policy tells.
        capacity: Option<u64>,
    },
    /// As many active guards live in its group as its policy's [`at_most`](crate::AtMost) allows.
    AtMost {
        /// How many live.
        active: u64,
        /// How many it allows at once.
        most: u32,
    },
    /// Pinned demands hold what it waits for: guards that stay, or may be evicted. Work that ends is of no use to it.
    Holds {
        /// What they hold: those of its group, or of all groups under a [budget](crate::Config::budget) over them.
        held: u64,
        /// What may be held, where the policy or that budget tells.
        capacity: Option<u64>,
    },
    /// The live guards of all groups hold what the [budget](crate::Config::budget) over them allows.
    Budget {
        /// What they hold.
        in_use: u64,
        /// The budget.
        budget: u64,
    },
    /// Memory is scarce, and its policy is one of the program's own, which may go by that: the
    /// [pressure](crate::Manager::set_pressure), from 0 to 1.
    Pressure(f64),
    /// Its policy, one of the program's own, refuses it.
    Policy,
    /// It fits, but for the [pressure](crate::Manager::set_pressure), under which [a share](crate::Config::elastic) of the cap
    /// or of the budget counts. It is admitted at the latest after [`Config::pressure_patience`](crate::Config::pressure_patience).
    Delayed {
        /// How scarce memory is.
        level: PressureLevel,
        /// What the live guards hold: those of its group, or of all groups under a budget over them.
        in_use: u64,
        /// How much of the cap or of the budget counts.
        counts: u64,
    },
}

// The one float is a pressure from 0 to 1, so equality is total.
impl Eq for WaitReason {}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Line => f.write_str("others are before it"),
            Self::Work {
                in_use,
                capacity: None,
            } => write!(f, "{} in use", Bytes(in_use)),
            Self::Work {
                in_use,
                capacity: Some(capacity),
            } => write!(f, "{} of {} in use", Bytes(in_use), Bytes(capacity)),
            Self::AtMost { active, most } => {
                write!(f, "{active} of at most {most} active guards live")
            }
            Self::Holds {
                held,
                capacity: None,
            } => write!(f, "{} held by guards that stay", Bytes(held)),
            Self::Holds {
                held,
                capacity: Some(capacity),
            } => write!(
                f,
                "{} of {} held by guards that stay",
                Bytes(held),
                Bytes(capacity)
            ),
            Self::Budget { in_use, budget } => write!(
                f,
                "{} in use of the budget of {} over all groups",
                Bytes(in_use),
                Bytes(budget)
            ),
            Self::Pressure(pressure) => {
                write!(f, "its policy refuses it at a pressure of {pressure:.2}")
            }
            Self::Policy => f.write_str("its policy refuses it"),
            Self::Delayed {
                level,
                in_use,
                counts,
            } => write!(
                f,
                "the pressure is {level}: {} in use of the {} that count",
                Bytes(in_use),
                Bytes(counts)
            ),
        }
    }
}
