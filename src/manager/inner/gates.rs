//! When the gates are closed.

use crate::manager::inner::Inner;
use crate::manager::state::core::Core;

impl Core {
    /// Whether no acquire may be decided without the lock.
    pub(crate) fn admits_under_lock_only(&self, inner: &Inner) -> bool {
        self.config.budget.is_some() || self.must_close_gates(inner)
    }

    /// Whether every acquire and release must look under the lock.
    pub(crate) fn must_close_gates(&self, inner: &Inner) -> bool {
        self.closed
            || !inner.owns_backend()
            || inner.is_watched()
            || self.pending_work.retry_at.is_some()
            || (!self.has_housekeeping() && self.pending_work.due().is_some())
    }
}
