//! How a run is set up.

use super::limits::{Limits, Listener, caught};
use super::watch::Watch;
use super::{Error, Run, budget};
use crate::ffi::DeviceKind;
use crate::train::claim::{Claim, Claimed};
use crate::{Manager, Ticket};
use std::fmt;
use std::panic::Location;
use std::sync::Mutex;
use std::time::Duration;

/// What is done about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// What suits the device: the methods that take one say what that is.
    Auto,
    /// It stays as it is.
    Keep,
    /// So many bytes, from the start to the end.
    Fixed(u64),
}

/// Sets a [`Run`] up.
#[must_use = "nothing is set before `start`"]
pub struct RunBuilder {
    manager: Option<Manager>,
    ticket: Option<Ticket>,
    wires: bool,
    budget: Option<u64>,
    memory: Limit,
    cache: Limit,
    outside_every: Duration,
    budget_every: Duration,
    listener: Option<Listener>,
}

impl Run {
    /// Begins a run with the process's shared manager and the default settings.
    ///
    /// # Errors
    ///
    /// As [`RunBuilder::start`].
    ///
    /// # Blocking
    ///
    /// As [`RunBuilder::start`].
    #[track_caller]
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Other settings.
    pub fn builder() -> RunBuilder {
        RunBuilder::new()
    }
}

impl RunBuilder {
    pub(super) fn new() -> Self {
        Self {
            manager: None,
            ticket: None,
            wires: true,
            budget: None,
            memory: Limit::Auto,
            cache: Limit::Auto,
            outside_every: Duration::from_millis(10),
            budget_every: Duration::from_secs(1),
            listener: None,
        }
    }

    /// The manager whose backend it is. Default: the process's [shared one](Manager::shared).
    pub fn manager(mut self, manager: &Manager) -> Self {
        self.manager = Some(manager.clone());
        self
    }

    /// What the run keeps from its first step to its last (weights, optimizer, data), acquired at the start and held to the
    /// end: a reservation or a resident with [`room_for`](Ticket::room_for) a step. Default: nothing, where nothing is wired;
    /// else the ceiling, as [`Manager::wire_max`] wires it.
    pub fn ticket(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(ticket);
        self
    }

    /// Raises no wired limit: the [ticket](Self::ticket), if there is one, is acquired as a reservation. Steps that take
    /// tickets of their own raise it still; [`WireMode::Never`](crate::WireMode::Never) is for the whole process.
    pub fn no_wire(mut self) -> Self {
        self.wires = false;
        self
    }

    /// What the run has for everything, in bytes: what peaks are compared with, and what the cache's limit leaves room in.
    /// Default: the manager's [budget](crate::Config::budget) over all groups, else the [device's](Manager::budget).
    pub fn budget(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// MLX's memory limit. [`Limit::Auto`], the default: on CUDA the budget less a twentieth, since MLX runs ahead of what it
    /// has computed up to that limit, and beyond it by some percent; elsewhere it stays.
    pub fn memory_limit(mut self, limit: Limit) -> Self {
        self.memory = limit;
        self
    }

    /// The limit of MLX's cache. [`Limit::Auto`], the default: twice what the last steps needed for a while, as far as the
    /// budget has room at their peak. It is changed seldom, since MLX's CPU build waits for the work of all threads then:
    /// after the third step, and later only when it is wrong by much. While [pressure](crate::memory::Pressure::mlx_cache) lowers
    /// it, the lower one is in force.
    pub fn cache_limit(mut self, limit: Limit) -> Self {
        self.cache = limit;
        self
    }

    /// How long after it was last read what the process uses beside MLX is read again, at the end of a step. It costs
    /// more than the rest of a report. Default: 10 ms. Zero: after each step.
    pub fn outside_every(mut self, time: Duration) -> Self {
        self.outside_every = time;
        self
    }

    /// How long after it was last measured the budget is measured again, at the end of a step, if it is not the program's own:
    /// other programs come and go, and a container's limit may change. It is measured for the manager too, as
    /// [`Manager::maintain`] does it, so waiters are judged by it. Default: 1 s. Zero: after each step. MLX's memory limit stays
    /// as it was set at the start.
    pub fn budget_every(mut self, time: Duration) -> Self {
        self.budget_every = time;
        self
    }

    /// Is told of limits that could not be put back where the run is dropped, in unwinding too. [`Run::finish`] returns the
    /// error instead.
    pub fn on_not_restored(mut self, told: impl FnOnce(&Error) + Send + 'static) -> Self {
        self.listener = Some(Box::new(told));
        self
    }

    /// Begins the run: acquires its ticket, and sets the limits.
    ///
    /// # Errors
    ///
    /// [`Error::RunInProgress`] if one lives on the same backend, [`Error::MeasurementInProgress`] while something is measured
    /// there, since both read MLX's record of the peak; [`Error::Coordinator`] as of [`Ticket::acquire`];
    /// [`Error::Backend`] if MLX has no counters or refuses a limit. What was set is back then.
    ///
    /// # Blocking
    ///
    /// As [`Ticket::acquire`]. On MLX's CPU build to set the cache's limit waits for the work of all threads.
    #[track_caller]
    pub fn start(self) -> Result<Run, Error> {
        let place = Location::caller();
        let manager = self.manager.unwrap_or_else(|| Manager::shared().clone());
        // Measures the budget anew, where that is measured.
        manager.poke()?;
        let backend = manager.backend().clone();
        let claim = Claim::of(Claimed::Limits, &backend, place)?;
        let counters = caught(|| backend.memory())?;
        let mut limits = Limits::new(backend, claim, self.listener);

        let guard = match self.ticket {
            Some(ticket) if self.wires => Some(ticket.acquire_owned()?),
            Some(ticket) => Some(ticket.reservation().acquire_owned()?),
            None if self.wires && manager.ceiling().is_some() => Some(manager.wire_max(0)?),
            None => None,
        };
        if let Some(guard) = guard {
            limits.set_guard(guard);
        }

        let kind = manager.device().kind;
        let budget = self.budget.or_else(|| budget::measured(&manager));
        let memory = match (self.memory, kind, budget) {
            (Limit::Fixed(bytes), _, _) => Some(bytes),
            (Limit::Auto, DeviceKind::Cuda, Some(budget)) => Some(budget - budget / 20),
            (Limit::Auto | Limit::Keep, _, _) => None,
        };
        if let Some(bytes) = memory {
            limits.set_memory(bytes)?;
        }
        let cache = match self.cache {
            Limit::Fixed(bytes) => {
                limits.set_cache(bytes)?;
                bytes
            }
            Limit::Auto | Limit::Keep => limits.learn_cache()?,
        };
        let budget_every = self.budget.is_none().then_some(self.budget_every);
        let every = (self.outside_every, budget_every);
        let watch = Watch::new(kind, budget, Some(cache), every, counters);
        Ok(Run {
            manager,
            limits: Mutex::new(limits),
            governs: self.cache == Limit::Auto,
            watch: Mutex::new(watch),
        })
    }
}

impl fmt::Debug for RunBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunBuilder")
            .field("ticket", &self.ticket)
            .field("wires", &self.wires)
            .field("budget", &self.budget)
            .field("memory", &self.memory)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
