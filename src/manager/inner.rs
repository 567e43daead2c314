//! What the handles, tickets and guards of one manager share.

pub(crate) mod built;
pub(crate) mod claims;
pub(crate) mod gates;
pub(crate) mod locked;
pub(crate) mod owner;

use crate::Error;
use crate::arbiter::{Arbiter, Formula};
use crate::arbiter::{Basis, Cap};
use crate::backend::{Backend, Device};
use crate::event::{Bus, Event, EventKind, JournalOwner};
use crate::fork;

use crate::manager::inner::built::Built;
use crate::manager::state::core::Core;
use crate::manager::state::figures::Figures;
use crate::manager::state::group::{Group, SizeCount};
use crate::manager::state::group_state::{FEW_SIZES, GroupState};
use crate::manager::state::reclaimers::Reclaimers;
use crate::manager::state::registry;
use crate::manager::state::request::Request;
use crate::manager::state::spans::Spans;
use crate::mode::WireMode;
use crate::sync::{Arc, AtomicBool, AtomicU64, Futex, Mutex, Ordering, Weak, unmodelled};
use crate::time::Clock;
use crate::trace;
use crate::user_code;
use std::panic::Location;

/// What tickets, guards and handles share.
pub(crate) struct Inner {
    pub(crate) this: Weak<Inner>,
    pub(crate) core: Mutex<Core>,
    /// Sleepers wait on it. While there are any it changes after a call of the setter, unless that was a lowering that
    /// failed, and as a session ends.
    pub(crate) calls_word: Futex,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) device: Device,
    pub(crate) built: Built,
    pub(crate) events: Bus,
    pub(crate) reclaimers: Reclaimers,
    pub(crate) tickets: unmodelled::Mutex<registry::Registry>,
    /// How many tickets have gone since unused groups were last looked for.
    pub(crate) tickets_gone: unmodelled::AtomicU64,
    pub(crate) epoch: AtomicU64,
    /// See [`finishing`](crate::manager::limit::finishing). Written under the lock.
    pub(crate) finishes_each: unmodelled::AtomicBool,
    /// Whether this manager owns its backend's resource, or there is none. Until then the gates are closed.
    pub(crate) claimed: AtomicBool,
    /// How many [owners](crate::manager::inner::owner::Owner) the manager has.
    pub(crate) owners: unmodelled::AtomicU64,
    /// What the environment says about the mode, unless that is `auto`. Read once: it may change while guards live.
    pub(crate) environment: Option<String>,
    /// Whether the environment wants nothing printed. Read once.
    pub(crate) quiet: bool,
    pub(crate) figures: Arc<Figures>,
    /// Where it was built.
    pub(crate) built_at: &'static Location<'static>,
    /// An unrecognised `MLX_WIRED`, until the first subscriber is told.
    pub(crate) unrecognised_mode: Mutex<Option<String>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let groups = {
            let mut core = self.core.lock();
            debug_assert!(
                core.sleepers == 0 && core.uncovered.is_empty(),
                "every thread that came has gone"
            );
            if let Some(waker) = core.housekeeper.take() {
                waker.wake();
            }
            std::mem::take(&mut core.groups)
        };
        self.deliver_journal();
        self.disclaim();
        // The last reference may be a reader's, which a panic of a policy's destructor does not concern.
        for group in groups.into_states() {
            let _caught = user_code::catch(|| drop(group));
        }
    }
}

