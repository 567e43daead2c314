//! Taking snapshots: what is under the lock in one hold of it, the single guards right after.

use crate::fork;
use crate::manager::Manager;
use crate::manager::inner::Inner;
use crate::manager::state::core::Core;
use crate::manager::state::settings;
use crate::manager::state::uncovered::{CallState, Uncovered};
use crate::manager::state::waiter::Waiter;
use crate::snapshot::{self, BaselineSource, Contention, Owed, Snapshot, WaitReason};
use crate::sync::{Arc, Ordering};
use std::collections::BTreeMap;
use std::time::Instant;

/// How often the guards are listed anew while they do not add up.
const TRIES: usize = 8;

/// By group: how many guards, and their bytes.
type Tally = BTreeMap<usize, (u64, u64)>;

impl Manager {
    /// The whole state: limits, pending work, every group, guard and waiter, and what was done so far.
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
                self.inspect(|core| {
                    let (state, uncovered) = self.describe(core);
                    (state, core.wait_times.clone(), uncovered)
                })
            };
            snapshot.wait_times = waits.summary();
            snapshot.guards = self.holders();
            snapshot.guards_add_up = totals_agree(&snapshot, uncovered);
            tries += 1;
            if snapshot.guards_add_up || tries == TRIES {
                return snapshot;
            }
        }
    }

    /// What the lock protects, and each group's word. By group, too, the admitted demands that no listed
    /// guard has yet.
    fn describe(&self, core: &Core) -> (Snapshot, Tally) {
        // A clock may have a lock, which a dead thread may hold in a child.
        let now = if fork::is_child() {
            Instant::now()
        } else {
            self.clock.now()
        };
        let in_how_long = |at: Instant| at.saturating_duration_since(now);
        let groups = self.groups(core);
        let mut uncovered = Tally::new();
        // Those that failed are withdrawn already, though their threads have not woken yet.
        let withdrawn = |it: &Uncovered| matches!(&it.call, CallState::Failed(it) if !it.proceed);
        let demands = || core.uncovered.values().filter(|it| !withdrawn(it));
        for demand in demands() {
            let (guards, bytes) = uncovered
                .entry(demand.request.group().index)
                .or_insert((0, 0));
            // A guard that has grown is listed with what it had.
            let listed = demand.from.as_ref();
            *guards += u64::from(listed.is_none());
            *bytes += demand.request.bytes() - listed.map_or(0, |listed| listed.bytes());
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
            device_budget: core.device_budget,
            budget: core.config.budget,
            desired: desired(core, &groups),
            applied: core.in_force(),
            setting: core.busy,
            owed: Owed {
                shrink_in: core.pending_work.shrink_at.map(in_how_long),
                restore_in: core.pending_work.end_at.map(in_how_long),
                retry_in: core.pending_work.retry_at.map(in_how_long),
            },
            pressure: core.pressure,
            level: core.level(),
            share: core.share(),
            live: groups.iter().map(|group| group.guards).sum(),
            live_bytes: groups.iter().map(|group| group.bytes).sum(),
            uncovered: demands().count(),
            waiters: self.queues(core, now, |waiter| waiter.number),
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
        core.listed_groups()
            .map(|state| (state, state.shared.load()))
            .filter(|(state, word)| state.is_live(*word) || state.waiters().next().is_some())
            .map(|(state, word)| snapshot::Group {
                number: state.shared.index,
                policy: state.label.clone(),
                name: state.key.0.name().cloned(),
                guards: state.guards(word),
                reservations: state.reservations,
                bytes: word.sum(),
                capacity: self.capacity_of(core, state.resolved),
                limit: state.limit(word, baseline),
                waiting: state.waiters().count(),
            })
            .collect()
    }

    /// Every waiter: growing guards first, then the order of arrival.
    pub(crate) fn waiting(&self) -> Vec<snapshot::Waiter> {
        if fork::is_child() {
            return Vec::new();
        }
        self.queues(&self.lock(), self.clock.now(), Waiter::order)
    }

    /// Every waiter, in such an order.
    fn queues<O: Ord>(
        &self,
        core: &Core,
        now: Instant,
        order: impl Fn(&Waiter) -> O,
    ) -> Vec<snapshot::Waiter> {
        let together = core.config.budget.is_some();
        let mut rows: Vec<_> = core
            .listed_groups()
            .flat_map(|state| {
                let queued = state.queue.values().map(|waiter| (false, waiter));
                queued.chain(state.set_aside.values().map(|waiter| (true, waiter)))
            })
            .collect();
        rows.sort_by_key(|(set_aside, waiter)| {
            let key = if *set_aside {
                waiter.number
            } else {
                waiter.key()
            };
            (*set_aside, key)
        });
        let mut lengths = BTreeMap::<_, usize>::new();
        let mut waiters: Vec<_> = rows
            .into_iter()
            .map(|(set_aside, waiter)| {
                let queue = (!together).then_some(waiter.request.group().index);
                let length = lengths.entry((set_aside, queue)).or_default();
                let position = std::mem::replace(length, *length + 1);
                (
                    order(waiter),
                    self.describe_waiter(core, waiter, position, now),
                )
            })
            .collect();
        waiters.sort_by(|(a, _), (b, _)| a.cmp(b));
        waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// The waiters in the queue with a demand of the group, the one of key `own` apart, and how many guards are in its
    /// way. The holders are [named](Self::in_the_way) without the lock.
    pub(crate) fn contention(
        &self,
        core: &Core,
        group: usize,
        own: Option<u64>,
    ) -> Box<Contention> {
        let now = self.clock.now();
        let mut contention = Contention::default();
        let mut first = Vec::new();
        for state in core.scope_groups(group) {
            let is_own = own.is_some_and(|own| state.queue.contains_key(&own));
            contention.guards += state.guards(state.shared.load()) as usize;
            contention.waiting += state.queue.len() - usize::from(is_own);
            let others = state.queue.iter().filter(|(key, _)| Some(**key) != own);
            first.extend(others.take(Contention::LISTED));
        }
        first.sort_by_key(|(key, _)| **key);
        let first = first.into_iter().take(Contention::LISTED).enumerate();
        contention.queue = first
            .map(|(before, (key, waiter))| {
                let own_is_before = own.is_some_and(|own| own < *key);
                self.describe_waiter(core, waiter, before + usize::from(own_is_before), now)
            })
            .collect();
        Box::new(contention)
    }

    /// What is told of a waiter that has so many before it in its queue.
    fn describe_waiter(
        &self,
        core: &Core,
        waiter: &Waiter,
        position: usize,
        now: Instant,
    ) -> snapshot::Waiter {
        let request = &waiter.request;
        let set_aside = core.is_set_aside(waiter);
        snapshot::Waiter {
            ticket: request.id(),
            bytes: request.bytes(),
            held: waiter.from.as_ref().map(|from| from.bytes()),
            kind: request.kind(),
            policy: request.policy_label().clone(),
            label: request.label_text(),
            group: request.group().index,
            place: waiter.location,
            thread: waiter.thread,
            thread_name: waiter.thread_name.clone(),
            since: waiter.since,
            waited: now.saturating_duration_since(waiter.since),
            overtaken: waiter.overtaken.load(Ordering::Relaxed),
            position,
            set_aside,
            why: match position {
                0 => self.wait_reason(core, waiter.demand()),
                _ if set_aside => self.wait_reason(core, waiter.demand()),
                _ => WaitReason::Line,
            },
        }
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
fn totals_agree(snapshot: &Snapshot, uncovered: Tally) -> bool {
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
