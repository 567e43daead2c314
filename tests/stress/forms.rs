//! The groups that the threads use: how each is acquired from, and what its live guards call for.

use super::custom::Custom;
use super::plan::Plan;
use mlx_wired::{
    BudgetPolicy, FixedPolicy, Kind, Manager, MaxPolicy, PeakPolicy, PolicyId, SumPolicy, Ticket,
};

/// The sizes that guards have.
pub(crate) const SIZES: [u64; 8] = [0, 1, 10, 25, 30, 50, 60, 100];
pub(crate) const KINDS: [Kind; 3] = [Kind::Active, Kind::Reservation, Kind::Resident];

/// How many live guards there are of each of [`SIZES`].
pub(crate) type Counts = [u64; SIZES.len()];

pub(crate) fn bytes(counts: &Counts) -> u64 {
    counts
        .iter()
        .zip(SIZES)
        .map(|(count, size)| count * size)
        .sum()
}

/// A group's policy.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    Uncapped,
    Capped(u64),
    /// Capped by the device: by the ceiling, which the settings may change between these.
    Device {
        least: u64,
        most: u64,
    },
    Max,
    Peak,
    Fixed(u64),
    Budget {
        base: u64,
        cap: u64,
    },
    /// At most what [`Custom`] says, which changes, but never more than [`Custom::CAP`].
    Custom(Custom),
    /// Tickets with a cap and tickets without one, in one group. It is what the capped ones see.
    Mixed {
        id: PolicyId,
        cap: u64,
    },
}

impl Form {
    /// A ticket; one of a mixed group is capped or not, as `turn` says.
    pub(crate) fn ticket(&self, manager: &Manager, bytes: u64, kind: Kind, turn: bool) -> Ticket {
        let ticket = match self {
            Self::Uncapped => manager.ticket(&SumPolicy::uncapped(), bytes),
            Self::Capped(cap) => manager.ticket(&SumPolicy::capped(*cap), bytes),
            Self::Device { .. } => manager.ticket(&SumPolicy::new(), bytes),
            Self::Max => manager.ticket(&MaxPolicy::new(), bytes),
            Self::Peak => manager.ticket(&PeakPolicy, bytes),
            Self::Fixed(limit) => manager.ticket(&FixedPolicy::new(*limit), bytes),
            Self::Budget { base, cap } => {
                let id = PolicyId::named("stress budget");
                let policy = BudgetPolicy::new(*base).with_cap(*cap).with_id(id);
                manager.ticket(&policy, bytes)
            }
            Self::Custom(custom) => manager.ticket(custom, bytes),
            Self::Mixed { id, cap } => {
                let policy = match turn {
                    true => SumPolicy::capped(*cap),
                    false => SumPolicy::uncapped(),
                };
                manager.ticket(&policy.with_id(id.clone()), bytes)
            }
        };
        match kind {
            Kind::Reservation => ticket.reservation(),
            Kind::Resident => ticket.resident(),
            _ => ticket,
        }
    }

    /// The most that its live guards may be together, whatever the settings.
    pub(crate) fn most(&self) -> Option<u64> {
        match self {
            Self::Capped(cap) => Some(*cap),
            Self::Device { most, .. } => Some(*most),
            Self::Budget { base, cap } => Some(cap - base),
            Self::Custom(_) => Some(Custom::CAP),
            _ => None,
        }
    }

    /// What is admitted in an empty group, whatever the settings; more may never be.
    pub(crate) fn always(&self) -> u64 {
        match self {
            Self::Device { least, .. } => *least,
            Self::Mixed { cap, .. } => *cap,
            _ => self.most().unwrap_or(u64::MAX),
        }
    }

    /// The limit that guards of these counts call for at least. More guards never call for less.
    pub(crate) fn limit(&self, baseline: u64, live: &Counts) -> u64 {
        if live.iter().all(|count| *count == 0) {
            return 0;
        }
        let sum = bytes(live);
        let sizes = live.iter().zip(SIZES);
        let largest = sizes.filter(|(count, _)| **count > 0).map(|(_, size)| size);
        let largest = largest.max().unwrap_or(0);
        match self {
            Self::Uncapped | Self::Custom(_) => baseline + sum,
            Self::Capped(cap) | Self::Mixed { cap, .. } => (baseline + sum).min(*cap),
            Self::Device { least, .. } => (baseline + sum).min(*least),
            Self::Max => baseline + largest,
            Self::Peak => baseline.max(largest),
            Self::Fixed(limit) => *limit,
            Self::Budget { base, cap } => (baseline + base + sum).min(*cap),
        }
    }

    /// Whether [`limit`](Self::limit) is exact.
    pub(crate) fn is_exact(&self) -> bool {
        match self {
            Self::Mixed { .. } => false,
            Self::Device { least, most } => least == most,
            _ => true,
        }
    }
}

/// A group, with a ticket of each size and kind.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) form: Form,
    pub(crate) name: String,
    tickets: Vec<Ticket>,
}

impl Line {
    pub(crate) fn new(manager: &Manager, plan: &Plan, index: usize) -> Self {
        let form = plan.forms[index].clone();
        let name = format!("line {index}");
        let ticket = |size: usize, kind: usize| {
            let turn = (size + kind).is_multiple_of(2);
            let ticket = form.ticket(manager, SIZES[size], KINDS[kind], turn);
            let ticket = ticket.label(name.as_str()).room_for(plan.room(index));
            if plan.stays && turn {
                ticket
            } else {
                ticket.evictable()
            }
        };
        let each = |size| (0..KINDS.len()).map(move |kind| (size, kind));
        let tickets = (0..SIZES.len()).flat_map(each);
        let tickets = tickets.map(|(size, kind)| ticket(size, kind)).collect();
        Self {
            form,
            name,
            tickets,
        }
    }

    /// The ticket of `SIZES[size]` bytes and of `KINDS[kind]`.
    pub(crate) fn ticket(&self, size: usize, kind: usize) -> &Ticket {
        &self.tickets[size * KINDS.len() + kind]
    }
}
