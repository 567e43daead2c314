//! What is in the way of a demand.

use crate::pressure::PressureLevel;

/// What is in the way of a demand that was not admitted, and so what the cure is.
///
/// Errors carry it as data, for programs that act on it: a trainer halves its batch where the device bounds, a server
/// tries again where others are in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Obstacle {
    /// The cap that the program has given its policy.
    Cap,
    /// What the device allows: on Metal the recommended working set, elsewhere its
    /// [budget](crate::Manager::budget).
    Device {
        /// The `N` of `sudo sysctl iogpu.wired_limit_mb=N`, in MiB, after which the demand would fit. The program must
        /// be started again for it to count. Only on a Mac, and only where that leaves the system a part of the memory.
        wired_limit_mb: Option<u32>,
    },
    /// What [`Config::margin`](crate::Config::margin) keeps of what the device allows.
    Margin,
    /// What [`Config::reserve`](crate::Config::reserve) keeps of the memory.
    Reserve,
    /// The budget over all groups, [`Config::budget`](crate::Config::budget).
    Budget,
    /// A policy of the program's own refused while [pressure](crate::Manager::set_pressure) was reported, which it may
    /// go by.
    Pressure {
        /// The pressure then, in percent.
        percent: u8,
    },
    /// A policy of the program's own refused.
    Policy,
    /// There is room, but for the [pressure](crate::Manager::set_pressure), under which
    /// [a share](crate::Config::elastic) of the cap or of the budget counts.
    Elastic {
        /// How scarce memory is.
        level: PressureLevel,
        /// How much counts, in percent.
        percent: u8,
    },
    /// A demand for a guard that stays or may be evicted fits by its size, but not with what is promised: the
    /// [room](crate::Ticket::room_for) of one that lives, or a place to an earlier demand for one that waits.
    Promised,
    /// As many active guards live in its group as its policy's [`at_most`](crate::AtMost) allows.
    AtMost {
        /// How many it allows at once.
        most: u32,
    },
    /// There is room, and others that came before are in the queue.
    Line,
    /// There is room, and another thread is setting the limit, which is not waited for.
    Setter,
}
