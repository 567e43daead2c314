//! The one caller of the setter, and what its answer changes.

use crate::Error;
use crate::backend::BackendError;
use crate::config::OnApplyFailure;
use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::demand::Demand;
use crate::manager::state::uncovered::{CallState, Failure};
use crate::sync::Arc;
use crate::user_code;

impl Inner {
    /// Calls the setter without the lock. Returns whether it succeeded.
    pub(crate) fn set_limit(
        &self,
        core: &mut Locked<'_>,
        limit: u64,
        wanted: Option<u64>,
        raise: bool,
    ) -> bool {
        // A demand that is covered already does not fail with the call.
        self.cover_waiters(core);
        for uncovered in core.uncovered.values_mut() {
            if matches!(uncovered.call, CallState::Needed) {
                uncovered.call = CallState::Called;
            }
        }
        let baseline = core.epoch.baseline;
        let wired = core.is_wired();
        let expected = core.applied;
        let answer = if wired {
            core.stats.setter_calls += 1;
            core.unlocked(|| {
                user_code::call(self.address(), || self.backend.set_wired_limit(limit))
                    .unwrap_or_else(|message| {
                        Err(BackendError::new(format!("set_wired_limit({limit})"))
                            .with_message(format!("panicked: {message}")))
                    })
            })
        } else {
            Ok(expected)
        };
        match answer {
            Ok(previous) => {
                self.succeeded(core, limit, previous);
                let clamped = wanted.filter(|wanted| *wanted > limit);
                self.emit(core, EventKind::LimitApplied, None, |event| {
                    event.desired = wanted.or(Some(limit));
                    event.applied = Some(limit);
                });
                if let Some(wanted) = clamped {
                    core.stats.clamped += 1;
                    let kind = EventKind::LimitClamped { ceiling: limit };
                    self.emit(core, kind, None, |event| event.desired = Some(wanted));
                }
                // Unless it was computed from another baseline, the demands that the call was to cover need not wait for what
                // this session does next.
                if core.epoch.baseline == baseline {
                    core.resolve_called(CallState::Done);
                }
                core.wake_sleepers();
                true
            }
            Err(error) => {
                core.stats.setter_failures += 1;
                let kind = EventKind::LimitApplyFailed(error.to_string());
                let in_force = core.in_force();
                self.emit(core, kind, None, |event| {
                    event.desired = wanted.or(Some(limit));
                    event.applied = Some(in_force);
                });
                let now = self.clock.now();
                if raise {
                    self.fail_uncovered(core, limit, &error);
                } else {
                    core.resolve_called(CallState::Needed);
                }
                core.pending_work.schedule_retry(now);
                core.note_failure(Error::SetLimit {
                    limit,
                    source: error,
                });
                false
            }
        }
    }

    fn succeeded(&self, core: &mut Locked<'_>, limit: u64, previous: u64) {
        if core.known && previous != core.applied {
            core.stats.foreign_changes += 1;
            let kind = EventKind::ForeignLimit {
                expected: core.applied,
                found: previous,
            };
            self.emit(core, kind, None, |_| {});
        }
        if !core.epoch.captured && core.is_wired() {
            core.epoch.captured = true;
            if core.epoch.baseline != previous {
                core.epoch.baseline = previous;
                self.emit(core, EventKind::BaselineCaptured, None, |event| {
                    event.applied = Some(previous)
                });
            }
        }
        core.applied = limit;
        core.known = true;
        core.last_change = Some(self.clock.now());
        core.pending_work.cancel_retry();
    }

    /// A raise failed: all demands that it was to cover fail together, or proceed unwired.
    fn fail_uncovered(&self, core: &mut Locked<'_>, limit: u64, error: &BackendError) {
        let proceed = core.config.on_apply_failure == OnApplyFailure::Proceed;
        let failed = core.resolve_called(CallState::Failed(Failure {
            limit,
            error: error.clone(),
            proceed,
        }));
        let mut groups = Vec::new();
        if !proceed {
            for uncovered in failed {
                let request = &uncovered.request;
                let demand = Demand {
                    from: uncovered.from.as_ref(),
                    pin: uncovered.pin,
                    ..request.into()
                };
                self.undo_admission(core, demand, |event| {
                    event.thread = uncovered.thread;
                    event.thread_name.clone_from(&uncovered.thread_name);
                });
                groups.push(request.group().clone());
            }
        }
        groups.dedup_by(|a, b| Arc::ptr_eq(a, b));
        for group in groups {
            self.pump(core, group.index);
        }
        core.wake_sleepers();
    }
}
