//! Acquires and releases that change nothing for others, while a subscriber listens.
//!
//! They take the lock, so that events come in the order in which things happened, but no session: each adds one record
//! to the journal, from which subscribers make the events.

use crate::event::{EventKind, Moment};
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::state::core::Core;
use crate::manager::state::request::Request;
use crate::manager::state::word::Word;
use crate::mode::WireMode;
use crate::trace;
use crate::user_code;
use std::panic::Location;
use std::time::Instant;

impl Inner {
    /// Whether records tell everything: a subscriber is there, and no `tracing` subscriber wants each computed limit.
    fn keeps_journal(&self) -> bool {
        self.is_watched() && !trace::wants(&EventKind::LimitComputed)
    }

    /// Admits a demand of a built-in policy if a subscriber listens, no thread waits, and the limit covers it already. Returns
    /// the word with it, and when; none, with nothing done, if any of that is not so.
    pub(crate) fn acquire_watched(
        &self,
        request: &Request,
        location: &'static Location<'static>,
    ) -> Option<(Word, Instant)> {
        if !self.keeps_journal() || !request.is_fast() || user_code::is_inside(self.address()) {
            return None;
        }
        let mut core = self.lock();
        let index = request.group().index;
        let admits_here =
            core.mode != WireMode::Uncoordinated && core.config.budget.is_none() && !core.closed;
        let has_pending_work = core.pending_work.due().is_some() || !core.deferred.is_empty();
        if core.standing.is_none() || core.busy || has_pending_work || !admits_here {
            return None;
        }
        let state = core.group(index);
        if state.formula != request.formula() || !state.needs_no_release() {
            return None;
        }
        let formula = core.pressed(state.resolved);
        let seen = state.shared.load();
        let word = seen.checked_add(request.demand())?;
        let fits =
            !formula.can_refuse() || word.sum() < formula.admitted(core.admission_baseline());
        let too_many = |most| state.shared.active(word) > u64::from(most);
        if !fits
            || request.most().is_some_and(too_many)
            || !core.covers(core.guaranteed, state, word, request.bytes())
        {
            return None;
        }
        core.groups.list(index);
        core.group_mut(index).list_size(request);
        if !request.swap_from(seen) {
            return None;
        }
        core.stats.admissions += 1;
        let time = self.note_in_journal(&mut core, request, Some(location));
        self.note_resident(&mut core, request, None);
        // The subscriber may have gone since; the demand is counted all the same.
        Some((word, time.unwrap_or_else(|| self.clock.now())))
    }

    /// Tells of a release that changes nothing for others.
    pub(crate) fn emit_release(&self, core: &mut Locked<'_>, request: &Request) {
        if !trace::wants(&EventKind::LimitComputed) {
            self.note_in_journal(core, request, None);
            return;
        }
        self.emit(core, EventKind::TicketEnded, Some(request), |_| {});
        let totals = Totals::of(core);
        self.emit(core, EventKind::LimitComputed, None, |event| {
            event.desired = Some(totals.desired)
        });
        self.note_live_bytes(core, totals.bytes);
    }

    /// Adds a record of an acquire or release to the journal if a subscriber listens. Returns its time.
    fn note_in_journal(
        &self,
        core: &mut Locked<'_>,
        request: &Request,
        acquired: Option<&'static Location<'static>>,
    ) -> Option<Instant> {
        if !self.is_watched() {
            return None;
        }
        let time = self.clock.now();
        let totals = Totals::of(core);
        let moment = Moment {
            sequence: self.events.number(if acquired.is_some() { 3 } else { 2 }),
            time,
            baseline: core.epoch.baseline,
            desired: totals.desired,
            live: totals.live,
            // In other groups.
            waiters: core.waiters(),
        };
        core.journal
            .add(request.id(), request.about(), acquired, moment);
        self.note_live_bytes(core, totals.bytes);
        if self.events.is_due(&core.journal) {
            self.events.deliver_journal(&mut core.journal);
        }
        Some(time)
    }
}

/// All groups together, as their words are.
struct Totals {
    /// What the live guards call for.
    desired: u64,
    /// How many there are.
    live: u64,
    bytes: u64,
}

impl Totals {
    fn of(core: &Core) -> Self {
        let baseline = core.epoch.baseline;
        let (mut most, mut live, mut bytes) = (None, 0, 0_u64);
        for state in core.listed_groups() {
            let word = state.shared.load();
            if state.is_live(word) {
                most = most.max(Some(state.limit(word, baseline)));
                live += word.driving() + state.reservations;
                bytes = bytes.saturating_add(word.sum());
            }
        }
        Self {
            desired: most.unwrap_or(baseline),
            live,
            bytes,
        }
    }
}
