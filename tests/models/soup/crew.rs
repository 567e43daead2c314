//! The threads of an execution, and what they share.

use super::clock::WatchedClock;
use super::plan::{Plan, SECOND, Tuning, below, chance, pick};
use super::policy::Own;
use crate::claim::Form;
use crate::world::{Demand, Held, World};
use mlx_wired::clock::{Clock, FakeClock};
use mlx_wired::{CancelToken, Error, Guard, OwnedGuard, Subscriber, Wait, WireMode};
use shuttle::thread::{ThreadId, current};
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A lock that no thread of the model holds while others run.
#[derive(Default)]
struct Brief<T>(Mutex<T>);

impl<T> Brief<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guards that were laid down for whoever takes them.
#[derive(Default)]
pub(super) struct Shelf(Brief<Vec<Held<OwnedGuard>>>);

impl Shelf {
    fn lay(&self, guard: Held<OwnedGuard>) {
        self.0.lock().push(guard);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Any of them.
    pub(super) fn take(&self) -> Option<Held<OwnedGuard>> {
        let mut guards = self.0.lock();
        let bound = guards.len();
        (bound > 0).then(|| guards.swap_remove(below(bound)))
    }
}

/// How a thread's present wait may end by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    deadline: Option<Instant>,
    cancels: bool,
}

#[derive(Debug, Default)]
struct Progress {
    working: Vec<ThreadId>,
    done: usize,
    waits: Vec<Bounds>,
    cancelled: bool,
    configuring: bool,
}

pub(super) struct Crew {
    pub(super) world: Arc<World>,
    pub(super) plan: Plan,
    pub(super) shelf: Arc<Shelf>,
    clock: WatchedClock,
    token: CancelToken,
    tuning: Brief<Tuning>,
    progress: Brief<Progress>,
    subscriber: Brief<Option<Subscriber>>,
}

impl Crew {
    pub(super) fn new(plan: Plan) -> Arc<Self> {
        let time = FakeClock::new();
        let clock = WatchedClock::new(time.clone());
        let world = World::timed(plan.oracle(), plan.config(), time, clock.clone());
        let waits = vec![Bounds::default(); plan.threads];
        Arc::new(Self {
            world,
            shelf: Arc::default(),
            clock,
            token: CancelToken::new(),
            tuning: Brief(Mutex::new(plan.tuning)),
            progress: Brief(Mutex::new(Progress {
                waits,
                ..Progress::default()
            })),
            subscriber: Brief::default(),
            plan,
        })
    }

    pub(super) fn into_world(self) -> Arc<World> {
        self.world
    }

    pub(super) fn tuning(&self) -> Tuning {
        *self.tuning.lock()
    }

    /// What was given, if it was; else the error is one that may come. `holds`: this thread holds another guard.
    fn noted<T>(&self, result: Result<T, Error>, holds: bool) -> Option<T> {
        let plan = &self.plan;
        result
            .inspect_err(|error| {
                let expected = match error {
                    Error::Cancelled { .. } | Error::Timeout { .. } | Error::WouldBlock { .. } => {
                        true
                    }
                    Error::WouldDeadlock { .. } => holds,
                    Error::NeverAdmissible { size, .. } => {
                        self.world.oracle.is_too_much(*size + plan.largest_room())
                    }
                    Error::NoRoom { .. } => plan.holds,
                    Error::GroupFull { .. } => plan.unit > 1 << 40,
                    Error::SetLimit { .. } => plan.failures > 0 && !plan.proceeds,
                    Error::PolicyPanicked { .. } => plan.is_moody(),
                    _ => false,
                };
                assert!(expected, "{error}");
            })
            .ok()
    }

    fn demand(&self) -> Demand {
        let (plan, world) = (&self.plan, &self.world);
        let kind = &plan.kinds[below(plan.kinds.len())];
        let form = pick(&kind.forms);
        let demand = match form {
            Form::Own { .. } => {
                let policy = Own {
                    group: kind.group,
                    form,
                    quirks: kind.quirks,
                    shelf: self.shelf.clone(),
                    world: Arc::downgrade(world),
                };
                world.under(&policy, kind.group, form, plan.size())
            }
            _ => world.active(kind.group, form, plan.size()),
        };
        let demand = match plan.holds {
            true if chance(plan.reservations) => demand.staying_reservation(),
            true if chance(10) => demand.staying_resident(),
            _ => return demand,
        };
        let demand = if chance(plan.evictable) {
            demand.evictable()
        } else {
            demand
        };
        if chance(plan.roomy) {
            demand.room_for(plan.size())
        } else {
            demand
        }
    }

