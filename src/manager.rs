//! The manager: the one owner of the limit.

pub(crate) mod admission;
mod ask;
mod circles;
mod config;
pub(crate) mod core;
mod cover;
mod decide;
pub(crate) mod group;
mod housekeeping;
mod judge;
mod locked;
mod publish;
pub(crate) mod queue;
pub(crate) mod registry;
mod release;
mod session;
mod set;
mod shared;
mod snapshot;
mod standing;
pub(crate) mod user_code;
mod wait_times;
mod waiting;
mod watched;
pub(crate) mod word;

pub use config::{Config, OnApplyFailure, WireMode};
pub use queue::{CancelToken, Waiting};
pub use registry::{Holder, HolderState};
pub use shared::ManagerBuilder;

use self::core::Core;
use self::group::{Group, GroupState, SizeCount};
use self::locked::Locked;
use crate::Error;
use crate::clock::Clock;
use crate::event::{Bus, Event, EventKind, Subscriber};
use crate::ffi::{Backend, BackendError, Device, Support};
use crate::policy::formula::Basis;
use crate::policy::{Formula, Policy};
use crate::sync::{Arc, AtomicBool, AtomicU64, Futex, Mutex, Ordering, Weak, unmodelled};
use crate::ticket::{OwnedGuard, Ticket};
use crate::trace;
use std::fmt;
use std::time::Duration;

/// Owns MLX's wired limit: admits tickets, computes the limit that all live guards need, and calls the
/// setter as rarely as possible.
///
/// Clones are handles to the same manager. Programs use the [shared](Self::shared) one; a
/// [builder](Self::builder) makes isolated ones, for tests and for other bindings to MLX.
#[derive(Clone)]
pub struct Manager(Arc<Handle>);

/// Counts the handles of a manager: dropping the last one ends linger.
struct Handle {
    inner: Arc<Inner>,
}

/// What tickets, guards and handles share.
pub(crate) struct Inner {
    this: Weak<Inner>,
    pub(crate) core: Mutex<Core>,
    /// Changes whenever a session has called the setter; sleepers wait on it.
    pub(crate) turn: Futex,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) device: Device,
    events: Bus,
    pub(crate) tickets: unmodelled::Mutex<registry::Registry>,
    epoch: AtomicU64,
    /// Whether this manager owns its backend's resource, or there is none. Until then, the routes are closed.
    claimed: AtomicBool,
    last_failure: Mutex<Option<(u64, Error)>>,
    /// What the environment said, until the first subscriber is told.
    unrecognised_mode: Mutex<Option<String>>,
}

/// What a manager has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Calls of the setter.
    pub setter_calls: u64,
    /// Calls of the setter that failed.
    pub setter_failures: u64,
    /// Times the limit was set to the ceiling though more was called for.
    pub clamped: u64,
    /// Times MLX had another limit than the one set last.
    pub foreign_changes: u64,
    /// Acquires and resizes that were covered by another thread's call of the setter, without one of their own.
    pub coalesced: u64,
    /// Acquires and resizes that succeeded under the lock; those that changed nothing for others needed none, and are not
    /// counted.
    pub admissions: u64,
    /// Acquires that waited for admission.
    pub waits: u64,
    /// Waits that ended with a deadline.
    pub timeouts: u64,
    /// Waits that were cancelled.
    pub cancellations: u64,
    /// Waits that went on for longer than [`Config::stall_after`].
    pub stalls: u64,
    /// The longest wait for admission that ended with a guard.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub longest_wait: Duration,
    /// The sum of those waits.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub total_wait: Duration,
}

impl Stats {
    fn note_wait(&mut self, waited: Duration) {
        self.longest_wait = self.longest_wait.max(waited);
        self.total_wait = self.total_wait.saturating_add(waited);
    }
}

