//! A manager on the oracle, and guards that the oracle knows of.

use super::check::{Running, Size, explore, spawn};
use super::claim::{Claim, Form};
use super::custom::Custom;
use super::oracle::Oracle;
use mlx_wired::clock::{Clock, FakeClock};
use mlx_wired::{
    BudgetPolicy, Config, Error, FixedPolicy, Guard, Manager, MaxPolicy, OwnedGuard, PeakPolicy,
    Policy, PolicyId, Released, SumPolicy, Ticket, Wait,
};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The default settings, without the housekeeping thread.
pub(crate) fn quiet() -> Config {
    // Waits with a time to wake at would have other interleavings.
    let config = Config::default().housekeeping(false).quiet(true);
    config.stall_after(None).growth_step(0)
}

/// [`quiet`], and every drop of the limit is worth a call at once.
pub(crate) fn eager() -> Config {
    quiet()
        .shrink_threshold_ratio(0.0)
        .shrink_cooldown(Duration::ZERO)
}

/// Explores a model, each time in a world of its own ([`World::new`]). When the model ends everybody must have left.
pub(crate) fn explore_in(
    size: Size,
    config: Config,
    model: impl Fn(&Arc<World>) + Send + Sync + 'static,
) {
    explore_on(size, (0, 1000), config, model);
}

/// [`explore_in`], with a limit that was in force before, and a ceiling.
pub(crate) fn explore_on(
    size: Size,
    (baseline, ceiling): (u64, u64),
    config: Config,
    model: impl Fn(&Arc<World>) + Send + Sync + 'static,
) {
    explore(size, move || {
        let world = World::on(Oracle::new(baseline, ceiling), config.clone());
        model(&world);
        world.finish();
    });
}

/// A manager of its own, and all that it works with.
pub(crate) struct World {
    pub(crate) manager: Manager,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) clock: FakeClock,
}

impl World {
    /// Nothing wired before; a ceiling that is never reached.
    pub(crate) fn new(config: Config) -> Arc<Self> {
        Self::on(Oracle::new(0, 1000), config)
    }

    pub(crate) fn on(oracle: Oracle, config: Config) -> Arc<Self> {
        let clock = FakeClock::new();
        Self::timed(oracle, config, clock.clone(), clock)
    }

    /// On a clock of one's own, which has the time of `clock`.
    pub(crate) fn timed(
        oracle: Oracle,
        config: Config,
        clock: FakeClock,
        watched: impl Clock,
    ) -> Arc<Self> {
        let oracle = Arc::new(oracle);
        let manager = Manager::builder()
            .backend(oracle.clone())
            .clock(watched)
            .config(config)
            .build()
            .expect("the settings are valid");
        Arc::new(Self {
            manager,
            oracle,
            clock,
        })
    }

    pub(crate) fn active(self: &Arc<Self>, group: &'static str, form: Form, bytes: u64) -> Demand {
        let id = PolicyId::named(group);
        let ticket = match form {
            Form::Sum => self
                .manager
                .ticket(&SumPolicy::uncapped().with_id(id), bytes),
            Form::Capped(cap) => self
                .manager
                .ticket(&SumPolicy::capped(cap).with_id(id), bytes),
            Form::Device => self.manager.ticket(&SumPolicy::new().with_id(id), bytes),
            Form::Max => self.manager.ticket(&MaxPolicy::new().with_id(id), bytes),
            Form::Peak => self.manager.ticket(&PeakPolicy, bytes),
            Form::Fixed(limit) => self.manager.ticket(&FixedPolicy::new(limit), bytes),
            Form::Budget(base, cap) => {
                let policy = BudgetPolicy::new(base).with_cap(cap).with_id(id);
                self.manager.ticket(&policy, bytes)
            }
            Form::Custom(cap) => {
                let policy = Custom::new(&self.oracle, group, cap);
                return self.under(&policy, group, form, bytes);
            }
            Form::Own { .. } => unreachable!("its policy is given"),
        };
        self.demand(ticket, group, form, bytes)
    }

