//! What must hold of the whole: at any time, and when nothing moves.

use super::forms::{Counts, SIZES, bytes};
use super::world::World;
use mlx_wired::ffi::Outcome;
use mlx_wired::snapshot::BaselineSource;
use mlx_wired::{HolderState, Snapshot};
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// Long enough for any machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    /// A snapshot amid the traffic: every part of it is of some moment, and the parts agree.
    pub(crate) fn check_snapshot(&self) {
        let calls = self.backend.call_count() as u64;
        let (left, began) = (self.accounts.left(), self.accounts.began());
        let snapshot = self.manager.snapshot();
        let least = self.accounts.least(&began);
        let most = self.accounts.most(left);
        let told = (snapshot.live, snapshot.live_bytes);
        assert!(
            least.0 <= told.0 && told.0 <= most.0 && least.1 <= told.1 && told.1 <= most.1,
            "R24: {told:?} live, not {least:?} to {most:?}: {snapshot}"
        );
        let groups = &snapshot.groups;
        let waiting: usize = groups.iter().map(|group| group.waiting).sum();
        assert_eq!(waiting, snapshot.waiters.len(), "{snapshot}");
        for group in groups {
            assert!(group.reservations <= group.guards, "{snapshot}");
        }
        let budget = self.plan.budget.unwrap_or(u64::MAX);
        assert!(told.1 <= budget, "R25: {told:?} of {budget}: {snapshot}");
        let ceiling = self.bound().max(self.baseline());
        assert!(snapshot.applied <= ceiling, "R10: {snapshot}");
        let made = snapshot.stats.setter_calls;
        // One may be counted and not yet begun.
        let most = self.backend.call_count() as u64 + 1;
        assert!(calls <= made && made <= most, "{calls} {made} {most}");
        let stats = &snapshot.stats;
        let ended = stats.timeouts + stats.cancellations + snapshot.wait_times.count;
        assert!(ended <= stats.waits, "{stats:?}");
    }

    /// When no thread is inside a call: everything is exact, and nothing that is due is left undone.
    #[track_caller]
    pub(crate) fn check_still(&self) {
        let snapshot = self.settled();
        let (counts, driving) = self.accounts.still(&self.accounts.began());
        let guards: u64 = counts.iter().flatten().sum();
        let live_bytes: u64 = counts.iter().map(bytes).sum();
        let context = || format!("{counts:?} live; {snapshot}\n{:#?}", self.plan);
        let told = (snapshot.live, snapshot.live_bytes);
        assert_eq!(told, (guards, live_bytes), "R24: {}", context());
        let around = self.accounts.most(self.accounts.left());
        assert_eq!(around, (guards, live_bytes), "the test's own accounts");
        let nobody = snapshot.waiters.is_empty() && snapshot.uncovered == 0;
        assert!(nobody, "R15: something is left: {}", context());
        self.check_holders(&snapshot, &counts);
        self.check_force(&snapshot, &counts, driving);
        self.check_counters(&snapshot);
        let wrong = self.wrong.lock().clone();
        assert!(wrong.is_empty(), "{wrong:#?} {}", context());
        for custom in self.customs() {
            let wrong = custom.wrong();
            assert!(wrong.is_empty(), "{wrong:#?} {}", context());
        }
        self.backend.assert_rules();
    }

    /// A snapshot once nothing is owed any more.
    fn settled(&self) -> Snapshot {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let snapshot = self.manager.snapshot();
            let owed = &snapshot.owed;
            let owes = owed.shrink_in.or(owed.restore_in).or(owed.retry_in);
            // The housekeeping thread may be at it.
            if owes.is_none() && !snapshot.setting {
                return snapshot;
            }
            assert!(Instant::now() < give_up, "R8: still {owed:?}");
            // Not otherwise: it would do what was lost.
            if owes.is_some() {
                self.manager.maintain();
            }
            yield_now();
        }
    }

    /// R19: every live guard is listed.
    #[track_caller]
    fn check_holders(&self, snapshot: &Snapshot, counts: &[Counts]) {
        assert!(snapshot.guards_add_up, "R19: {snapshot}");
        for (line, counts) in self.lines.iter().zip(counts) {
            let named = |guard: &&mlx_wired::Holder| guard.label.as_deref() == Some(&line.name);
            for (size, count) in SIZES.iter().zip(counts) {
                let guards = snapshot.guards.iter().filter(named);
                let listed = guards.filter(|guard| guard.bytes == *size).count() as u64;
                assert_eq!(listed, *count, "R19: {size} in {}: {snapshot}", line.name);
            }
        }
    }

    /// R2, R5 to R9: the limit is what the live guards call for.
    #[track_caller]
    fn check_force(&self, snapshot: &Snapshot, counts: &[Counts], driving: u64) {
        let context = || format!("{counts:?} live; {snapshot}\n{:#?}", self.plan);
        let limit = self.limit();
        if self.is_wired() {
            // What was in force before the first set, the manager does not know.
            assert!(
                !self.has_set() || limit == snapshot.applied,
                "{}",
                context()
            );
        } else {
            assert_eq!(self.backend.call_count(), 0, "R14: {}", context());
        }
        if snapshot.baseline_source == BaselineSource::Mlx {
            assert_eq!(snapshot.baseline, self.baseline(), "R6: {}", context());
        }
        if driving == 0 {
            // Before the first set, nothing is known to be in force.
            assert!(
                limit == self.baseline() || (!self.is_wired() && limit == 0),
                "R6: the baseline is not back: {}",
                context()
            );
            return;
        }
        if !self.has_set() {
            // Nothing that lives needs more than what is assumed to be in force.
            return;
        }
        let lines = self.lines.iter().zip(counts);
        let exact = lines
            .clone()
            .all(|(line, counts)| line.form.is_exact() || *counts == [0; 8]);
        let limits = lines.map(|(line, counts)| line.form.limit(snapshot.baseline, counts));
        let desired = limits.max().unwrap_or(0);
        // A custom policy is asked again only where its answer may change something.
        if exact && self.customs().next().is_none() {
            assert_eq!(snapshot.desired, desired, "R2: {}", context());
        }
        let desired = if exact { desired } else { snapshot.desired };
        let target = desired.min(self.bound().max(snapshot.baseline));
        assert!(limit >= target, "R4: {limit} of {target}: {}", context());
        let step = ((limit as f64 * self.plan.ratio).ceil() as u64).max(1);
        let excess = limit - target;
        assert!(
            excess < step,
            "R8: a shrink by {excess} was lost: {}",
            context()
        );
    }

    #[track_caller]
    fn check_counters(&self, snapshot: &Snapshot) {
        let stats = &snapshot.stats;
        let calls = self.backend.calls();
        let failed = calls.iter().filter(|call| call.outcome != Outcome::Applied);
        let counted = (stats.setter_calls, stats.setter_failures);
        let made = (calls.len() as u64, failed.count() as u64);
        assert_eq!(counted, made, "calls of the setter, and failures");
        if self.plan.failing == 0 {
            let needless = self.backend.redundant_calls();
            assert_eq!(needless, 0, "R5: needless calls: {calls:#?}");
        }
        assert_eq!(stats.foreign_changes, 0);
        let ended = stats.timeouts + stats.cancellations + snapshot.wait_times.count;
        let broken = stats.waits - ended;
        // Waits also end with the manager, with a circle, with a policy's panic, and without a guard if a call failed.
        let plan = &self.plan;
        // So do they where holds come that they do not fit beside.
        let holds = plan.holds && (plan.nests || plan.stays);
        let mixed =
            plan.closing || plan.panicking || plan.failing > 0 || plan.overtaking > 0 || holds;
        assert!(broken == 0 || mixed || self.has_circles(), "{stats:?}");
    }

    /// Whether waits may have become circles after they began.
    fn has_circles(&self) -> bool {
        self.customs().next().is_some()
    }

    /// The end of a run: every guard that was not to live for ever is gone, and its thread too.
    #[track_caller]
    pub(crate) fn check_end(&self) {
        self.heal();
        self.check_still();
        for guard in self.manager.snapshot().guards {
            let gone = guard.state != HolderState::Held || !guard.bound;
            assert!(self.plan.leaking && gone, "R21: {guard:?} is left");
        }
    }
}
