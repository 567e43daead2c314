//! The budget that a run goes by.

use crate::Manager;

/// What a manager has for everything, as it was measured last.
pub(super) fn measured(manager: &Manager) -> Option<u64> {
    let of_all_groups = manager.config().budget;
    of_all_groups.into_iter().chain(manager.budget()).min()
}
