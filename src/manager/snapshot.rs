//! Taking snapshots: what is under the lock in one hold of it, the single guards right after.

use super::core::{Core, Cover, Uncovered};
use super::queue::Waiter;
use super::waiting::arrival;
use super::{Inner, Manager, settings};
use crate::snapshot::{self, BaselineSource, Contention, Owed, Snapshot};
use crate::sync::{Arc, Ordering};
use crate::ticket::Ticket;
use crate::{Error, Holder};
use std::collections::BTreeMap;
use std::time::Instant;

/// How often the guards are listed anew while they do not add up.
const TRIES: usize = 8;

/// By group: how many guards, and their bytes.
type Tally = BTreeMap<usize, (u64, u64)>;

impl Manager {
    /// The whole state: limits, what is owed, every group, guard and waiter, and what was done so far.
    ///
    /// It takes the manager's lock for as long as copying groups and queues takes.
    /// [`Snapshot`] says which parts of it are of one moment.
    ///
    /// ```
    /// use mlx_wired::{Manager, SumPolicy};
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let ticket = manager.ticket(&SumPolicy::capped(1 << 30), 256 << 20).label("step");
    /// let _guard = ticket.acquire()?;
    ///
    /// let snapshot = manager.snapshot();
    /// assert_eq!((snapshot.live, snapshot.live_bytes), (1, 256 << 20));
    /// println!("{snapshot}");
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.inner.snapshot()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0.inner
    }
}

impl Inner {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut tries = 0;
        loop {
            let (mut snapshot, waits, uncovered) = {
                let core = self.lock();
                let (state, uncovered) = self.describe(&core);
                (state, core.wait_times.clone(), uncovered)
            };
            snapshot.wait_times = waits.summary();
            snapshot.guards = self.holders();
            snapshot.guards_add_up = add_up(&snapshot, uncovered);
            tries += 1;
            if snapshot.guards_add_up || tries == TRIES {
                return snapshot;
            }
        }
    }

    /// What the lock protects, and each group's word. By group, too, the admitted demands that no listed
    /// guard has yet.
    fn describe(&self, core: &Core) -> (Snapshot, Tally) {
        let now = self.clock.now();
        let in_how_long = |at: Instant| at.saturating_duration_since(now);
        let groups = self.groups(core);
        let mut uncovered = Tally::new();
        // Those that failed are withdrawn already, though nobody has woken yet.
        let withdrawn = |it: &Uncovered| matches!(&it.cover, Cover::Failed(it) if !it.proceed);
        let demands = || core.uncovered.values().filter(|it| !withdrawn(it));
        for demand in demands() {
            let (guards, bytes) = uncovered
                .entry(demand.ticket.group().index)
                .or_insert((0, 0));
            // A guard that has grown is listed with what it had.
            let listed = demand.from.as_ref();
            *guards += u64::from(listed.is_none());
            *bytes += demand.ticket.bytes() - listed.map_or(0, Ticket::bytes);
        }
        let snapshot = Snapshot {
            time: now,
            mode: core.mode,
            environment: self
                .environment
                .clone()
                .filter(|_| core.mode != core.config.mode),
            support: self.device.support,
            closed: core.closed,
            epoch: core.epoch.open.then_some(core.epoch.number),
            baseline: core.baseline(),
            baseline_source: match (core.config.baseline_override, core.epoch.open) {
                (Some(_), _) => BaselineSource::Override,
                (None, true) if core.epoch.captured => BaselineSource::Mlx,
                (None, _) => BaselineSource::Assumed,
            },
            ceiling: (core.ceiling != u64::MAX)
                .then(|| settings::ceiling(&core.config, &self.device)),
            device_budget: core.budget,
            budget: core.config.budget,
            desired: desired(core, &groups),
            applied: core.in_force(),
            setting: core.busy,
            owed: Owed {
                shrink_in: core.owed.shrink_at.map(in_how_long),
                restore_in: core.owed.end_at.map(in_how_long),
                retry_in: core.owed.retry_at.map(in_how_long),
            },
            pressure: core.pressure,
            live: groups.iter().map(|group| group.guards).sum(),
            live_bytes: groups.iter().map(|group| group.bytes).sum(),
            uncovered: demands().count(),
            waiters: self.queues(core, now),
            groups,
            guards: Vec::new(),
            guards_add_up: false,
            stats: core.stats,
            wait_times: snapshot::WaitTimes::default(),
        };
        (snapshot, uncovered)
    }

    fn groups(&self, core: &Core) -> Vec<snapshot::Group> {
        let baseline = core.baseline();
        core.live_groups()
            .map(|state| (state, state.shared.load()))
            .filter(|(state, word)| state.is_live(*word) || !state.queue.is_empty())
            .map(|(state, word)| snapshot::Group {
                number: state.shared.index,
                policy: state.label.clone(),
                guards: word.driving() + state.reservations,
                reservations: state.reservations,
                bytes: word.sum(),
                capacity: self.capacity_of(core, state.resolved),
                limit: state.limit(word, baseline),
                waiting: state.queue.len(),
            })
            .collect()
    }

    /// Every waiter, in the order of arrival.
    fn queues(&self, core: &Core, now: Instant) -> Vec<snapshot::Waiter> {
        let mut keyed: Vec<_> = core.live_groups().flat_map(|state| &state.queue).collect();
        keyed.sort_by_key(|(key, _)| arrival(**key));
        keyed
            .into_iter()
            .map(|(_, waiter)| describe_waiter(waiter, now))
            .collect()
    }

    /// Who waits in line with a demand of the group, the waiter of key `own` apart. The holders are
    /// [named](Self::in_the_way) without the lock.
    pub(super) fn contention(
        &self,
        core: &Core,
        group: usize,
        own: Option<u64>,
    ) -> Box<Contention> {
        let now = self.clock.now();
        let together = core.config.budget.is_some();
        let mut queue: Vec<_> = core
            .live_groups()
            .filter(|state| together || state.shared.index == group)
            .flat_map(|state| &state.queue)
            .filter(|(key, _)| Some(**key) != own)
            .collect();
        queue.sort_by_key(|(key, _)| **key);
        Box::new(Contention {
            holders: Vec::new(),
            guards: 0,
            waiting: queue.len(),
            queue: queue
                .into_iter()
                .take(Contention::LISTED)
                .map(|(_, waiter)| describe_waiter(waiter, now))
                .collect(),
        })
    }

    /// The same error with the largest holders. Elsewhere than under the lock, since there may be many.
    pub(super) fn explained(&self, mut error: Error, ticket: &Ticket) -> Error {
        if let Error::Timeout { contention, .. } | Error::NeverAdmissible { contention, .. } =
            &mut error
        {
            contention.name(self.in_the_way(ticket));
        }
        error
    }

    /// [`explained`](Self::explained), of a wait that another thread has ended; one that gave up has named them itself.
    pub(super) fn explained_late(&self, error: Error, ticket: &Ticket) -> Error {
        match error {
            Error::NeverAdmissible { .. } => self.explained(error, ticket),
            other => other,
        }
    }

    /// The live guards in `ticket`'s way, the largest first: of its group, or with a budget of all groups.
    pub(super) fn in_the_way(&self, ticket: &Ticket) -> Vec<Holder> {
        let together = self.lock().config.budget.is_some();
        let group = ticket.group().index;
        let mut holders = self.holders();
        holders.retain(|holder| together || holder.group == group);
        holders
    }
}

