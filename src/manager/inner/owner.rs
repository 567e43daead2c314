//! What keeps a manager: handles and tickets, and with them guards.

use crate::fork::{self, Inherited};
use crate::manager::inner::Inner;
use crate::manager::inner::claims;
use crate::sync::{Arc, Ordering};
use std::ops::Deref;

/// A reference that keeps a manager. Housekeeping, subscribers and recorders, which look at one for a moment,
/// have plain ones: the backend's resource is free for the next manager though they still look.
pub(crate) struct Owner(Inherited<Arc<Inner>>);

impl Owner {
    pub(crate) fn new(inner: &Arc<Inner>) -> Self {
        // Relaxed: a thread that makes another has one already.
        inner.owners.fetch_add(1, Ordering::Relaxed);
        Self(Inherited::new(Arc::clone(inner)))
    }
}

impl Clone for Owner {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Deref for Owner {
    type Target = Arc<Inner>;

    fn deref(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if fork::is_child() {
            // The reference stays, and with it the manager.
            return;
        }
        // AcqRel: the last owner goes after everything that the others did.
        if self.0.owners.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let is_over = {
            let core = self.0.core.lock();
            !core.busy && !core.epoch.open
        };
        // Nothing can begin any more. Else the setter may still be called, until the last reference goes.
        if is_over {
            self.0.disclaim();
        }
    }
}

impl Inner {
    /// Gives up the backend's resource, if this manager owns one.
    pub(crate) fn disclaim(&self) {
        // Relaxed: the registry's lock orders the claim itself.
        if self.claimed.swap(false, Ordering::Relaxed)
            && let Some(resource) = self.backend.exclusive()
        {
            claims::disclaim(resource);
        }
    }
}
