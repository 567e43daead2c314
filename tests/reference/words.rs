//! What the model is made of, and what it tells: settings, guards, waits, errors.

use crate::elastic::Shares;
use crate::policies::Rule;
use mlx_wired::Kind;
use std::time::Duration;

/// The most bytes that a group can count.
pub(crate) const GROUP_BYTES: u64 = (1 << 44) - 1;
pub(crate) const RECOMMENDED: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The device has wired memory and the limit is set.
    Wired,
    /// It could be set, and the configuration says never.
    Never,
    /// The device has no wired memory.
    Unsupported,
    /// No coordination.
    Off,
}

/// The configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) baseline_override: Option<u64>,
    /// In quarters.
    pub(crate) margin: u64,
    /// In percent.
    pub(crate) ratio: u64,
    pub(crate) threshold: Option<u64>,
    pub(crate) cooldown: Duration,
    pub(crate) linger: Duration,
    pub(crate) proceed: bool,
    pub(crate) budget: Option<u64>,
    pub(crate) overtaking: u64,
    pub(crate) elastic: Option<Shares>,
    pub(crate) patience: Duration,
}

impl Settings {
    pub(crate) fn has_wired_memory(&self) -> bool {
        self.mode != Mode::Unsupported
    }

    /// R10.
    pub(crate) fn ceiling(&self) -> u64 {
        RECOMMENDED - RECOMMENDED / 4 * self.margin
    }

    /// What a policy capped by the device may hold (R14): without wired memory the device holds as much, and the margin
    /// counts there too.
    pub(crate) fn device(&self) -> u64 {
        self.ceiling()
    }

    /// The most that MLX accepts.
    pub(crate) fn maximum(&self) -> u64 {
        if self.has_wired_memory() {
            RECOMMENDED
        } else {
            u64::MAX
        }
    }

    pub(crate) fn may_change_only_while_idle(&self, to: &Self) -> bool {
        let of = |settings: &Self| (settings.mode, settings.baseline_override);
        of(self) != of(to)
    }
}

/// A live guard, or a demand that is not covered yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Live {
    pub(crate) group: &'static str,
    pub(crate) rule: Rule,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    /// The thread that took it; for an owned one it says nothing.
    pub(crate) actor: usize,
    pub(crate) owned: bool,
    /// What it wants to be left for active demands; 0 for an active one.
    pub(crate) room: u64,
    pub(crate) evictable: bool,
    pub(crate) leaked: bool,
    /// R32: how many active guards may live with it when it is new.
    pub(crate) most: Option<u64>,
}

impl Live {
    /// Whether a new guard may not be let in beside so many active ones.
    pub(crate) fn is_one_too_many(&self, active: usize) -> bool {
        let most = self.most.filter(|_| self.kind == Kind::Active);
        most.is_some_and(|most| active as u64 >= most)
    }

    /// R26.
    pub(crate) fn is_hold(&self) -> bool {
        self.kind != Kind::Active || self.leaked
    }

    pub(crate) fn stays(&self) -> bool {
        self.is_hold() && (self.leaked || !self.evictable)
    }
}

/// What an acquire or a resize asks for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The guard's number: of the new one, or of the one to resize.
    pub(crate) guard: u64,
    /// Who asks.
    pub(crate) actor: usize,
    pub(crate) live: Live,
    /// It is to grow.
    pub(crate) grows: bool,
    /// It waits for holds, too.
    pub(crate) for_holds: bool,
}

/// How long an acquire waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Try,
    For(Duration),
    UntilCancelled,
    Endless,
}

#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    pub(crate) request: Request,
    pub(crate) patience: Patience,
    pub(crate) since: Duration,
    /// Later ones have larger numbers.
    pub(crate) arrival: u64,
    pub(crate) overtaken: u64,
    /// It is in no line: it waits for holds, or behind one that does.
    pub(crate) aside: bool,
    /// It is, because of the pressure alone.
    pub(crate) delayed: bool,
    /// When its patience with the pressure ends, once that has delayed it.
    pub(crate) delayed_until: Option<Duration>,
}

impl Waiter {
    /// A demand for a hold that does not live yet.
    pub(crate) fn is_new_hold(&self) -> bool {
        self.request.live.is_hold() && !self.request.grows
    }

    pub(crate) fn may_give_up(&self) -> bool {
        self.patience != Patience::Endless
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.patience {
            Patience::For(timeout) => Some(self.since + timeout),
            _ => None,
        }
    }
}

/// A guard as it is told to its taker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) bytes: u64,
    pub(crate) wanted: u64,
    pub(crate) epoch: u64,
    pub(crate) wired: bool,
    pub(crate) waited: Duration,
}

/// Why no guard was given, as the error tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Timeout {
        requested: u64,
        in_use: u64,
        capacity: Option<u64>,
        waited: Duration,
        waiting: usize,
    },
    Cancelled {
        requested: u64,
        waited: Duration,
    },
    WouldBlock {
        requested: u64,
        in_use: u64,
        capacity: Option<u64>,
        waiting: usize,
    },
    Never {
        size: u64,
        capacity: Option<u64>,
    },
    WouldDeadlock {
        requested: u64,
    },
    NoRoom {
        size: u64,
        capacity: Option<u64>,
        held: u64,
        /// The size of the largest hold that stays.
        largest: u64,
        others: usize,
    },
    Full {
        requested: u64,
    },
    SetLimit {
        limit: u64,
    },
    Closed,
    Other(String),
}

/// What a demand meets, as errors tell it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) in_use: u64,
    pub(crate) capacity: Option<u64>,
    pub(crate) waiting: usize,
}

impl Usage {
    pub(crate) fn would_block(self, requested: u64) -> Refusal {
        Refusal::WouldBlock {
            requested,
            in_use: self.in_use,
            capacity: self.capacity,
            waiting: self.waiting,
        }
    }

    pub(crate) fn timeout(self, requested: u64, waited: Duration) -> Refusal {
        Refusal::Timeout {
            requested,
            in_use: self.in_use,
            capacity: self.capacity,
            waited,
            waiting: self.waiting,
        }
    }
}

/// An admitted demand that the limit must cover before its taker goes on.
#[derive(Debug, Clone)]
pub(crate) struct Uncovered {
    pub(crate) guard: u64,
    pub(crate) actor: usize,
    /// What a resized guard goes back to.
    pub(crate) before: Option<Live>,
    /// The group's sizes at its admission.
    pub(crate) sizes: Vec<u64>,
    /// How long it waited for admission, if it did.
    pub(crate) waited: Option<Duration>,
    /// It was covered at its admission already.
    pub(crate) covered: bool,
    /// What its group called for then.
    pub(crate) wanted: u64,
    /// A shrinking resize: nobody waits for it.
    pub(crate) shrinks: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) clamped: u64,
    pub(crate) foreign_changes: u64,
    pub(crate) waits: u64,
    pub(crate) timeouts: u64,
    pub(crate) cancellations: u64,
    pub(crate) longest_wait: Duration,
    pub(crate) total_wait: Duration,
    /// How many of them ended with a guard.
    pub(crate) granted_waits: u64,
}
