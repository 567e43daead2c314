//! The manager: the one owner of the limit.

mod admission;
mod commands;
pub(crate) mod inner;
mod limit;
mod observe;
pub(crate) mod state;

pub(crate) use admission::acquire_wait::AcquireWait;
pub use admission::shortage::Reclaimer;
pub use commands::build::ManagerBuilder;
pub(crate) use inner::owner::Owner;
pub use state::reclaimers::Shortage;

use crate::Error;
use crate::backend::{Device, Support};
use crate::config::Config;
use crate::event::{EventKind, Subscriber};
use crate::fork;
use crate::mode::WireMode;
use crate::snapshot::{Holder, Stats, Waiter};
use crate::sync::Arc;
use crate::user_code;
use std::fmt;

/// Owns MLX's wired limit: admits tickets, computes the limit that all live guards need, and calls the
/// setter as rarely as possible.
///
/// Clones are handles to the same manager. It is its process's own: in a forked child every call that can fail is
/// [`Error::Forked`], all others answer as a closed manager without guards would, and drops do nothing; to `exec` there is
/// fine. Programs use the [shared](Self::shared) one; a
/// [builder](Self::builder) makes isolated ones, for tests and for other bindings to MLX.
#[derive(Clone)]
pub struct Manager(Arc<Handle>);

/// Counts the handles of a manager: dropping the last one ends linger.
struct Handle {
    inner: Owner,
}

impl Manager {
    /// The highest limit that will ever be set for a demand, in bytes:
    /// min(recommended x (1 - margin), memory size - reserve), always below the memory size. `None` where
    /// there is no wired memory.
    #[must_use]
    pub fn ceiling(&self) -> Option<u64> {
        let ceiling = self.0.inner.inspect(|core| core.ceiling);
        (ceiling != u64::MAX).then_some(ceiling)
    }

    /// What a policy capped by the device may hold, in bytes; `None` if nothing is known.
    ///
    /// With wired memory it is the [ceiling](Self::ceiling). Elsewhere it is what the backend
    /// [measures](crate::ffi::Backend::budget), less the [margin](Config::margin), and at most the memory less the
    /// [reserve](Config::reserve): measured when the manager is built, and at [`poke`](Self::poke),
    /// [`maintain`](Self::maintain) and [`configure`](Self::configure). [`EventKind::BudgetChanged`] tells of a change.
    #[must_use]
    pub fn budget(&self) -> Option<u64> {
        self.0.inner.inspect(|core| core.device_budget)
    }