    /// Lays down a guard if it is given at once, lets it come and go, or takes one up.
    pub(super) fn prepare(&self) {
        if chance(20) {
            return self.take_up();
        }
        let guard = self
            .demand()
            .acquire_owned_with(Wait::new().timeout(Duration::ZERO));
        if let Some(guard) = self.noted(guard, false)
            && chance(70)
        {
            self.shelf.lay(guard);
        }
    }

    /// What a thread does, from its beginning to its end.
    pub(super) fn work(&self, me: usize) {
        self.progress.lock().working.push(current().id());
        for _ in 0..=below(self.plan.operations) {
            match below(20) {
                0..=9 => self.acquire(me, 1),
                10..=14 => self.take_up(),
                _ if self.plan.only_comes_and_goes => self.acquire(me, 1),
                _ => self.meddle(),
            }
        }
        self.progress.lock().done += 1;
    }

    fn bounds(&self, me: usize) -> Wait {
        let mut bounds = Bounds::default();
        let mut wait = self.wait();
        if chance(50) {
            bounds.cancels = true;
            wait = wait.cancel(&self.token);
        } else {
            let deadline = self.world.clock.now() + SECOND / 2;
            bounds.deadline = Some(deadline);
            wait = wait.deadline(deadline);
        }
        self.progress.lock().waits[me] = bounds;
        wait
    }

    /// Without bounds.
    fn wait(&self) -> Wait {
        let wait = Wait::new();
        if self.plan.holds && chance(30) {
            wait.for_holds()
        } else {
            wait
        }
    }

    fn unbound(&self, me: usize) {
        self.progress.lock().waits[me] = Bounds::default();
    }

    fn acquire(&self, me: usize, depth: usize) {
        let demand = self.demand();
        let allowed = self.plan.overtaking();
        if self.plan.lays_down && chance(40) {
            let guard = if chance(self.plan.bounded) {
                let wait = self.bounds(me);
                let guard = demand.in_turn(allowed, |it| it.acquire_owned_with(wait));
                self.unbound(me);
                guard
            } else {
                demand.in_turn(allowed, |it| it.acquire_owned_with(self.wait()))
            };
            if let Some(guard) = self.noted(guard, depth == 0) {
                self.shelf.lay(guard);
            }
            return;
        }
        let guard = if chance(20) {
            demand.in_turn(allowed, Demand::try_acquire)
        } else if chance(self.plan.bounded) {
            let wait = self.bounds(me);
            let guard = demand.in_turn(allowed, |it| it.acquire_with(wait));
            self.unbound(me);
            guard
        } else {
            demand.in_turn(allowed, |it| it.acquire_with(self.wait()))
        };
        if let Some(mut guard) = self.noted(guard, depth == 0)
            && !self.plan.only_comes_and_goes
        {
            self.hold(me, &mut guard, depth);
            if chance(20) {
                guard.release();
            }
        }
    }

    fn hold(&self, me: usize, held: &mut Held<Guard<'_>>, depth: usize) {
        match below(12) {
            0..=1 if depth > 0 => self.acquire(me, depth - 1),
            2 => {
                let resized = held.resize(self.plan.size());
                self.noted(resized, true);
            }
            3 => {
                let bytes = self.plan.size();
                let resized = held.resize_by(bytes, |guard| guard.try_resize(bytes));
                self.noted(resized, true);
            }
            4 => {
                let (bytes, wait) = (self.plan.size(), self.bounds(me));
                let resized = held.resize_by(bytes, |guard| guard.resize_with(bytes, wait));
                self.noted(resized, true);
                self.unbound(me);
            }
            5 => held.before_release(self.hook()),
            6..=7 => self.meddle(),
            _ => {}
        }
    }

    fn hook(&self) -> impl FnOnce() -> Result<(), Box<dyn StdError + Send + Sync>> + use<> {
        let (oracle, fails) = (self.world.oracle.clone(), chance(30));
        move || {
            oracle.limit();
            if fails {
                return Err("it fails".into());
            }
            Ok(())
        }
    }

