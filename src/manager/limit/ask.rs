//! Asking custom policies for the limits of their groups.

use crate::arbiter::{Context, Sizes};
use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::group::Group;
use crate::manager::state::request::Request;
use crate::user_code;

impl Inner {
    /// Asks each custom policy whose group has changed for its limit, without the lock.
    pub(crate) fn ask_policies(&self, core: &mut Locked<'_>) {
        loop {
            self.open_epoch_if_driven(core);
            let baseline = core.epoch.baseline;
            if !core.epoch.open {
                return;
            }
            let changed = core.listed_groups().find(|state| state.must_ask(baseline));
            // Keeps the group while the policy is asked: its last guard may go meanwhile.
            let Some(group) = changed.map(|state| state.shared.clone()) else {
                return;
            };
            self.ask_policy(core, &group, None);
        }
    }

    /// Asks a custom policy for its group's limit if the group has changed, without the lock. `request`: the
    /// transition's.
    pub(crate) fn ask_policy(
        &self,
        core: &mut Locked<'_>,
        group: &Group,
        request: Option<&Request>,
    ) {
        let baseline = core.epoch.baseline;
        let state = core.group(group.index);
        if !state.must_ask(baseline) {
            return;
        }
        let version = state.version;
        let mut kept = None;
        let policy = state.speaker(request, &mut kept);
        let wants_sizes = state.wants_sizes;
        let word = state.shared.load();
        let count = word.driving() + state.reservations;
        let max = state.largest();
        let each = if wants_sizes {
            core.group_mut(group.index).each_size()
        } else {
            Vec::new()
        };
        let context = self.context(core, baseline);
        let answer = core.unlocked(|| {
            let live = Sizes {
                count,
                sum: word.sum(),
                max,
                each: &each,
            };
            user_code::call(self.address(), || policy.limit(&context, &live))
        });
        // Another policy may speak for the group by now, and this be the last reference to the one asked.
        core.replaced.extend(kept);
        let limit = answer.unwrap_or_else(|message| {
            self.emit(core, EventKind::PolicyPanicked(message), None, |_| {});
            baseline.saturating_add(word.sum())
        });
        let state = core.group_mut(group.index);
        state.keep_scratch(each);
        state.answered = Some((version, baseline, limit));
    }

    /// What a policy is told.
    pub(crate) fn context(
        &self,
        core: &crate::manager::state::core::Core,
        baseline: u64,
    ) -> Context {
        Context {
            baseline,
            ceiling: (core.ceiling != u64::MAX).then_some(core.ceiling),
            budget: core.device_budget,
            total_live: core.total_live(),
            memory_size: self.device.memory_size,
            mode: core.mode,
            pressure: core.pressure,
        }
    }
}