    /// A guard that is there from the start.
    pub(crate) fn held(
        self: &Arc<Self>,
        group: &'static str,
        form: Form,
        bytes: u64,
    ) -> Held<OwnedGuard> {
        self.active(group, form, bytes).acquire_owned().unwrap()
    }

    /// Another thread, which does something to the manager.
    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Running<T> {
        let world = self.clone();
        spawn(move || f(&world))
    }

    /// A demand under a policy of one's own.
    pub(crate) fn under<P: Policy + Clone>(
        self: &Arc<Self>,
        policy: &P,
        group: &'static str,
        form: Form,
        bytes: u64,
    ) -> Demand {
        self.demand(self.manager.ticket(policy, bytes), group, form, bytes)
    }

    fn demand(
        self: &Arc<Self>,
        ticket: Ticket,
        group: &'static str,
        form: Form,
        bytes: u64,
    ) -> Demand {
        self.oracle.knows(group, form);
        Demand {
            world: self.clone(),
            ticket: ticket.label(group),
            claim: Claim {
                group,
                form,
                bytes,
                driving: true,
            },
        }
    }

    /// Opens every group's fast path: that of a group that joins an epoch is closed until the next session.
    pub(crate) fn open(&self) {
        self.manager.maintain();
    }

    /// Everybody has left: nobody waits, and the limit is what it was at first.
    pub(crate) fn finish(&self) {
        assert!(self.manager.waiting().is_empty(), "nobody waits");
        assert_eq!(self.manager.waiters(), 0, "nor is anybody counted");
        self.oracle.finish();
    }

    /// The limit is what the live guards call for, not more.
    pub(crate) fn assert_exact(&self) {
        let (limit, needed) = (self.oracle.limit(), self.oracle.needed());
        assert_eq!(limit, needed, "after the calls {:?}", self.oracle.calls());
    }
}

/// A ticket, and what it is for the oracle.
#[derive(Clone)]
pub(crate) struct Demand {
    world: Arc<World>,
    pub(crate) ticket: Ticket,
    claim: Claim,
}

impl Demand {
    /// Evictable, so that others wait for it.
    pub(crate) fn reservation(self) -> Self {
        self.staying_reservation().evictable()
    }

    pub(crate) fn staying_reservation(mut self) -> Self {
        self.ticket = self.ticket.reservation();
        self.claim.driving = false;
        self
    }

    pub(crate) fn staying_resident(mut self) -> Self {
        self.ticket = self.ticket.resident();
        self
    }

    pub(crate) fn evictable(mut self) -> Self {
        self.ticket = self.ticket.evictable();
        self
    }

    pub(crate) fn room_for(mut self, bytes: u64) -> Self {
        self.ticket = self.ticket.room_for(bytes);
        self
    }

    /// Another thread, which acquires and releases.
    pub(crate) fn comes_and_goes(&self) -> Running<()> {
        let demand = self.clone();
        spawn(move || drop(demand.acquire().unwrap()))
    }