    /// Does something with a guard that was laid down.
    fn take_up(&self) {
        let Some(mut guard) = self.shelf.take() else {
            return;
        };
        match below(6) {
            0 => {
                let bytes = self.plan.size();
                let resized = guard.resize_by(bytes, |guard| guard.try_resize(bytes));
                self.noted(resized, true);
                self.shelf.lay(guard);
            }
            1 => drop(guard.release()),
            2 => guard.before_release(self.hook()),
            _ => drop(guard),
        }
    }

    /// Something that neither acquires nor releases.
    pub(super) fn meddle(&self) {
        let manager = &self.world.manager;
        match below(13) {
            12 if self.plan.is_elastic => {
                let pressure = pick(&[0.0, 0.3, 0.6, 1.0]);
                manager.set_pressure(pressure).expect("it is outside");
            }
            10 => manager.maintain(),
            11 => manager.poke().expect("it is outside"),
            0..=1 => self.world.clock.advance(SECOND / 2),
            2..=3 => self.world.clock.advance(SECOND),
            4 => manager.maintain(),
            5 => manager.poke().expect("it is outside"),
            6 => {
                let snapshot = manager.snapshot();
                assert!(snapshot.uncovered as u64 <= snapshot.live, "{snapshot}");
            }
            7 => {
                self.progress.lock().cancelled = true;
                self.token.cancel();
            }
            8 if self.plan.subscribes => {
                let new = chance(60).then(|| manager.subscribe(2));
                let old = std::mem::replace(&mut *self.subscriber.lock(), new);
                drop(old);
            }
            9 if self.plan.configures => self.configure(),
            _ => drop(manager.holders()),
        }
    }

    /// Settings that may change at any time. One thread at a time knows which are in force.
    fn configure(&self) {
        if std::mem::replace(&mut self.progress.lock().configuring, true) {
            return;
        }
        let tuning = Tuning::random(true);
        let manager = &self.world.manager;
        let config = manager.configure(|config| tuning.of(config));
        config.expect("they may change at any time");
        if self.plan.budget.is_none() && self.plan.mode != WireMode::Uncoordinated && chance(30) {
            self.change_budget();
        }
        *self.tuning.lock() = tuning;
        self.progress.lock().configuring = false;
    }

    /// From none to one or another, and back. Each admits whatever a thread asks for.
    fn change_budget(&self) {
        let unit = self.plan.unit;
        let budget = pick(&[None, Some(8 * unit), Some(12 * unit)]);
        let (manager, oracle) = (&self.world.manager, &self.world.oracle);
        let most = |budget: Option<u64>| budget.unwrap_or(u64::MAX);
        let rises = most(budget) >= most(manager.config().budget);
        if rises {
            oracle.set_budget(budget);
        }
        let changed = manager.configure(|config| config.budget(budget));
        changed.expect("it may change at any time");
        if !rises {
            oracle.set_budget(budget);
        }
    }

    pub(super) fn drop_subscriber(&self) {
        let old = self.subscriber.lock().take();
        drop(old);
    }

    /// Whether each thread has ended, or waits and nothing but others can end it.
    pub(super) fn is_still(&self) -> bool {
        let waiting = self.world.manager.waiting().len();
        let now = self.world.clock.now();
        let progress = self.progress.lock();
        let wakes = |wait: &Bounds| {
            wait.deadline.is_some_and(|at| at <= now) || (wait.cancels && progress.cancelled)
        };
        let asleep = self.clock.asleep(&progress.working);
        asleep == waiting
            && progress.done + waiting == self.plan.threads
            && !progress.waits.iter().any(wakes)
    }

    /// Ends the waits that have an end of their own, and tells whether there are any.
    pub(super) fn end_bounded_waits(&self) -> bool {
        let bounded = |wait: &Bounds| wait.cancels || wait.deadline.is_some();
        let any = {
            let mut progress = self.progress.lock();
            progress.cancelled = true;
            progress.waits.iter().any(bounded)
        };
        self.token.cancel();
        self.world.clock.advance(SECOND);
        any
    }

    /// Ends the pressure, and tells whether there was any: a thread that holds work may wait beside it for no longer.
    pub(super) fn end_pressure(&self) -> bool {
        let manager = &self.world.manager;
        let is_pressed = manager.snapshot().pressure > 0.0;
        if is_pressed {
            manager.set_pressure(0.0).expect("it is outside");
        }
        is_pressed
    }

    pub(super) fn are_done(&self) -> bool {
        self.progress.lock().done == self.plan.threads
    }
}