impl Manager {
    /// A ticket for `bytes` under `policy`.
    ///
    /// The policy is cloned once; put state that clones should share behind an [`Arc`], which is a
    /// policy itself.
    ///
    /// # Panics
    ///
    /// Where the policy's `id`, `label`, `can_refuse` or `wants_sizes` does.
    pub fn ticket<P: Policy + Clone>(&self, policy: &P, bytes: u64) -> Ticket {
        Ticket::new(&self.0.inner, Arc::new(policy.clone()), bytes)
    }

    /// Raises the limit to the ceiling while the guard lives: mlx-lm's `wired_limit(model)` and
    /// mlxrs's `WiredLimitGuard`.
    ///
    /// Guards of this kind nest and overlap; the baseline is restored with the last. A model of more than
    /// 90 % of the ceiling gives the event [`EventKind::ModelNearCeiling`]. Where there is no wired
    /// memory the guard counts and sets nothing.
    ///
    /// # Errors
    ///
    /// As [`Ticket::acquire`]; a model larger than the ceiling is only warned of.
    ///
    /// # Blocking
    ///
    /// As long as the setter's call.
    #[track_caller]
    pub fn wire_max(&self, model_bytes: u64) -> Result<OwnedGuard, Error> {
        let inner = &self.0.inner;
        let ceiling = {
            let mut core = inner.lock();
            let ceiling = core.ceiling;
            // 90 % as in mlx-lm's wired_limit.
            if model_bytes > ceiling / 10 * 9 {
                let kind = EventKind::ModelNearCeiling {
                    model: model_bytes,
                    ceiling,
                };
                inner.emit(&mut core, kind, None, |event| {
                    event.size = Some(model_bytes)
                });
            }
            ceiling
        };
        let limit = if ceiling == u64::MAX { 0 } else { ceiling };
        let policy = crate::FixedPolicy::new(limit);
        self.ticket(&policy, model_bytes.min(word::MAX_SUM))
            .label("wire_max")
            .acquire_owned()
    }

    /// The highest limit that will ever be set for a demand, in bytes:
    /// min(recommended x (1 - margin), memory size - reserve), always below the memory size. `None` where
    /// there is no wired memory.
    #[must_use]
    pub fn ceiling(&self) -> Option<u64> {
        let core = self.0.inner.lock();
        (core.ceiling != u64::MAX).then_some(core.ceiling)
    }

