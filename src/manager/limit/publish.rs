//! What a session leaves for the fast path to decide by itself.

use crate::arbiter::Basis;
use crate::config::SyncOnRelease;
use crate::manager::inner::Inner;
use crate::manager::inner::locked::Locked;
use crate::manager::limit::decide::{May, Step, View};
use crate::manager::state::core::Published;
use crate::manager::state::group::Gates;
use crate::manager::state::word::{MAX_SUM, Word};
use crate::mode::WireMode;
use crate::sync::Ordering;
use std::time::Instant;

impl Inner {
    /// Publishes what the fast path may decide by itself while the limit is at least `limit`.
    pub(crate) fn publish(
        &self,
        core: &mut Locked<'_>,
        view: &View,
        limit: Option<u64>,
    ) -> Published {
        core.guaranteed = limit;
        let shrink_to = core.shrink_to();
        let published = Published {
            anchor: view
                .iter()
                .find(|(_, word)| word.driving() > 0)
                .map(|(index, _)| *index),
            leader: self.shrink_leader(core, view, shrink_to),
            shrink_to,
        };
        if core.must_close_gates(self) {
            core.close_gates();
            return published;
        }
        let baseline = core.epoch.baseline;
        let admission_baseline = core.admission_baseline();
        let covers_all = limit.is_some_and(|limit| limit >= core.bound());
        let if_lowering = if core.is_wired() {
            Gates::FINISHES_IF_LOWERING
        } else {
            0
        };
        // Without synchronising there are only hooks, and the fast path releases no guard that has one.
        let never = core.config.sync_on_release == SyncOnRelease::Never;
        let finishes = self.finishes_each() && !never;
        for state in core.listed_groups() {
            let gates = &state.shared.gates;
            let index = Some(state.shared.index);
            if state.custom() || state.mixed {
                gates.admit.store(0, Ordering::Release);
                gates.cover.store(0, Ordering::Release);
                gates.send_to_lock(if_lowering);
                continue;
            }
            let formula = state.resolved;
            let cover = match limit {
                None => 0,
                // An addition that takes the sum above this must be taken back.
                Some(_) if covers_all => MAX_SUM + 1,
                Some(limit) => formula.covered(baseline, limit).min(MAX_SUM + 1),
            };
            let shrink_below = shrink_to
                .filter(|_| published.leader == index)
                .map(|to| formula.covered(baseline, to));
            let admit = match (core.mode, core.config.budget) {
                (WireMode::Uncoordinated, _) => u64::MAX,
                // The budget is of all groups together: only the lock knows.
                (_, Some(_)) => 0,
                (_, None) => core.pressed(formula).admitted(admission_baseline),
            };
            // A thread that read an `admit` before it was lowered, and is let in by it, must not pass here.
            let cover = cover.min(admit);
            // The leader's last release looks too: with it goes all that the group calls for.
            let watches = published.anchor == index || published.leader == index;
            let elsewhere = if watches {
                0
            } else {
                Gates::ANCHORED_ELSEWHERE
            };
            gates.admit.store(admit, Ordering::Release);
            if core.config.budget.is_some() || published.anchor.is_none() {
                // A waiter may be in any group; and what is called for without driving guards says nothing of what a
                // release leaves.
                gates.send_to_lock(if_lowering);
            } else {
                let (shrink_floor, size_floor) = match formula.basis() {
                    Basis::Sum => (Word::least(shrink_below.unwrap_or(0)), u64::MAX),
                    Basis::Largest => (u64::MAX, shrink_below.unwrap_or(u64::MAX)),
                };
                gates.shrink_floor.store(shrink_floor, Ordering::Release);
                let (floor, finishes) = if finishes {
                    (u64::MAX, Gates::FINISHES)
                } else {
                    (shrink_floor | Word::DRIVES, 0)
                };
                gates.floor.store(floor, Ordering::Release);
                gates.size_floor.store(size_floor, Ordering::Release);
                let flags = elsewhere | if_lowering | finishes;
                gates.flags.store(flags, Ordering::Release);
            }
            gates.cover.store(cover, Ordering::Release);
        }
        published
    }

    /// The one group whose releases look for a shrink: the one that calls for the most. While it calls for
    /// more than `shrink_to`, no release elsewhere can make a shrink due.
    fn shrink_leader(
        &self,
        core: &Locked<'_>,
        view: &View,
        shrink_to: Option<u64>,
    ) -> Option<usize> {
        let to = shrink_to?;
        if !core.epoch.open || core.pending_work.shrink_at.is_some() {
            return None;
        }
        view.iter()
            .map(|(index, word)| (core.group(*index), *word))
            .filter(|(state, word)| state.is_live(*word))
            .map(|(state, word)| (state.limit(word, core.epoch.baseline), state.shared.index))
            .max()
            .filter(|(limit, _)| *limit > to)
            .map(|(_, index)| index)
    }

    /// Whether what was published still stands, now that every release that came before seeing it is read.
    pub(crate) fn published_stands(
        &self,
        core: &mut Locked<'_>,
        published: Published,
        may: May,
        now: Instant,
    ) -> bool {
        let view: View = core
            .listed_groups()
            .map(|state| (state.shared.index, state.shared.read()))
            .collect();
        if self.opens_epoch_unasked(core) {
            return false;
        }
        let word = |index: usize| {
            view.iter()
                .find(|(other, _)| *other == index)
                .map_or(Word::default(), |(_, word)| *word)
        };
        let anchored = published
            .anchor
            .is_none_or(|index| word(index).driving() > 0);
        let to = core.shrink_to();
        let held = published.leader.is_none_or(|index| {
            let (state, word) = (core.group(index), word(index));
            state.is_live(word) && to.is_some_and(|to| state.limit(word, core.epoch.baseline) > to)
        });
        let shrink_was_pending = core.pending_work.shrink_at.is_some();
        // A raise is the concern of the acquire that needs it, which finds the cover too small and comes here.
        let step = self.decide(core, &view, may, now);
        // While a shrink is pending work, no release is told to look for one.
        let looked_for = !shrink_was_pending || core.pending_work.shrink_at.is_some();
        anchored && held && looked_for && matches!(step, Step::Keep | Step::Raise { .. })
    }
}
