//! What is in use, left and waited for, told without the lock.

use crate::manager::Manager;
use crate::manager::state::figures::Figures;
use crate::manager::state::group::Group;
use crate::manager::state::share::share_of;

impl Manager {
    pub(crate) fn figures(&self) -> &Figures {
        &self.inner().figures
    }

    /// What the live guards of all groups hold, in bytes. One atomic load for each group, of no moment in common;
    /// [`snapshot`](Self::snapshot) tells more, at a higher cost.
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.figures().in_use()
    }

    /// What is left, in bytes: of the [budget](crate::Config::budget) over all groups, or without one of what a
    /// policy capped by the device may hold; `None` if neither is known. As momentary as [`in_use`](Self::in_use).
    #[must_use]
    pub fn available(&self) -> Option<u64> {
        let figures = self.figures();
        let bound = figures.budget().or(figures.device());
        let bound = bound.filter(|_| !figures.admits_all())?;
        Some(share_of(bound, figures.share()).saturating_sub(figures.in_use()))
    }

    /// How many threads wait for admission, in all groups. As momentary as [`in_use`](Self::in_use).
    #[must_use]
    pub fn waiters(&self) -> u64 {
        self.figures().sum(Group::waiters)
    }
}
