//! What clones of a ticket share.

use crate::fork;
use crate::holders::{self, Record};
use crate::manager::Owner;
use crate::manager::group::Group;
use crate::manager::registry::About;
use crate::policy::{Formula, Policy};
use crate::sync::{Arc, Ordering, unmodelled};
use crate::ticket::Ticket;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;

/// What only the slow path and people read of a ticket. There is one for each ticket's number, registered while it lives.
pub(super) struct Info {
    pub(super) id: u64,
    pub(super) group: Arc<Group>,
    pub(super) manager: Owner,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) can_refuse: bool,
    pub(super) wants_sizes: bool,
    pub(super) formula: Formula,
    pub(super) about: Arc<About>,
}

impl Info {
    /// A new ticket's.
    pub(super) fn new(
        group: Arc<Group>,
        manager: Owner,
        policy: Arc<dyn Policy>,
        formula: Formula,
        about: About,
    ) -> Arc<Self> {
        static NEXT: unmodelled::AtomicU64 = unmodelled::AtomicU64::new(1);
        let about = Arc::new(about);
        // Only uniqueness matters.
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        // A forked child has no use for the registry, whose lock may be held for ever.
        if !fork::is_child() {
            manager.tickets.lock().register(id, about.clone());
        }
        Arc::new(Self {
            id,
            group,
            manager,
            can_refuse: policy.can_refuse(),
            wants_sizes: policy.wants_sizes(),
            policy,
            formula,
            about,
        })
    }

    /// Another ticket's that differs only in what is told of it.
    pub(super) fn with(&self, about: About) -> Arc<Self> {
        let (group, manager) = (self.group.clone(), self.manager.clone());
        Self::new(group, manager, self.policy.clone(), self.formula, about)
    }
}

impl Drop for Info {
    fn drop(&mut self) {
        if !fork::is_child() {
            self.manager.note_gone(self.id);
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
        Self(NonNull::from(&*info.group))
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

impl Ticket {
    /// Records a borrowed guard, in a slot or wherever there is room.
    pub(super) fn record(&self, place: &'static Location<'static>) -> Record {
        holders::record(self.id, &self.info.about, &self.group.listed, place)
    }
}
