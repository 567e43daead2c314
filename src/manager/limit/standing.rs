//! Transitions that need no session: what the last one published still stands.
//!
//! While a subscriber listens, every transition tells of the limit that it calls for: those of
//! [`watched`](crate::manager::observe::watched) compute it, all others are sessions.

use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::group::Gates;
use crate::manager::state::live::Live;
use crate::manager::state::request::Request;
use crate::sync::Ordering;
use crate::user_code;

impl Inner {
    /// Asks the request's custom policy for its group's limit, if the group has changed and no session would do so.
    pub(crate) fn ask_again(&self, core: &mut Locked<'_>, request: &Request) {
        if request.group().custom && !core.busy && core.standing.is_some() {
            self.ask_policy(core, request.group(), Some(request));
        }
    }

    /// Whether a release from the request's group changes nothing for others: no end and no shrink is due, and no work
    /// is pending. Then what tells releases when to look (invariant I6) needs no renewal.
    pub(crate) fn release_needs_no_session(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
    ) -> bool {
        let index = request.group().index;
        if core.standing.is_some_and(|it| it.leader == Some(index)) {
            self.ask_again(core, request);
            self.reconcile_deferred(core);
        }
        let Some(published) = core.standing.filter(|_| !self.is_watched()) else {
            return false;
        };
        if are_gates_left_closed(core, index) {
            return false;
        }
        let state = core.group(index);
        let word = state.shared.load();
        let baseline = core.epoch.baseline;
        let is_anchored = match published.anchor {
            Some(anchor) => anchor != index || word.driving() > 0,
            None => false,
        };
        let is_held = published.leader != Some(index)
            || (state.is_live(word)
                && !state.must_ask(baseline)
                && published
                    .shrink_to
                    .is_some_and(|to| state.limit(word, baseline) > to));
        is_anchored && is_held && core.pending_work.due().is_none()
    }

    /// Releases a demand if that changes nothing for others. That is known before the release, so no work need be
    /// finished first (R12). Returns false, with nothing done, if it may change something.
    pub(crate) fn release_without_session(&self, request: &Request) -> bool {
        if request.is_pinned() || user_code::is_inside(self.address()) {
            return false;
        }
        let mut core = self.lock();
        if !request.group().custom && !self.is_watched() {
            // The gates may be open: two guards released at once would each count on the other to stay.
            return false;
        }
        let index = request.group().index;
        let has_pending_work = core.pending_work.due().is_some() || !core.deferred.is_empty();
        let Some(published) = core.standing.filter(|_| !core.busy && !has_pending_work) else {
            return false;
        };
        let driving = core.group(index).shared.load().driving();
        let left = driving - u64::from(request.kind().is_driving());
        let is_anchored = published
            .anchor
            .is_some_and(|anchor| anchor != index || left > 0);
        if !is_anchored || !self.is_queue_empty(&core, index) || core.delays_pinned(index) {
            return false;
        }
        let mut answered = None;
        if published.leader == Some(index) {
            let baseline = core.epoch.baseline;
            let limit = if request.group().custom {
                self.ask_limit_without(&mut core, request)
            } else {
                Some(core.group(index).limit_without(request, baseline))
            };
            let is_held = limit > published.shrink_to && left > 0;
            if !is_held || core.was_disturbed() {
                return false;
            }
            answered = limit.map(|limit| (baseline, limit));
        }
        core.subtract(request);
        if let Some((baseline, limit)) = answered {
            let state = core.group_mut(index);
            state.answered = Some((state.version, baseline, limit));
        }
        self.emit_release(&mut core, request);
        true
    }

    /// What a custom group would call for without one of its guards; `None` if its policy panicked.
    fn ask_limit_without(&self, core: &mut Locked<'_>, request: &Request) -> Option<u64> {
        let index = request.group().index;
        let mut each = core.group_mut(index).each_size();
        if let Some(own) = each.iter().position(|size| *size == request.bytes()) {
            each.remove(own);
        }
        let state = core.group(index);
        let live = Live {
            count: each.len() as u64,
            sum: state.shared.load().sum().saturating_sub(request.bytes()),
            each,
        };
        let wants_sizes = state.wants_sizes;
        let mut kept = None;
        let policy = state.speaker(Some(request), &mut kept);
        let context = self.context(core, core.epoch.baseline);
        let limit = core.unlocked(|| {
            user_code::call(self.address(), || {
                policy.limit(&context, &live.sizes(live.largest(), wants_sizes))
            })
        });
        // As in `ask_policy`.
        core.replaced.extend(kept);
        core.group_mut(index).keep_scratch(live.each);
        limit.ok()
    }
}

/// Whether a group's gates are closed though they need not be: it joined after the session that published, or something
/// kept all gates closed then. Only the next session opens them.
pub(crate) fn are_gates_left_closed(core: &Core, index: usize) -> bool {
    let state = core.group(index);
    // Relaxed: written under the lock.
    let flags = state.shared.gates.flags.load(Ordering::Relaxed);
    let looks_always = state.custom() || state.mixed || core.config.budget.is_some();
    flags & Gates::ALWAYS != 0 && !looks_always
}
