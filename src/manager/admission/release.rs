//! Releasing when the fast path cannot decide.

use crate::Error;
use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::limit::cover::leader_falls;
use crate::manager::state::core::Core;
use crate::manager::state::group::Group;
use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::sync::{Arc, ThreadId, thread_id};
use crate::user_code;

impl Inner {
    /// Releases a demand that is still counted. Returns the call that failed, if one of its own did.
    pub(crate) fn release_counted(
        &self,
        request: &Request,
        pin: Option<PinKey>,
    ) -> Option<Box<Error>> {
        let mut core = self.lock();
        core.subtract(request);
        if let Some(key) = pin {
            core.unpin(key, request, None);
        }
        self.emit(&mut core, EventKind::TicketEnded, Some(request), |_| {});
        self.after_release(&mut core, request);
        core.take_failure()
    }

    /// Does what a release whose demand is already gone leaves to do: admits from the queue first, so that a handoff
    /// does not lower and raise the limit, then decides about the limit.
    pub(crate) fn after_release(&self, core: &mut Locked<'_>, request: &Request) {
        let group = request.group();
        if request.kind().is_driving() {
            // Linger counts from the last driving guard's end.
            core.pending_work.restart_linger();
        }
        if user_code::is_inside(self.address()) {
            // This very thread may hold the judge lock of this group. The call that runs the user's code examines the
            // queue and the limit when it comes back.
            core.defer_group(group);
            return;
        }
        let admitted = self.pump(core, group.index);
        self.reconcile_deferred(core);
        // With a budget over all groups, the admitted guard may speak for another group than the one that was left.
        if !self.release_needs_no_session(core, request) || (admitted && leader_falls(core)) {
            self.reconcile(core);
        }
    }

    /// Examines the queues and the limit that this thread has left to itself.
    pub(crate) fn reconcile_deferred(&self, core: &mut Locked<'_>) {
        if user_code::is_inside(self.address()) {
            return;
        }
        while self.pump_deferred(core) {
            // Else the waiter that it was left to runs a session when it wakes.
            if !core.left_over {
                self.reconcile(core);
            }
        }
    }

    /// Admits from the queues that this thread has left to itself. Returns whether there were any.
    pub(crate) fn pump_deferred(&self, core: &mut Locked<'_>) -> bool {
        let mut any = false;
        while let Some(group) = core.take_deferred() {
            self.pump(core, group.index);
            any = true;
        }
        any
    }
}

impl Core {
    /// Leaves a group's queue, and the limit, to what this thread does next without user code around it.
    pub(crate) fn defer_group(&mut self, group: &Arc<Group>) {
        self.deferred.push((thread_id(), Arc::clone(group)));
    }

    /// The index of the next group that this thread has left to itself. One that another thread has left may have a
    /// policy that is being asked, with the judge lock held.
    fn deferred_index(&self) -> Option<usize> {
        let own = |(thread, _): &(ThreadId, Arc<Group>)| *thread == thread_id();
        self.deferred.iter().rposition(own)
    }

    /// Whether this thread has left something to itself.
    pub(crate) fn has_deferred(&self) -> bool {
        self.deferred_index().is_some()
    }

    fn take_deferred(&mut self) -> Option<Arc<Group>> {
        let index = self.deferred_index()?;
        Some(self.deferred.remove(index).1)
    }
}
