//! Plays a script with the library and the model at once, and compares them after each step.

use crate::actors::{Actor, Command, Job, Pool, Reply};
use crate::elastic::PRESSURES;
use crate::events::Events;
use crate::kit::NotingClock;
use crate::library::config;
use crate::model::Model;
use crate::policies::{self, Outside};
use crate::script::{ACTORS, Change, Operation, Script};
use crate::words::{Live, Mode, RECOMMENDED};
use mlx_wired::clock::{Clock, FakeClock};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{CancelToken, Error, Kind, Manager, Ticket};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) struct Play<'a> {
    pub(crate) script: &'a Script,
    /// The setter fails now and then.
    pub(crate) faulty: bool,
    pub(crate) model: Model,
    pub(crate) backend: Arc<RecordingBackend>,
    pub(crate) manager: Manager,
    pub(crate) clock: FakeClock,
    pub(crate) start: Instant,
    pub(crate) outside: Arc<Outside>,
    pub(crate) tickets: Vec<&'static Ticket>,
    /// One more than acquire: the last does what is done to the manager.
    pub(crate) actors: Vec<Actor>,
    pub(crate) tokens: Vec<CancelToken>,
    /// Whether what the actor was told last is to resize.
    pub(crate) resizes: [bool; ACTORS],
    pub(crate) events: Option<Events>,
    pub(crate) next_guard: u64,
    /// How many there were before this step.
    pub(crate) epochs: u64,
    pub(crate) forgotten: BTreeSet<u64>,
    /// Somebody else has set the limit, or what the library knows of it was declared void.
    pub(crate) interfered: bool,
    pub(crate) patience: Duration,
}

/// A script goes on in one of several ways, so it ends.
struct Ambiguous;

impl<'a> Play<'a> {
    /// `failing` are the numbers, from 1, of the setter's calls that fail; `patience` is how long a thread may take.
    pub(crate) fn new(script: &'a Script, failing: &[usize], patience: Duration) -> Self {
        let settings = script.settings;
        let mut device = if settings.mode == Mode::Unsupported {
            RecordingBackend::cpu().budget(RECOMMENDED)
        } else {
            RecordingBackend::metal().recommended(RECOMMENDED)
        };
        device = device
            .memory_size(10 * RECOMMENDED)
            .initial_limit(script.initial_limit);
        for number in failing {
            device = device.fail_call(*number);
        }
        let backend = device.build();
        let clock = FakeClock::new();
        let start = clock.now();
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(NotingClock(clock.clone()))
            .config(config(&settings))
            .build()
            .expect("the settings are valid");
        let outside = Arc::new(Outside::default());
        outside.gate_open.store(true, Ordering::SeqCst);
        let tickets = script.tickets.iter().map(|of| {
            let policy = policies::policy(of.entry, &outside);
            let ticket = manager.ticket(&policy, of.bytes);
            let ticket = match of.kind {
                Kind::Reservation => ticket.reservation(),
                Kind::Resident => ticket.resident(),
                _ => ticket,
            };
            let ticket = ticket.room_for(of.room);
            let ticket = if of.evictable {
                ticket.evictable()
            } else {
                ticket
            };
            &*Box::leak(Box::new(ticket))
        });
        let tickets = tickets.collect();
        let entries: Vec<usize> = script.tickets.iter().map(|of| of.entry).collect();
        let mut model = Model::new(settings, script.initial_limit, &entries);
        model.setter.fail_calls = failing.to_vec();
        let pool = Arc::new(Pool::default());
        Self {
            script,
            faulty: script.faults || !failing.is_empty(),
            model,
            tickets,
            actors: (0..=ACTORS)
                .map(|_| Actor::spawn(&manager, &pool, patience))
                .collect(),
            tokens: (0..ACTORS).map(|_| CancelToken::new()).collect(),
            resizes: [false; ACTORS],
            events: script.watched.then(|| Events::new(&manager)),
            backend,
            clock,
            start,
            outside,
            manager,
            next_guard: 0,
            epochs: 0,
            forgotten: BTreeSet::new(),
            interfered: false,
            patience,
        }
    }

    /// The same script is to be played again with calls that fail.
    pub(crate) fn expecting_failures(mut self) -> Self {
        self.faulty = true;
        self
    }

    /// Plays all of it, then ends everything that lives. Says what went wrong, and where.
    pub(crate) fn play(mut self) -> Result<Model, String> {
        let mut place = "at the start".to_owned();
        let mut before = String::new();
        let played = catch_unwind(AssertUnwindSafe(|| {
            for (number, operation) in self.script.operations.iter().enumerate() {
                place = format!("in step {number}, {operation:?}");
                before = self.model.to_string();
                self.step(operation);
            }
            "at the end, when all is released".clone_into(&mut place);
            before = self.model.to_string();
            self.end();
        }));
        let Err(panic) = played else {
            for actor in self.actors {
                actor.dismiss();
            }
            return Ok(self.model);
        };
        if panic.is::<Ambiguous>() {
            self.manager.close();
            for actor in self.actors {
                actor.dismiss();
            }
            return Ok(self.model);
        }
        // Lets the threads end that wait. The lock may never be free again.
        let manager = self.manager.clone();
        thread::spawn(move || manager.close());
        let literal = panic.downcast_ref::<&str>().copied();
        let formatted = panic.downcast_ref::<String>().map(String::as_str);
        let what = formatted.or(literal).unwrap_or("a panic");
        Err(format!("{place}: {what}\nBefore it: {before}"))
    }