/// The limit that the live guards call for: the baseline while none drives.
fn desired(core: &Core, groups: &[snapshot::Group]) -> u64 {
    let baseline = core.baseline();
    let driven = groups.iter().any(|group| group.guards > group.reservations);
    let limits = groups.iter().filter(|group| group.guards > 0);
    let most = limits.map(|group| group.limit).max();
    most.filter(|_| driven).unwrap_or(baseline)
}

/// Whether the listed guards and the uncovered demands are what the groups count.
fn add_up(snapshot: &Snapshot, uncovered: Tally) -> bool {
    let mut tally = uncovered;
    for guard in &snapshot.guards {
        let (guards, bytes) = tally.entry(guard.group).or_insert((0, 0));
        *guards += 1;
        *bytes += guard.bytes;
    }
    let counted = snapshot.groups.iter().filter(|group| group.guards > 0);
    counted
        .map(|group| (group.number, (group.guards, group.bytes)))
        .eq(tally)
}

fn describe_waiter(waiter: &Waiter, now: Instant) -> snapshot::Waiter {
    let ticket = &waiter.ticket;
    snapshot::Waiter {
        ticket: ticket.id(),
        bytes: ticket.bytes(),
        held: waiter.from.as_ref().map(|from| from.bytes()),
        policy: ticket.policy_label().clone(),
        label: ticket.label_text(),
        group: ticket.group().index,
        place: waiter.place,
        thread: waiter.thread,
        thread_name: waiter.thread_name.clone(),
        waited: now.saturating_duration_since(waiter.since),
        overtaken: waiter.overtaken.load(Ordering::Relaxed),
    }
}
