//! What a session does next: keep, raise, lower or end (rules R2, R7, R9, R10).

use crate::event::EventKind;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::word::Word;
use std::time::{Duration, Instant};

/// After how many cooldowns a shrink that was held back happens even if the limit grew meanwhile.
const COOLDOWNS_UNTIL_FORCED: u32 = 8;

/// `duration` after `at`; a duration beyond the clock's range counts as 30 years.
pub(crate) fn after(at: Instant, duration: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    at + duration.min(FOR_EVER)
}

/// What a session does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The limit stays.
    Keep,
    /// The epoch ends with nothing to set.
    Close,
    Raise {
        limit: u64,
        wanted: u64,
    },
    Lower {
        limit: u64,
        wanted: u64,
    },
    /// Set the baseline back.
    End {
        limit: u64,
    },
}

/// Which kinds of call this session may still make: a kind that failed is not tried again, unless the other has
/// succeeded since, after which no retry is pending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct May {
    pub(crate) raise: bool,
    pub(crate) lower: bool,
}

impl May {
    pub(crate) const ANYTHING: Self = Self {
        raise: true,
        lower: true,
    };
}

/// The words of the listed groups, by index. A session decides by those that [`close_and_read`](Inner::close_and_read)
/// gives.
pub(crate) type View = Vec<(usize, Word)>;

impl Inner {
    pub(crate) fn decide(
        &self,
        core: &mut Locked<'_>,
        view: &View,
        may: May,
        now: Instant,
    ) -> Step {
        if !view.iter().any(|(_, word)| word.driving() > 0) {
            return self.decide_end(core, view, may, now);
        }
        self.open_epoch(core);
        core.pending_work.restart_linger();
        let wanted = Self::called_for(core, view);
        if std::mem::take(&mut core.limit_event_due) {
            self.emit(core, EventKind::LimitComputed, None, |event| {
                event.desired = Some(wanted)
            });
        }
        let limit = core.limit_for(core.rounded(wanted));
        // Nothing is known before the first set; an override may differ from what MLX has.
        let unknown = !core.known && core.config.baseline_override.is_some_and(|bytes| bytes > 0);
        if limit > core.applied || unknown {
            // A shrink that was held back is not called for now. Were it still pending work, housekeeping would try a
            // failing raise again and again, without back-off.
            core.pending_work.shrink_at = None;
            return if may.raise {
                Step::Raise { limit, wanted }
            } else {
                Step::Keep
            };
        }
        core.epoch.ready = true;
        let step = if core.applied - limit < core.shrink_step() || !may.lower {
            core.pending_work.shrink_at = None;
            self.forget_stale_shrink(core, now);
            Step::Keep
        } else {
            self.decide_shrink(core, limit, wanted, now)
        };
        let bound = core.bound();
        if step == Step::Keep && may.lower && core.applied > bound {
            // The ceiling was lowered: neither thresholds nor the cooldown hold that back (R33). A shrink below it begins
            // anew.
            core.pending_work.shrink_at = None;
            core.pending_work.shrink_since = None;
            return Step::Lower {
                limit: bound,
                wanted,
            };
        }
        step
    }

    /// The limit that everything counted calls for, driving or not.
    pub(crate) fn called_for(core: &Locked<'_>, view: &View) -> u64 {
        let baseline = core.epoch.baseline;
        view.iter()
            .map(|(index, word)| (core.group(*index), *word))
            .filter(|(state, word)| state.is_live(*word))
            .map(|(state, word)| state.limit(word, baseline))
            .max()
            .unwrap_or(baseline)
    }

    /// Whether a shrink that is large enough happens now, or when the cooldown is over.
    fn decide_shrink(&self, core: &mut Locked<'_>, limit: u64, wanted: u64, now: Instant) -> Step {
        let cooldown = core.config.shrink_cooldown;
        let cool_at = core
            .last_change
            .map_or(now, |change| after(change, cooldown));
        let since = *core.pending_work.shrink_since.get_or_insert(now);
        let forced_at = after(since, cooldown.saturating_mul(COOLDOWNS_UNTIL_FORCED));
        let at = cool_at.min(forced_at);
        if now < at {
            core.pending_work.shrink_at = Some(at);
            return Step::Keep;
        }
        Step::Lower { limit, wanted }
    }

    /// Forgets a shrink that was held back and is not wanted when it would be forced.
    fn forget_stale_shrink(&self, core: &mut Locked<'_>, now: Instant) {
        let forced_after = core
            .config
            .shrink_cooldown
            .saturating_mul(COOLDOWNS_UNTIL_FORCED);
        let since = core.pending_work.shrink_since;
        core.pending_work.shrink_since = since.filter(|since| now < after(*since, forced_after));
    }

    /// What happens while no driving guard lives.
    fn decide_end(&self, core: &mut Locked<'_>, view: &View, may: May, now: Instant) -> Step {
        core.pending_work.shrink_at = None;
        if !core.epoch.open {
            return Step::Keep;
        }
        if core.limit_for(Self::called_for(core, view)) > core.applied {
            // A reservation without driving guards raises nothing, but the next driving guard must.
            core.epoch.ready = false;
        }
        // MLX refuses more than its own maximum, even if a higher baseline was configured.
        let limit = core.epoch.baseline.min(core.maximum);
        if core.applied == limit || !core.known {
            return Step::Close;
        }
        // An epoch does not linger above a ceiling that was lowered.
        let may_linger = !core.closed && !core.abandoned && core.applied <= core.bound();
        let lingers = may_linger && !core.pending_work.lingered;
        if lingers && core.config.linger > Duration::ZERO {
            let since = *core.pending_work.lingers_since.get_or_insert(now);
            // Computed each time: the setting may change meanwhile.
            let at = after(since, core.config.linger);
            if now < at {
                core.pending_work.end_at = Some(at);
                return Step::Keep;
            }
        }
        core.pending_work.end_at = None;
        // A restore that fails is tried again without lingering again.
        core.pending_work.lingered = true;
        if may.lower {
            Step::End { limit }
        } else {
            Step::Keep
        }
    }
}
