//! Live guards, as people are told of them.

use crate::fork;
use crate::holders::{self, About, Recorded};
use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::group::Group;
use crate::manager::state::registry::Registry;
use crate::snapshot::{Holder, HolderState};
use crate::sync::Arc;
use std::time::Instant;

impl Inner {
    /// The guards that live, the largest first. What others do meanwhile may be missing or already gone.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        if fork::is_child() {
            return Vec::new();
        }
        let groups = self.lock().groups_with_lists();
        self.holders_of(&groups)
    }

    /// [`holders`](Self::holders), with the groups that have lists.
    pub(crate) fn holders_of(&self, groups: &[Arc<Group>]) -> Vec<Holder> {
        let now = self.clock.now();
        let mut holders = Vec::new();
        {
            let registry = self.tickets.lock();
            let mut see = |seen: Recorded<'_>| {
                let about = registry.about(&seen);
                holders.extend(about.map(|about| Holder::new(&seen, about, &registry, now)));
            };
            holders::all(&mut see);
            for group in groups {
                group.listed.each(usize::MAX, &mut see);
            }
        }
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        holders
    }
}

impl Core {
    /// The groups that may list guards: those too that list none yet, since guards move there from slots meanwhile.
    pub(crate) fn groups_with_lists(&self) -> Vec<Arc<Group>> {
        let groups = self.listed_groups().map(|state| &state.shared);
        groups.cloned().collect()
    }
}

impl Holder {
    pub(crate) fn new(
        seen: &Recorded<'_>,
        about: &About,
        registry: &Registry,
        now: Instant,
    ) -> Self {
        // A borrowed guard keeps its ticket borrowed, on a thread that lives.
        let ownerless = seen.of_thread && (seen.ended || registry.has_lost(seen, about));
        Self {
            ticket: seen.ticket,
            bytes: about.bytes,
            kind: about.kind,
            policy: about.policy.clone(),
            label: about.label.clone(),
            place: seen.location,
            thread: seen.thread.id(),
            thread_name: seen.thread.name().map(str::to_owned),
            bound: seen.of_thread,
            group: about.group,
            age: seen.since.map(|since| now.saturating_duration_since(since)),
            state: match (seen.leaked, ownerless) {
                (true, _) => HolderState::Leaked,
                (false, true) => HolderState::Forgotten,
                (false, false) => HolderState::Held,
            },
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::{Error, Manager, SumPolicy};

    /// More guards than a thread has slots for move from the slots to the list, after it was seen which groups there are.
    #[test]
    fn r19_guards_that_move_from_slots_to_a_list_are_told_of_meanwhile() -> Result<(), Error> {
        let builder = Manager::builder().backend(crate::ffi::NoMlx::new());
        let manager = builder.build()?;
        let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
        let mut held = vec![ticket.acquire_owned()?];
        let groups = manager.inner().lock().groups_with_lists();
        while !ticket.group().listed.is_made() {
            held.push(ticket.acquire_owned()?);
        }
        assert_eq!(manager.inner().holders_of(&groups).len(), held.len());
        Ok(())
    }
}
