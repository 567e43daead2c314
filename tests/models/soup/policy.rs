//! A policy that is not built in, and its quirks.

use super::crew::Shelf;
use super::plan::{Quirks, chance};
use crate::claim::Form;
use crate::world::World;
use mlx_wired::{Context, Policy, PolicyId, Sizes};
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};

/// baseline + more + sum, within a cap.
#[derive(Clone)]
pub(super) struct Own {
    pub(super) group: &'static str,
    pub(super) form: Form,
    pub(super) quirks: Quirks,
    pub(super) shelf: Arc<Shelf>,
    pub(super) world: Weak<World>,
}

impl Own {
    /// Others run, and what the policy does besides is done.
    fn dally(&self) {
        let Some(world) = self.world.upgrade() else {
            return;
        };
        world.oracle.limit();
        if self.quirks.panics && chance(15) {
            // Without the panic hook's message.
            resume_unwind(Box::new("the policy panics"));
        }
        if self.quirks.releases && chance(25) {
            drop(self.shelf.take());
            world.oracle.limit();
        }
    }

    fn check(&self, live: &Sizes<'_>) {
        let each = live.each.iter();
        let asked_for = self.quirks.wants_sizes && live.count > 0;
        let adds_up = live.each.len() as u64 == live.count && each.sum::<u64>() == live.sum;
        if let Some(world) = self.world.upgrade().filter(|_| asked_for && !adds_up) {
            world.oracle.tell(format!("{live:?} do not add up"));
        }
    }
}

impl Policy for Own {
    fn id(&self) -> PolicyId {
        PolicyId::named(self.group)
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        self.dally();
        self.check(live);
        self.form.limit(context.baseline, std::iter::once(live.sum))
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, new: u64) -> bool {
        self.dally();
        self.check(live);
        let cap = self.form.cap(0);
        cap.is_none_or(|cap| live.sum + new <= cap)
    }

    fn can_ever_admit(&self, _: &Context, new: u64) -> bool {
        self.form.cap(0).is_none_or(|cap| new <= cap)
    }

    fn wants_sizes(&self) -> bool {
        self.quirks.wants_sizes
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if !self.quirks.calls_back || std::thread::panicking() {
            return;
        }
        if let Some(world) = self.world.upgrade() {
            // Takes the manager's lock, so nobody may hold it.
            let _limit = world.manager.applied();
        }
    }
}