    pub(crate) fn step(&mut self, operation: &Operation) {
        match *operation {
            Operation::Acquire {
                actor,
                ticket,
                patience,
                for_holds,
                owned,
            } => {
                let ticket = ticket % self.tickets.len();
                self.acquire(actor, ticket, (patience, for_holds), owned);
            }
            Operation::Resize {
                actor,
                guard,
                bytes,
                patience,
                for_holds,
            } => {
                if let Some(guard) = self.pick(actor, guard) {
                    self.resize(actor, guard, bytes, (patience, for_holds));
                }
            }
            Operation::Release {
                actor,
                guard,
                tells,
            } => {
                if let Some(guard) = self.pick(actor, guard) {
                    self.release(actor, guard, tells);
                }
            }
            Operation::Forget { actor, guard } => {
                if let Some(guard) = self.pick(actor, guard) {
                    self.forgotten.insert(guard);
                    self.actors[actor].tell(Command::Forget { guard });
                    self.model.leak(guard);
                    let Reply::Done = self.actors[actor].reply() else {
                        panic!("another reply");
                    };
                    self.await_replies(None);
                }
            }
            Operation::Cancel(actor) => {
                // Waits without the token do not notice.
                let token = std::mem::take(&mut self.tokens[actor]);
                self.direct(move |_| token.cancel(), |model| model.cancel(actor));
            }
            Operation::Advance(by) => self.advance(by),
            Operation::Maintain => self.direct(Manager::maintain, Model::maintain),
            Operation::Poke => self.direct(poke, Model::poke),
            Operation::Pressure(level) => {
                let pressure = PRESSURES[level];
                self.direct(
                    move |manager| manager.set_pressure(pressure).expect("not inside a policy"),
                    |model| {
                        model.world.pressure = pressure;
                        model.poke();
                    },
                );
            }
            Operation::Gate { open, pokes } => {
                self.outside.gate_open.store(open, Ordering::SeqCst);
                self.model.world.gate_open = open;
                if pokes {
                    self.direct(poke, Model::poke);
                }
            }
            Operation::Extra(extra) => {
                self.outside.extra.store(extra, Ordering::SeqCst);
                self.model.world.extra = extra;
                self.direct(poke, Model::poke);
            }
            Operation::Configure(change) => self.configure(change),
            Operation::ForeignSet(bytes) => {
                if self.model.settings.has_wired_memory() {
                    self.interfered = true;
                    self.backend.foreign_set(bytes);
                    self.model.setter.limit = bytes;
                }
            }
            Operation::FailNext(calls) => {
                self.backend.fail_next(calls);
                self.model.setter.fail_next = calls;
            }
            Operation::Failing(failing) => {
                self.backend.set_failing(failing);
                self.model.setter.failing = failing;
            }
            Operation::Close => self.direct(Manager::close, Model::close),
        }
        self.compare();
    }

    /// A live guard that the actor can reach, unless the actor waits.
    pub(crate) fn pick(&self, actor: usize, number: usize) -> Option<u64> {
        if self.model.is_waiting(actor) {
            return None;
        }
        let resized = |guard: u64| {
            let mut waiters = self.model.waiters();
            waiters.any(|waiter| waiter.request.guard == guard)
        };
        let reachable = |(guard, live): (&u64, &Live)| {
            let can = (live.owned || live.actor == actor)
                && !self.forgotten.contains(guard)
                && !resized(*guard);
            can.then_some(*guard)
        };
        let guards: Vec<u64> = self.model.live.iter().filter_map(reachable).collect();
        (!guards.is_empty()).then(|| guards[number % guards.len()])
    }

    fn advance(&mut self, by: Duration) {
        let end = self.model.now + by;
        while self.model.now < end {
            let deadline = self.model.next_deadline();
            let to = deadline.map_or(end, |at| at.min(end));
            if self.model.is_ambiguous(to) {
                resume_unwind(Box::new(Ambiguous));
            }
            self.clock.advance(to - self.model.now);
            let waits_on = self.model.advance_to(to);
            self.await_replies(None);
            if waits_on {
                // Its thread may not have looked yet.
                self.direct(poke, Model::poke);
            }
            self.compare();
        }
    }

    fn configure(&mut self, change: Change) {
        let mut to = self.model.settings;
        match change {
            Change::Ratio(ratio) => to.ratio = ratio,
            Change::Threshold(threshold) => to.threshold = threshold,
            Change::Cooldown(cooldown) => to.cooldown = cooldown,
            Change::Linger(linger) => to.linger = linger,
            Change::Overtaking(times) => to.overtaking = times,
            Change::Elastic(shares) => to.elastic = shares,
            Change::Patience(patience) => to.patience = patience,
            Change::Budget(budget) => to.budget = budget,
            Change::Override(bytes) => to.baseline_override = bytes,
            Change::Margin(quarters) => to.margin = quarters,
            Change::Mode(mode) if to.has_wired_memory() => to.mode = mode,
            Change::Mode(_) => return,
        }
        self.interfered |= matches!(change, Change::Mode(_) | Change::Override(_));
        let taken = self.model.configure(to);
        self.directed(Box::new(move |manager| {
            let result = manager.configure(|_| config(&to));
            let busy = matches!(result, Err(Error::Busy { .. }));
            assert!(result.is_ok() || busy, "{result:?}");
            assert_eq!(result.is_ok(), taken, "{result:?}");
        }));
    }

    /// Does something to the manager, on a thread that holds nothing.
    fn direct(
        &mut self,
        job: impl FnOnce(&Manager) + Send + 'static,
        model: impl FnOnce(&mut Model),
    ) {
        model(&mut self.model);
        self.directed(Box::new(job));
    }

    fn directed(&mut self, job: Job) {
        self.actors[ACTORS].tell(Command::Run(job));
        let Reply::Done = self.actors[ACTORS].reply() else {
            panic!("another reply");
        };
        self.await_replies(None);
    }
}

fn poke(manager: &Manager) {
    manager.poke().expect("not inside a policy");
}
