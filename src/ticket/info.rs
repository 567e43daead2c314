//! What clones of a ticket share.

use crate::fork;
use crate::manager::inner::owner::Owner;
use crate::manager::state::group::Group;
use crate::manager::state::request::Request;
use crate::sync::Arc;
use std::ops::Deref;
use std::ptr::NonNull;

/// What only the slow path and people read of a ticket. There is one for each ticket's number, registered while it lives.
pub(super) struct Info {
    pub(super) manager: Owner,
    pub(super) request: Arc<Request>,
}

impl Info {
    /// A new ticket's.
    pub(super) fn new(manager: Owner, request: Arc<Request>) -> Arc<Self> {
        // A forked child has no use for the registry, whose lock may be held for ever.
        if !fork::is_child() {
            let about = request.about().clone();
            manager.tickets.lock().register(request.id(), about);
        }
        Arc::new(Self { manager, request })
    }
}

impl Drop for Info {
    fn drop(&mut self) {
        if !fork::is_child() {
            self.manager.note_gone(self.request.id());
        }
    }
}

/// The group in a ticket's [`Info`], which the ticket keeps alive with it: the fast path is one pointer nearer to it, and a
/// clone counts one reference and not two.
#[derive(Clone)]
pub(super) struct GroupOf(NonNull<Group>);

// SAFETY: it is used as a `&Group`, and a group may be shared between threads.
unsafe impl Send for GroupOf {}
// SAFETY: as above.
unsafe impl Sync for GroupOf {}

impl GroupOf {
    /// The caller keeps `info`, or another with the same group, for as long as this.
    pub(super) fn new(info: &Info) -> Self {
        Self(NonNull::from(&**info.request.group()))
    }
}

impl Deref for GroupOf {
    type Target = Group;

    #[inline(always)]
    fn deref(&self) -> &Group {
        // SAFETY: the ticket that has this has the group's `Info`, too.
        unsafe { self.0.as_ref() }
    }
}