impl Inner {
    /// Inspects the state under the lock; in a forked child, that of a closed manager without guards.
    pub(crate) fn inspect<R>(&self, f: impl FnOnce(&Core) -> R) -> R {
        if !fork::is_child() {
            return f(&self.lock());
        }
        let mut core = self.built.core(&self.device);
        core.closed = true;
        f(&core)
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
            claims::claim(resource, self.built_at)?;
            self.claimed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The group of `policy`'s id, made if there is none, and the counter of `bytes` in it if the policy needs
    /// the largest size.
    pub(crate) fn group_for(
        &self,
        policy: &Arc<dyn Arbiter>,
        formula: Formula,
        label: &Arc<str>,
        bytes: u64,
    ) -> (Arc<Group>, Option<Arc<SizeCount>>) {
        if fork::is_child() {
            // A child admits none.
            return (Arc::new(Group::new(0, false)), None);
        }
        let key = (policy.id(), std::mem::discriminant(&formula));
        let mut core = self.lock();
        // Relaxed: it only tells when to look. A ticket that goes meanwhile counts towards the next time.
        let gone = self.tickets_gone.load(Ordering::Relaxed);
        if core.groups.may_be_unused(gone) {
            self.tickets_gone.fetch_sub(gone, Ordering::Relaxed);
            core.forget_groups();
        }
        let resolved = formula.resolve(core.device_budget);
        let custom = formula == Formula::Custom;
        let index = match core.groups.find(&key) {
            Some(index) => index,
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
                set_aside: Default::default(),
                delayed: Default::default(),
                delayed_since: Default::default(),
                asker: None,
                mark: Default::default(),
                queued_spans: Spans::NONE,
                set_aside_spans: Spans::NONE,
                pinned: Default::default(),
                stall: None,
                enqueuing: Default::default(),
                reservations: 0,
                asked_for: false,
                sizes: Default::default(),
                forget_sizes_at: 0,
                listed_sizes: Default::default(),
                strike_sizes_at: FEW_SIZES,
                scratch: Vec::new(),
                version: 0,
                foreseen: None,
                answered: None,
            }),
        };
        let state = core.group_mut(index);
        if state.formula != formula && !state.mixed {
            state.mixed = true;
            state.shared.gates.close();
        }
        let counts = custom || resolved.basis() == Basis::Largest;
        let size_count = counts.then(|| state.size_count(bytes));
        (state.shared.clone(), size_count)
    }

    /// Notes that a ticket and all its clones are gone.
    pub(crate) fn note_gone(&self, ticket: u64) {
        self.tickets.lock().note_gone(ticket);
        self.tickets_gone.fetch_add(1, Ordering::Relaxed);
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
        request: Option<&Request>,
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
            ticket: request.map(Request::id),
            size: request.map(Request::bytes),
            policy: request.map(|request| request.policy_label().clone()),
            label: request.and_then(Request::label_text),
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

    /// What a guard's group called for when its sum was `sum`. A group that goes by the largest size keeps no
    /// record of it without the lock: then what it calls for now, at least for this guard.
    pub(crate) fn wanted(&self, request: &Request, sum: u64) -> u64 {
        if fork::is_child() {
            return 0;
        }
        let core = self.lock();
        let state = core.group(request.group().index);
        let basis = match state.resolved.basis() {
            Basis::Sum => sum,
            Basis::Largest => state.largest().max(request.bytes()),
        };
        let limit = state.resolved.limit(core.baseline(), basis);
        match state.formula {
            // The device's cap may have fallen since; the sum was within the one at the admission.
            Formula::Sum {
                base,
                cap: Cap::Device,
            } if core.mode != WireMode::Uncoordinated => limit.max(base.saturating_add(sum)),
            _ => limit,
        }
    }

    pub(crate) fn clamp(&self, limit: u64) -> u64 {
        limit.min(self.inspect(Core::bound))
    }

    /// Whether the limit is MLX's, set for an epoch, and covers a guard of `request` whose group called for `wanted` at
    /// its admission: that much, or what the group calls for now if others have gone, or the bound. Under a ceiling of
    /// 0 nothing is wired.
    pub(crate) fn has_wired(&self, request: &Request, wanted: u64) -> bool {
        if fork::is_child() {
            return false;
        }
        let core = self.lock();
        let state = core.group(request.group().index);
        let baseline = core.epoch.baseline;
        let now = if state.must_ask(baseline) {
            wanted
        } else {
            state.limit(state.shared.load(), baseline)
        };
        let sets = core.is_wired() && core.ceiling > 0;
        sets && core.epoch.open && core.applied >= wanted.min(now).min(core.bound())
    }

    pub(crate) fn applied(&self) -> u64 {
        self.inspect(Core::in_force)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        if fork::is_child() {
            return;
        }
        let mut core = self.lock();
        core.closed = true;
        core.close_gates();
        let groups: Vec<usize> = core
            .listed_groups()
            .map(|state| state.shared.index)
            .collect();
        for index in groups {
            let waiters = core.remove_waiters(index);
            core.keep_until_unlocked(&waiters);
            for waiter in waiters {
                self.resolve(&mut core, &waiter, Err(Error::Closed));
            }
            self.clear_waiters_if_unneeded(&mut core, index);
        }
        self.reconcile(&mut core);
    }
}

impl JournalOwner for Inner {
    fn deliver_journal(&self) {
        self.events.deliver_journal(&mut self.lock().journal);
    }
}