    /// The limit that was applied last, in bytes; in policy-only mode the one that would have been.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.0.inner.applied()
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
        self.0.inner.inspect(|core| core.mode)
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.inner.inspect(|core| core.config.clone())
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.inner.inspect(|core| core.stats)
    }

    /// The demands that wait for admission, in the order of arrival; guards that grow come before the others.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiter> {
        self.0.inner.waiting()
    }

    /// The guards that live, with where and on which thread each was acquired; the largest first.
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
    /// While a subscriber lives, every acquire and release takes a lock.
    #[must_use]
    pub fn subscribe(&self, capacity: usize) -> Subscriber {
        if fork::is_child() {
            return Subscriber::silent(capacity);
        }
        let inner = &self.0.inner;
        let mut core = inner.lock();
        if !inner.is_watched() {
            // What was not looked at is not told of later.
            core.above_ceiling = core.total_live() > core.ceiling;
        }
        // What others have yet to be handed happened before.
        inner.events.deliver_journal(&mut core.journal);
        let subscriber = inner.events.subscribe(capacity, Some(inner.this.clone()));
        core.close_gates();
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
    /// [`Error::Busy`] for mode or baseline override while a guard lives or a waiter waits;
    /// [`Error::InvalidConfig`] for a value out of range; [`Error::Reentrant`] from inside a policy.
    /// Nothing is changed then.
    ///
    /// # While guards live
    ///
    /// Budget, margin and reserve may change at any time. Nothing is revoked, so more may be held for a while than the
    /// new settings allow. All waiters are judged again: one that could not be admitted even alone any more gets
    /// [`Error::NeverAdmissible`], one whose wait has become a deadlock [`Error::WouldDeadlock`]. A lower ceiling is
    /// applied at once, whatever the thresholds and the cooldown of shrinking say; guards that call for more are
    /// [clamped](crate::Guard::is_clamped) then.
    ///
    /// # Blocking
    ///
    /// As [`poke`](Self::poke). `change` runs without a lock: of two calls at the same time the later one's settings
    /// count, all of them.
    pub fn configure(&self, change: impl FnOnce(Config) -> Config) -> Result<(), Error> {
        fork::check()?;
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
        fork::check()?;
        let inner = &self.0.inner;
        if user_code::is_inside(inner.address()) {
            return Err(Error::Reentrant);
        }
        inner.apply_pressure(pressure);
        inner.poke()
    }

    /// Measures the [budget](Self::budget) of a device without wired memory, and examines every queue and the limit
    /// again, for policies that depend on outside state.
    ///
    /// A wait that has become a deadlock since it began ends with [`Error::WouldDeadlock`].
    ///
    /// # Errors
    ///
    /// [`Error::Reentrant`] from inside a policy of this manager.
    ///
    /// # Blocking
    ///
    /// As long as the backend measures and the policies are asked, and the setter's call if one is made; not for another
    /// thread's.
    pub fn poke(&self) -> Result<(), Error> {
        self.0.inner.poke()
    }

    /// Registers a reclaimer: a function that gives back pinned demands which the program can do without, before a
    /// demand waits for them in vain. It is registered until the handle is dropped.
    ///
    /// The first waiter in its queue that is set aside calls it, on its own thread, if the demand would fit beside the
    /// pinned demands that are not evictable; then the next that is registered, until the demand is in the queue; and
    /// again each second while it waits. One thread calls reclaimers at a time. `try_` forms call none.
    ///
    /// In `reclaim`, releasing and shrinking guards works as elsewhere. Acquiring from this manager and growing are
    /// [`Error::Reentrant`] there. A panic is an event. Take no lock in it that a thread holds while it acquires.
    ///
    /// ```
    /// use mlx_wired::{Manager, OwnedGuard, SumPolicy};
    /// use std::sync::{Arc, Mutex};
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let policy = SumPolicy::capped(100);
    /// let model = manager.ticket(&policy, 60).resident().evictable();
    /// let loaded: Arc<Mutex<Vec<OwnedGuard>>> = Arc::default();
    /// loaded.lock().unwrap().push(model.acquire_owned()?);
    ///
    /// let evicts = loaded.clone();
    /// let _reclaimer = manager.on_shortage(move |_| drop(evicts.lock().unwrap().pop()));
    /// // Does not fit beside the first, which is given back.
    /// let second = model.acquire_owned()?;
    /// assert!(loaded.lock().unwrap().is_empty());
    /// # drop(second);
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    pub fn on_shortage(&self, reclaim: impl Fn(&Shortage) + Send + Sync + 'static) -> Reclaimer {
        self.0.inner.on_shortage(Arc::new(reclaim))
    }

    /// Lets MLX wire what did not fit under an earlier limit, which it does only inside a change of the limit: a byte up, or
    /// that byte down again; at the ceiling a byte down and up. Returns whether a call was made.
    ///
    /// For programs that have given memory back, of another model or another process, and want what still runs to be fast
    /// again. It does nothing while no active or resident guard lives, or where nothing is wired. It restarts no cooldown.
    ///
    /// # Errors
    ///
    /// [`Error::SetLimit`] if MLX refused; [`Error::Reentrant`] from inside a policy.
    ///
    /// # Blocking
    ///
    /// As long as the setter's call, and another thread's that is in flight.
    pub fn rewire(&self) -> Result<bool, Error> {
        self.0.inner.rewire()
    }

    /// Does now the pending work that is due: a shrink that the cooldown held back, the end of linger, a failed call.
    /// For programs that switch housekeeping off.
    ///
    /// On a device without wired memory it also measures the [budget](Self::budget), each time, so that a program that calls
    /// it now and then follows a container that is resized. That costs
    /// reading some files on Linux. On Metal nothing is read.
    ///
    /// # Blocking
    ///
    /// As long as the setter's call, if one is made; not for another thread's. From inside a policy it leaves the work
    /// to the call around it.
    pub fn maintain(&self) {
        if fork::is_child() {
            return;
        }
        self.0.inner.maintain();
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
        self.0.inner.inspect(|core| {
            f.debug_struct("Manager")
                .field("device", &self.0.inner.device)
                .field("core", core)
                .finish_non_exhaustive()
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if fork::is_child() {
            return;
        }
        let mut core = self.inner.lock();
        core.abandoned = true;
        self.inner.reconcile(&mut core);
    }
}

static_assertions::assert_impl_all!(Manager: Clone, Send, Sync);
