//! What must hold when nothing moves any more.

use super::crew::Crew;
use super::plan::{SECOND, chance};
use crate::check::yield_now;
use mlx_wired::WireMode;
use mlx_wired::snapshot::{Owed, Snapshot};
use std::time::Duration;

/// How often others are let go on before it counts as a livelock.
const PATIENCE: usize = 5_000;

fn is_due(owed: &Owed) -> bool {
    [owed.shrink_in, owed.restore_in, owed.retry_in].contains(&Some(Duration::ZERO))
}

impl Crew {
    /// Waits until nothing moves any more: nobody decides about the limit, and what is due was done.
    pub(super) fn settle(&self) -> Snapshot {
        for _ in 0..PATIENCE {
            if self.is_still() {
                let snapshot = self.world.manager.snapshot();
                let due = is_due(&snapshot.owed);
                if !snapshot.setting && snapshot.uncovered == 0 {
                    if !due && self.is_still() {
                        return snapshot;
                    }
                    if due && !self.tuning().housekeeping {
                        self.world.manager.maintain();
                    }
                }
            }
            yield_now();
        }
        panic!("it never stands still: {}", self.world.manager.snapshot());
    }

    /// What must hold now. `released`: the last that anybody did was a release.
    pub(super) fn check(&self, released: bool) {
        let snapshot = self.settle();
        self.check_limit(&snapshot, released);
        self.check_accounts(&snapshot);
        let owed = snapshot.owed;
        let rests = owed.retry_in.or(owed.restore_in).is_none() && !self.plan.is_moody();
        if rests && chance(70) {
            self.check_rest();
        }
    }

    fn check_limit(&self, snapshot: &Snapshot, released: bool) {
        let oracle = &self.world.oracle;
        let calls = oracle.calls();
        let wired = self.plan.mode == WireMode::Auto;
        let limit = if wired {
            oracle.limit()
        } else {
            snapshot.applied
        };
        let is_known = oracle.has_succeeded() || !wired;
        let owed = snapshot.owed;
        if owed.retry_in.is_some() {
            return;
        }
        let Some((least, most)) = oracle.called_for() else {
            if owed.restore_in.is_none() && snapshot.epoch.is_some() {
                panic!("the epoch stays open: {snapshot}");
            }
            let restored = limit == oracle.baseline() || !is_known;
            assert!(
                restored || owed.restore_in.is_some(),
                "{limit}: {calls:?}, {snapshot}"
            );
            return;
        };
        assert!(
            limit >= least,
            "{limit} after {calls:?}, not {least}: {snapshot}"
        );
        let step = (limit as f64 * self.tuning().ratio).ceil() as u64;
        let excess = limit.saturating_sub(most);
        // Who came while the epoch lingered looks for no shrink: the next release or the end of linger does.
        let waits = owed.shrink_in.is_some() || (!released && owed.restore_in.is_some());
        assert!(
            excess < step.max(1) || !is_known || waits,
            "{limit} after {calls:?}, not {most}: {snapshot}"
        );
    }

    fn check_accounts(&self, snapshot: &Snapshot) {
        let oracle = &self.world.oracle;
        let live = oracle.live();
        assert_eq!((snapshot.live, snapshot.live_bytes), live, "{snapshot}");
        assert!(snapshot.guards_add_up, "{snapshot}");
        assert_eq!(snapshot.guards.len() as u64, live.0, "{snapshot}");
        if oracle.has_succeeded() {
            assert_eq!(snapshot.applied, oracle.limit(), "{snapshot}");
        }
        let calls = oracle.calls().len() as u64;
        assert_eq!(snapshot.stats.setter_calls, calls, "{snapshot}");
        assert_eq!(snapshot.stats.foreign_changes, 0, "{snapshot}");
        let waiting: usize = snapshot.groups.iter().map(|group| group.waiting).sum();
        assert_eq!(snapshot.waiters.len(), waiting, "{snapshot}");
        assert_eq!(self.world.manager.waiters(), waiting as u64, "{snapshot}");
        let stats = &snapshot.stats;
        assert!(
            stats.timeouts + stats.cancellations <= stats.waits,
            "{snapshot}"
        );
        assert!(stats.stalls == 0 || stats.waits > 0, "{snapshot}");
    }

    /// Whoever looks finds nothing to do.
    fn check_rest(&self) {
        let before = self.world.manager.snapshot();
        self.world.manager.poke().expect("it is outside");
        let after = self.world.manager.snapshot();
        let line = |snapshot: &Snapshot| -> Vec<u64> {
            let waiters = snapshot.waiters.iter();
            waiters.map(|waiter| waiter.ticket).collect()
        };
        assert_eq!(
            line(&before),
            line(&after),
            "somebody was forgotten: {before}"
        );
        assert_eq!(
            before.stats.setter_calls, after.stats.setter_calls,
            "a change was forgotten: {before}\n{after}"
        );
    }

    /// All that is owed is done in time.
    pub(super) fn pass_time(&self) {
        self.world.oracle.heal();
        for _ in 0..3 {
            self.world.clock.advance(SECOND * 100);
            self.settle();
        }
        let snapshot = self.settle();
        assert_eq!(snapshot.owed, Owed::default(), "{snapshot}");
        self.check(false);
    }
}