    pub(crate) fn acquire(&self) -> Result<Held<Guard<'_>>, Error> {
        self.hold(|| self.ticket.acquire())
    }

    pub(crate) fn try_acquire(&self) -> Result<Held<Guard<'_>>, Error> {
        self.hold(|| self.ticket.try_acquire())
    }

    pub(crate) fn acquire_with(&self, wait: Wait) -> Result<Held<Guard<'_>>, Error> {
        self.hold(|| self.ticket.acquire_with(wait))
    }

    /// Acquires, and tells the oracle whom that has passed: those who waited before and wait still. Nobody
    /// may use this ticket again.
    pub(crate) fn acquire_in_turn(&self, allowed: u64) -> Result<Held<Guard<'_>>, Error> {
        self.in_turn(allowed, Self::acquire)
    }

    /// [`acquire_in_turn`](Self::acquire_in_turn) in another way.
    pub(crate) fn in_turn<'a, G>(
        &'a self,
        allowed: u64,
        acquire: impl FnOnce(&'a Self) -> Result<Held<G>, Error>,
    ) -> Result<Held<G>, Error> {
        let oracle = &self.world.oracle;
        let (since, before) = (oracle.budgets(), self.line());
        let guard = acquire(self)?;
        let after = self.line();
        let passed = before.iter().filter(|waiter| after.contains(waiter));
        // What was one line may have become many.
        if oracle.budgets() == since {
            oracle.passed(passed.copied(), allowed);
        }
        Ok(guard)
    }

    /// The tickets of those who wait in the line that this would join.
    fn line(&self) -> Vec<u64> {
        let waiting = self.world.manager.waiting();
        let together = self.world.oracle.has_budget();
        let group = Some(self.claim.group);
        waiting
            .iter()
            .filter(|waiter| together || waiter.label.as_deref() == group)
            .map(|waiter| waiter.ticket)
            .collect()
    }

    pub(crate) fn acquire_owned(&self) -> Result<Held<OwnedGuard>, Error> {
        self.hold(|| self.ticket.acquire_owned())
    }

    pub(crate) fn acquire_owned_with(&self, wait: Wait) -> Result<Held<OwnedGuard>, Error> {
        self.hold(|| self.ticket.acquire_owned_with(wait))
    }

    fn hold<G>(&self, acquire: impl FnOnce() -> Result<G, Error>) -> Result<Held<G>, Error> {
        let oracle = &self.world.oracle;
        let since = oracle.budgets();
        let guard = acquire()?;
        Ok(Held {
            key: oracle.began(self.claim, since),
            guard: Some(guard),
            claim: self.claim,
            oracle: oracle.clone(),
        })
    }
}

/// A guard that the oracle protects.
pub(crate) struct Held<G> {
    guard: Option<G>,
    key: u64,
    claim: Claim,
    oracle: Arc<Oracle>,
}

/// Both guards change their size alike.
macro_rules! resize {
    ($guard:ty) => {
        impl Held<$guard> {
            pub(crate) fn resize(&mut self, bytes: u64) -> Result<(), Error> {
                self.resize_by(bytes, |guard| guard.resize(bytes))
            }

            /// [`resize`](Self::resize) in another way.
            pub(crate) fn resize_by(
                &mut self,
                bytes: u64,
                resize: impl FnOnce(&mut $guard) -> Result<(), Error>,
            ) -> Result<(), Error> {
                let grows = bytes > self.claim.bytes;
                let to = Claim {
                    bytes,
                    ..self.claim
                };
                let since = self.oracle.budgets();
                if !grows {
                    self.oracle.resized(self.key, to, since);
                }
                let guard = self.guard.as_mut().expect("it lives");
                if let Err(error) = resize(guard) {
                    assert_eq!(guard.bytes(), self.claim.bytes, "all or nothing");
                    return Err(error);
                }
                self.claim = to;
                if grows {
                    self.oracle.resized(self.key, to, since);
                }
                Ok(())
            }

            pub(crate) fn before_release(
                &mut self,
                hook: impl FnOnce() -> Result<(), Box<dyn std::error::Error + Send + Sync>>
                + Send
                + Sync
                + 'static,
            ) {
                self.guard.as_mut().expect("it lives").before_release(hook);
            }

            pub(crate) fn release(mut self) -> Released {
                self.oracle.ends(self.key);
                let guard = self.guard.take().expect("it lives");
                guard.release()
            }
        }
    };
}

resize!(OwnedGuard);
resize!(Guard<'_>);

impl<G> Drop for Held<G> {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        if !thread::panicking() {
            self.oracle.ends(self.key);
        }
        drop(guard);
    }
}
