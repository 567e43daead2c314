//! Sessions: the only code that decides about the limit and calls the setter.

use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::limit::decide::{May, Step, View};
use crate::sync::{Ordering, thread_id};
use crate::user_code;

impl Inner {
    /// Decides and sets until nothing is to be done. The caller has found `busy` clear and set it.
    pub(crate) fn run_session(&self, core: &mut Locked<'_>) {
        debug_assert!(core.busy);
        let mut may = May::ANYTHING;
        let calls = core.stats.setter_calls;
        core.limit_event_due = true;
        core.left_over = false;
        loop {
            self.ask_policies(core);
            let view = self.close_and_read(core);
            if self.opens_epoch_unasked(core) {
                continue;
            }
            if self.wants_scarcity_events() {
                let bytes = view.iter().map(|(_, word)| word.sum());
                self.note_live_bytes(core, bytes.fold(0, u64::saturating_add));
            }
            let now = self.clock.now();
            match self.decide(core, &view, may, now) {
                Step::Keep => {
                    let limit = core.epoch_limit();
                    let published = self.publish(core, &view, limit);
                    if !self.published_stands(core, published, may, now) {
                        continue;
                    }
                    if core.pending_work.retry_at.is_some() && !self.is_failed_call_needed(core) {
                        // The failed call is not needed any more: the gates that were closed for it are opened.
                        core.pending_work.cancel_retry();
                        may = May::ANYTHING;
                        continue;
                    }
                    core.standing = core.epoch_limit().map(|_| published);
                    break;
                }
                Step::Close => self.close_epoch(core),
                // A thread that has made a call need not make another's (R15): the other decides again when it wakes, and finds
                // the covers closed until then.
                Step::Raise { .. }
                    if core.stats.setter_calls > calls && self.is_call_for_others(core) =>
                {
                    core.left_over = true;
                    break;
                }
                Step::Raise { limit, wanted } => {
                    let covered = core.epoch_limit();
                    self.publish(core, &view, covered);
                    if self.set_limit(core, limit, Some(wanted), true) {
                        may = May::ANYTHING;
                    } else {
                        may.raise = false;
                    }
                }
                Step::Lower { limit, wanted } => {
                    core.pending_work.shrink_at = None;
                    core.pending_work.shrink_since = None;
                    self.publish(core, &view, Some(limit));
                    if self.set_limit(core, limit, Some(wanted), false) {
                        may = May::ANYTHING;
                    } else {
                        may.lower = false;
                    }
                }
                Step::End { limit } => {
                    if self.set_limit(core, limit, None, false) {
                        self.emit(core, EventKind::BaselineRestored, None, |event| {
                            event.applied = Some(limit)
                        });
                        self.close_epoch(core);
                        may = May::ANYTHING;
                    } else {
                        may.lower = false;
                    }
                }
            }
        }
        core.busy = false;
        if may.raise && !core.left_over {
            self.cover_waiters(core);
        }
        core.wake_sleepers();
        self.schedule_pending_work(core);
        self.reconcile_deferred(core);
    }

    /// Whether an epoch begins now, with a driving guard that was counted without the lock, and custom policies have yet to
    /// be asked what they call for in it.
    pub(crate) fn opens_epoch_unasked(&self, core: &mut Locked<'_>) -> bool {
        if core.epoch.open {
            // Custom groups change under the lock alone.
            return false;
        }
        self.open_epoch_if_driven(core);
        let baseline = core.epoch.baseline;
        core.epoch.open && core.listed_groups().any(|state| state.must_ask(baseline))
    }

    /// Whether a call that failed is still needed. It decides by words that were merely loaded, and so changes what
    /// work is pending as any decision does.
    fn is_failed_call_needed(&self, core: &mut Locked<'_>) -> bool {
        let view: View = core
            .listed_groups()
            .map(|state| (state.shared.index, state.shared.load()))
            .collect();
        let now = self.clock.now();
        self.decide(core, &view, May::ANYTHING, now) != Step::Keep
    }

    /// Whether others wait for a call that this thread does not need, and cannot go on without a session.
    fn is_call_for_others(&self, core: &mut Locked<'_>) -> bool {
        // A demand that the limit covers already needs no session. The raise is for others: a policy may call for more.
        self.cover_waiters(core);
        let uncovered = core.uncovered.values();
        let mut waiting = uncovered.filter(|it| it.call.is_awaited()).peekable();
        waiting.peek().is_some() && waiting.all(|it| it.thread != thread_id())
    }

    /// Runs a session unless one runs: that one decides again after its call.
    pub(crate) fn reconcile(&self, core: &mut Locked<'_>) {
        if core.busy {
            return;
        }
        if user_code::is_inside(self.address()) {
            // Other threads wait for the policy that called: what is due is done after it. Any group will do, even an idle
            // one: the policy may be asked about the first demand.
            let group = core.groups.any().cloned();
            if let Some(group) = group {
                core.defer_group(&group);
            }
            return;
        }
        core.busy = true;
        self.run_session(core);
    }

    /// Closes the covers, then reads each word by a read-modify-write. A thread that adds a demand after
    /// that read sees the closed cover; what was added before it is in what was read.
    pub(crate) fn close_and_read(&self, core: &mut Locked<'_>) -> View {
        core.close_covers();
        core.guaranteed = None;
        core.standing = None;
        core.listed_groups()
            .map(|state| (state.shared.index, state.shared.read()))
            .collect()
    }

    pub(crate) fn open_epoch_if_driven(&self, core: &mut Locked<'_>) {
        if core
            .listed_groups()
            .any(|state| state.shared.load().driving() > 0)
        {
            self.open_epoch(core);
        }
    }

    /// Begins an epoch unless one is open.
    pub(crate) fn open_epoch(&self, core: &mut Locked<'_>) {
        if core.epoch.open {
            return;
        }
        let baseline = core.baseline();
        core.epoch.number += 1;
        core.epoch.open = true;
        core.epoch.baseline = baseline;
        core.epoch.captured = core.config.baseline_override.is_some();
        core.epoch.ready = false;
        // A statistic for guards; a driving guard's epoch cannot end before it.
        self.epoch.store(core.epoch.number, Ordering::Relaxed);
        self.emit(core, EventKind::BaselineCaptured, None, |event| {
            event.applied = Some(baseline)
        });
    }

    fn close_epoch(&self, core: &mut Locked<'_>) {
        core.epoch.open = false;
        core.epoch.ready = false;
        core.guaranteed = None;
        core.pending_work.shrink_at = None;
        core.pending_work.shrink_since = None;
        core.pending_work.restart_linger();
        core.pending_work.cancel_retry();
    }
}
