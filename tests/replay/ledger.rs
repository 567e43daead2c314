//! Who lives and who waits, by what the steps do.

use crate::trace::{Action, Header, Step, TicketKind};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) size: u64,
    drives: bool,
}

/// The state between two steps.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) in_force: u64,
    live: BTreeMap<u64, Demand>,
    waiting: BTreeMap<u64, Demand>,
}

impl Ledger {
    pub(crate) fn new(header: &Header) -> Self {
        let in_force = if header.supported {
            header.initial
        } else {
            header.baseline()
        };
        Self {
            in_force,
            live: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.len() as u64
    }

    pub(crate) fn waiters(&self) -> u64 {
        self.waiting.len() as u64
    }

    pub(crate) fn waiting(&self, ticket: Option<u64>) -> Option<Demand> {
        self.waiting.get(&ticket?).copied()
    }

    pub(crate) fn is_driven(&self) -> bool {
        self.live.values().any(|demand| demand.drives)
    }

    /// The state after `step`, with `applied` in force.
    pub(crate) fn after(&self, step: &Step, applied: u64) -> Self {
        let mut after = self.clone();
        after.in_force = applied;
        match step.action {
            Action::Start => {
                let demand = Demand {
                    size: step.size,
                    drives: step.kind == TicketKind::Active,
                };
                let place = if step.blocked {
                    &mut after.waiting
                } else {
                    &mut after.live
                };
                place.insert(step.t, demand);
            }
            Action::End => {
                after.live.remove(&step.t);
                if let Some(admitted) = step.admitted
                    && let Some(demand) = after.waiting.remove(&admitted)
                {
                    after.live.insert(admitted, demand);
                }
            }
            Action::Cancel => {
                after.waiting.remove(&step.t);
            }
            Action::Wait => {}
        }
        after
    }
}