    /// What a policy capped by the device may hold, in bytes; `None` if nothing is known.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.0.inner.lock().budget
    }

    /// The limit that was applied last, in bytes; in policy-only mode the one that would have been.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.0.inner.lock().in_force()
    }

    /// Whether a limit has an effect on this manager's device.
    #[must_use]
    pub fn support(&self) -> Support {
        self.0.inner.device.support
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.inner.device
    }

    /// The mode in force: the configured one, unless the environment says never.
    #[must_use]
    pub fn mode(&self) -> WireMode {
        self.0.inner.lock().mode
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.inner.lock().config.clone()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.inner.lock().stats
    }

    /// Who waits for admission, in the order of arrival; guards that grow come before the others.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        let core = self.0.inner.lock();
        let mut waiting: Vec<_> = core.live_groups().flat_map(|state| &state.queue).collect();
        waiting.sort_by_key(|(key, _)| **key);
        waiting
            .into_iter()
            .map(|(_, waiter)| Waiting::from(&**waiter))
            .collect()
    }

    /// Who holds what, where and on which thread; the largest first.
    ///
    /// Guards are recorded as they are acquired and released, without a common lock: one that comes or goes during the
    /// call may be in the answer or not. A guard that was forgotten or leaked stays.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.0.inner.holders()
    }

    /// Subscribes to the events from now on. At most `capacity` wait to be received (at least 1); more are
    /// lost and counted.
    ///
    /// While anybody subscribes, every acquire and release takes a lock.
    #[must_use]
    pub fn subscribe(&self, capacity: usize) -> Subscriber {
        let inner = &self.0.inner;
        let mut core = inner.lock();
        // What others have yet to be handed happened before.
        inner.events.hand_over(&mut core.journal);
        let subscriber = inner.events.subscribe(capacity, inner.this.clone());
        core.close_routes();
        if let Some(value) = inner.unrecognised_mode.lock().take() {
            inner.emit(
                &mut core,
                EventKind::WireModeUnrecognised(value),
                None,
                |_| {},
            );
        }
        drop(core);
        subscriber
    }

    /// Changes the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] for mode, baseline override, margin, reserve or budget while a guard lives or somebody waits;
    /// [`Error::InvalidConfig`] for a value out of range; [`Error::Reentrant`] from inside a policy.
    /// Nothing is changed then.
    ///
    /// # Blocking
    ///
    /// As [`poke`](Self::poke). `change` runs without a lock: of two calls at the same time the later one's settings
    /// count, all of them.
    pub fn configure(&self, change: impl FnOnce(Config) -> Config) -> Result<(), Error> {
        let config = change(self.config()).validate()?;
        self.0.inner.configure(config)
    }

    /// Tells how scarce memory is, from 0 (none) to 1 (critical), and examines the queues again.
    ///
    /// # Errors
    ///
    /// As [`poke`](Self::poke); then the pressure is what it was.
    ///
    /// # Blocking
    ///
    /// As [`poke`](Self::poke).
    pub fn set_pressure(&self, pressure: f64) -> Result<(), Error> {
        let inner = &self.0.inner;
        if user_code::is_inside(inner.address()) {
            return Err(Error::Reentrant);
        }
        let pressure = if pressure.is_nan() {
            1.0
        } else {
            pressure.clamp(0.0, 1.0)
        };
        inner.lock().pressure = pressure;
        inner.poke()
    }

    /// Examines every queue and the limit again, for policies that depend on outside state.
    ///
    /// A wait that has become a circle since it began ends with [`Error::WouldDeadlock`].
    ///
    /// # Errors
    ///
    /// [`Error::Reentrant`] from inside a policy of this manager.
    ///
    /// # Blocking
    ///
    /// As long as the policies that are asked, and the setter's call if one is made; not for another thread's.
    pub fn poke(&self) -> Result<(), Error> {
        self.0.inner.poke()
    }

    /// Does now what is owed and due: a shrink that the cooldown held back, the end of linger, a failed call. For
    /// programs that switch housekeeping off.
    ///
    /// # Blocking
    ///
    /// As long as the setter's call, if one is made; not for another thread's. From inside a policy it leaves the work
    /// to the call around it.
    pub fn maintain(&self) {
        let inner = &self.0.inner;
        inner.settle(&mut inner.lock());
    }

    /// Closes the manager: waiters get [`Error::Closed`], no new guard is given, and the baseline is restored
    /// when the last driving guard goes.
    ///
    /// # Blocking
    ///
    /// As [`maintain`](Self::maintain).
    pub fn close(&self) {
        self.0.inner.close();
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("device", &self.0.inner.device)
            .field("core", &*self.0.inner.lock())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut core = self.inner.lock();
        core.abandoned = true;
        self.inner.settle(&mut core);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(waker) = self.core.lock().housekeeper.take() {
            waker.wake();
        }
        self.hand_over();
        if self.claimed.load(Ordering::Relaxed)
            && let Some(resource) = self.backend.exclusive()
        {
            shared::disclaim(resource);
        }
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked::new(self)
    }

    /// Tells this manager from others, for [`user_code`].
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn owns_backend(&self) -> bool {
        // Relaxed: the registry's lock orders the claim itself.
        self.claimed.load(Ordering::Relaxed)
    }

    /// Makes this manager the owner of its backend's resource, if there is one.
    pub(crate) fn claim(&self) -> Result<(), Error> {
        if self.owns_backend() {
            return Ok(());
        }
        let Some(resource) = self.backend.exclusive() else {
            return Ok(());
        };
        let _one_at_a_time = self.core.lock();
        if !self.owns_backend() {
            shared::claim(resource)?;
            self.claimed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The group of `policy`'s id, made if there is none, and the counter of `bytes` in it if the policy needs
    /// the largest size.
    pub(crate) fn group_for(
        &self,
        policy: &Arc<dyn Policy>,
        formula: Formula,
        label: &Arc<str>,
        bytes: u64,
    ) -> (Arc<Group>, Option<Arc<SizeCount>>) {
        let key = (policy.id(), std::mem::discriminant(&formula));
        let mut core = self.lock();
        let resolved = formula.resolve(core.budget);
        let custom = formula == Formula::Custom;
        let index = match core.by_id.get(&key) {
            Some(index) => *index,
            None => core.make_group(GroupState {
                shared: Arc::new(Group::new(0, custom)),
                key,
                policy: policy.clone(),
                formula,
                resolved,
                label: label.clone(),
                mixed: false,
                wants_sizes: false,
                queue: Default::default(),
                reservations: 0,
                sizes: Default::default(),
                sweep_sizes_at: 0,
                scratch: Vec::new(),
                version: 0,
                foreseen: None,
                answered: None,
            }),
        };
        let state = core.group_mut(index);
        if state.formula != formula && !state.mixed {
            state.mixed = true;
            state.shared.reads.close();
        }
        let counts = custom || resolved.basis() == Basis::Largest;
        let size_count = counts.then(|| state.size_count(bytes));
        (state.shared.clone(), size_count)
    }

    /// The counter of guards of `bytes` in a group that needs the largest size.
    pub(crate) fn size_count(&self, group: &Group, bytes: u64) -> Arc<SizeCount> {
        self.lock().group_mut(group.index).size_count(bytes)
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.events.is_watched()
    }

    /// Hands an event to the subscribers, in the order of the lock.
    pub(crate) fn emit(
        &self,
        core: &mut Core,
        kind: EventKind,
        ticket: Option<&Ticket>,
        fill: impl FnOnce(&mut Event),
    ) {
        let (watched, traced) = (self.events.is_watched(), trace::wants(&kind));
        if !watched && !traced {
            return;
        }
        let mut event = Event {
            sequence: 0,
            time: self.clock.now(),
            kind,
            ticket: ticket.map(Ticket::id),
            size: ticket.map(Ticket::bytes),
            policy: ticket.map(|ticket| ticket.policy_label().clone()),
            label: ticket.and_then(Ticket::label_text),
            place: None,
            thread: crate::sync::thread_id(),
            thread_name: crate::holders::thread_name(),
            baseline: core.baseline(),
            desired: None,
            applied: None,
            live: core.live(),
            waiters: core.waiters(),
        };
        fill(&mut event);
        if traced {
            core.traced.push(&event);
        }
        if watched {
            self.events.emit(&mut core.journal, event);
        }
    }

    /// Hands the records of the journal to the subscribers.
    pub(crate) fn hand_over(&self) {
        self.events.hand_over(&mut self.lock().journal);
    }

    /// Whether a release that may lower the limit synchronises.
    pub(crate) fn synchronizes_now(&self) -> bool {
        let wired = self.lock().is_wired();
        wired && user_code::catch(|| self.backend.synchronizes()).unwrap_or(false)
    }

    pub(crate) fn synchronize(&self) -> Result<(), BackendError> {
        self.backend.synchronize()
    }

    /// What a guard's group called for when its sum was `sum`. A group that goes by the largest size keeps no
    /// record of it without the lock: then what it calls for now, at least for this guard.
    pub(crate) fn wanted(&self, ticket: &Ticket, sum: u64) -> u64 {
        let core = self.lock();
        let state = core.group(ticket.group().index);
        let basis = match state.resolved.basis() {
            Basis::Sum => sum,
            Basis::Largest => state.largest().max(ticket.bytes()),
        };
        state.resolved.limit(core.baseline(), basis)
    }

    pub(crate) fn clamp(&self, limit: u64) -> u64 {
        limit.min(self.lock().bound())
    }

    /// Whether the limit is MLX's, set for an epoch, and covers a guard of `ticket` whose group called for `wanted` at
    /// its admission: that much, or what the group calls for now if others have gone, or the bound.
    pub(crate) fn has_wired(&self, ticket: &Ticket, wanted: u64) -> bool {
        let core = self.lock();
        let state = core.group(ticket.group().index);
        let baseline = core.epoch.baseline;
        let now = if state.must_ask(baseline) {
            wanted
        } else {
            state.limit(state.shared.load(), baseline)
        };
        core.is_wired() && core.epoch.open && core.applied >= wanted.min(now).min(core.bound())
    }

    pub(crate) fn applied(&self) -> u64 {
        self.lock().in_force()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn poke(&self) -> Result<(), Error> {
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        let mut core = self.lock();
        let groups: Vec<Arc<Group>> = core
            .live_groups()
            .map(|state| state.shared.clone())
            .collect();
        for group in groups {
            core.group_mut(group.index).version += 1;
            self.pump(&mut core, group.index);
        }
        self.break_circles(&mut core);
        self.settle(&mut core);
        Ok(())
    }

    fn close(&self) {
        let mut core = self.lock();
        core.closed = true;
        core.close_routes();
        let groups: Vec<usize> = core.live_groups().map(|state| state.shared.index).collect();
        for index in groups {
            let queue = std::mem::take(&mut core.group_mut(index).queue);
            for waiter in queue.into_values() {
                self.resolve(&mut core, &waiter, Err(Error::Closed));
            }
            self.clear_flag(&mut core, index);
        }
        self.settle(&mut core);
    }

    fn configure(&self, config: Config) -> Result<(), Error> {
        if user_code::is_inside(self.address()) {
            return Err(Error::Reentrant);
        }
        let settings = shared::Settings::new(&config, &self.device, self.backend.exclusive())?;
        let mut core = self.lock();
        if let Some(field) = shared::idle_only_change(&core.config, &config) {
            let lingers = core.epoch.open && core.live() == 0 && core.waiters() == 0 && !core.busy;
            if lingers {
                // A lingering epoch ends under the settings it began with.
                core.owed.lingered = true;
                self.settle(&mut core);
            }
            // Nobody gets in from here on without the lock; whoever added before is in the words.
            core.close_routes();
            let idle = core
                .live_groups()
                .all(|state| state.queue.is_empty() && !state.is_live(state.shared.read()));
            if !idle || core.busy || core.epoch.open {
                // An end that failed just now is not tried again: until it is, all routes stay closed.
                if !lingers || core.owed.retry_at.is_none() {
                    self.settle(&mut core);
                }
                return Err(Error::Busy { field });
            }
            if settings.mode != core.mode {
                // What was set under the old mode says nothing under the new one.
                core.known = false;
                core.applied = 0;
            }
        }
        core.config = config;
        core.mode = settings.mode;
        core.ceiling = settings.ceiling;
        core.budget = settings.budget;
        core.resolve_again();
        let groups: Vec<Arc<Group>> = core
            .live_groups()
            .map(|state| state.shared.clone())
            .collect();
        for group in groups {
            self.pump(&mut core, group.index);
        }
        self.break_circles(&mut core);
        self.settle(&mut core);
        Ok(())
    }

    pub(crate) fn setter_failures(&self) -> u64 {
        self.lock().stats.setter_failures
    }

    /// The failed call since `count` failures, if there was one.
    pub(crate) fn failure_since(&self, count: u64) -> Option<Error> {
        let last = self.last_failure.lock();
        last.as_ref()
            .filter(|(number, _)| *number > count)
            .map(|(_, error)| error.clone())
    }
}

static_assertions::assert_impl_all!(Manager: Clone, Send, Sync);
