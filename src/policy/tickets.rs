//! The calls of a manager that take a policy.

use super::{FixedPolicy, Policy};
use crate::Error;
use crate::arbiter::Sealed;
use crate::fork;
use crate::manager::Manager;
use crate::manager::state::group::Group;
use crate::manager::state::word::MAX_SUM;
use crate::ticket::{OwnedGuard, Ticket};
use std::mem::discriminant;
use std::sync::Arc;

impl Manager {
    /// A ticket for `bytes` under `policy`.
    ///
    /// The policy is cloned once; put state that clones should share behind an [`Arc`], which is a
    /// policy itself.
    ///
    /// # Panics
    ///
    /// Where the policy's `id`, `label`, `can_refuse` or `wants_sizes` does.
    pub fn ticket<P: Policy + Clone>(&self, policy: &P, bytes: u64) -> Ticket {
        Ticket::new(self.inner(), Arc::new(policy.clone()), bytes)
    }

    /// Raises the limit to the ceiling while the guard lives: mlx-lm's `wired_limit(model)` and
    /// mlxrs's `WiredLimitGuard`.
    ///
    /// Guards of this kind nest and overlap; the baseline is restored with the last. A model of more than
    /// 90 % of the ceiling gives the event [`EventKind::ModelNearCeiling`](crate::EventKind::ModelNearCeiling). Where there is no wired
    /// memory the guard counts and sets nothing.
    ///
    /// # Errors
    ///
    /// As [`Ticket::acquire`]; a model larger than the ceiling is only warned of.
    ///
    /// # Blocking
    ///
    /// As long as the setter's call.
    #[track_caller]
    pub fn wire_max(&self, model_bytes: u64) -> Result<OwnedGuard, Error> {
        fork::check()?;
        let ceiling = self.inner().ceiling_for(model_bytes);
        let limit = if ceiling == u64::MAX { 0 } else { ceiling };
        let policy = FixedPolicy::new(limit);
        self.ticket(&policy, model_bytes.min(MAX_SUM))
            .label("wire_max")
            .acquire_owned()
    }

    /// [`Ticket::in_use`] of a policy's group, where no ticket is at hand; 0 if no ticket was ever made for it.
    ///
    /// The group is looked up in a table under a lock of its own, which nothing else takes but the making of groups.
    #[must_use]
    pub fn in_use_by(&self, policy: &(impl Policy + ?Sized)) -> u64 {
        let group = self.group_of(policy);
        group.map_or(0, |group| group.in_use())
    }

    /// [`Ticket::available`] of a policy, as [`in_use_by`](Self::in_use_by).
    #[must_use]
    pub fn available_to(&self, policy: &(impl Policy + ?Sized)) -> Option<u64> {
        let in_use = self.in_use_by(policy);
        self.figures()
            .available(policy.formula(Sealed::KEY), in_use)
    }

    /// [`Ticket::waiters`] of a policy's group, as [`in_use_by`](Self::in_use_by).
    #[must_use]
    pub fn waiters_for(&self, policy: &(impl Policy + ?Sized)) -> u64 {
        let group = self.group_of(policy);
        group.map_or(0, |group| group.waiters())
    }

    fn group_of(&self, policy: &(impl Policy + ?Sized)) -> Option<Arc<Group>> {
        let key = (policy.id(), discriminant(&policy.formula(Sealed::KEY)));
        self.figures().group_of(&key)
    }
}
