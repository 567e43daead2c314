//! Calls that take the lock cost the same beside a crowd: many live guards, many idle groups, a long queue.

use crate::crew::{self, Effort, Subject};
use crate::method::median;
use crate::peers;
use crate::prepared::{BYTES, manager};
use crate::report::Report;
use mlx_wired::{BudgetPolicy, Manager, OwnedGuard, SumPolicy, Ticket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const BAR: f64 = 1.5;
/// How large a crowd is that it is compared with.
const FEW: usize = 10;
const STACK: usize = 64 << 10;

/// What is timed. `hold`: the resize of a hold in the group in which the waiters wait.
const CALLS: [&str; 6] = ["ticket", "resize", "hold", "never", "timeout", "transition"];

/// What it is timed beside.
#[derive(Clone, Copy)]
enum Crowd {
    Guards,
    IdleGroups,
    Waiters,
}

impl Crowd {
    const ALL: [Self; 3] = [Self::Guards, Self::IdleGroups, Self::Waiters];

    fn name(self) -> &'static str {
        match self {
            Self::Guards => "100000-guards",
            Self::IdleGroups => "10000-idle-groups",
            Self::Waiters => "3000-waiters",
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Guards => 100_000,
            Self::IdleGroups => 10_000,
            Self::Waiters => 3_000,
        }
    }
}

pub(crate) fn run(report: &mut Report) {
    for crowd in Crowd::ALL {
        let row = |call: &str| format!("beside/{}/{call}", crowd.name());
        if !CALLS.iter().any(|call| report.wants(&row(call))) {
            continue;
        }
        let (size, effort) = if report.is_quick() {
            (FEW, Effort::TRIAL)
        } else {
            let effort = Effort {
                // Enough that caches which are cold from making the crowd do not count.
                pairs: match crowd {
                    Crowd::Guards | Crowd::IdleGroups => 1_000,
                    Crowd::Waiters => 50,
                },
                rounds: 15,
                sets: 3,
            };
            (crowd.size(), effort)
        };
        let sets: Option<Vec<_>> = (0..effort.sets)
            .map(|_| grown(crowd, size, effort))
            .collect();
        for (index, call) in CALLS.iter().enumerate() {
            match &sets {
                Some(sets) => {
                    let ratio = median(sets.iter().map(|set| set[index]));
                    report.at_most(row(call), ratio, BAR, None);
                }
                // The system has no room for so many threads.
                None => report.skip(row(call), Some(BAR)),
            }
        }
    }
}

/// What each call costs beside a crowd, in multiples of what it costs beside few.
fn grown(crowd: Crowd, size: usize, effort: Effort) -> Option<Vec<f64>> {
    let world = Arc::new(World::new());
    let subjects: Vec<Subject> = [peers::base()]
        .into_iter()
        .chain(CALLS.into_iter().map(|call| world.subject(call)))
        .collect();
    let ratios = || {
        let costs = crew::one_set(1, &subjects, effort);
        costs[1..].iter().map(|cost| cost.ratio).collect::<Vec<_>>()
    };
    let _first = Gathered::new(&world, crowd, FEW)?;
    let few = ratios();
    let _others = Gathered::new(&world, crowd, size)?;
    let many = ratios();
    Some(many.iter().zip(few).map(|(many, few)| many / few).collect())
}

/// A manager in which no guard drives, so that each pair of `driving` begins and ends an epoch.
struct World {
    manager: Manager,
    /// Holds what `full` asks for.
    held: Mutex<OwnedGuard>,
    full: Ticket,
    never: Ticket,
    driving: Ticket,
    cache: Mutex<OwnedGuard>,
}

impl World {
    fn new() -> Self {
        let manager = manager();
        let full = SumPolicy::capped(BYTES);
        let ticket = |bytes| manager.ticket(&full, bytes).reservation();
        let sum = SumPolicy::uncapped();
        let acquire = |ticket: Ticket| ticket.acquire_owned().expect("nothing is in the way");
        Self {
            held: Mutex::new(acquire(ticket(BYTES))),
            full: ticket(BYTES),
            never: ticket(BYTES + 1),
            driving: manager.ticket(&sum, BYTES),
            cache: Mutex::new(acquire(manager.ticket(&sum, BYTES).reservation())),
            manager,
        }
    }

    fn subject(self: &Arc<Self>, call: &'static str) -> Subject {
        let world = Arc::clone(self);
        Subject::new(call, move |times| {
            (0..times).for_each(|time| world.call(call, time));
        })
    }

    fn call(&self, call: &str, time: u64) {
        match call {
            "ticket" => {
                let ticket = self.manager.ticket(&SumPolicy::uncapped(), BYTES);
                drop(ticket.label("request"));
            }
            "resize" => resize(&self.cache, BYTES + 1 + time % 2),
            "hold" => resize(&self.held, BYTES - time % 2),
            "never" => drop(self.never.acquire().expect_err("it is over the cap")),
            "timeout" => {
                let error = self.full.admit_timeout(Duration::ZERO);
                drop(error.expect_err("the cap is used up"));
            }
            _ => drop(self.driving.acquire().expect("nothing is in the way")),
        }
    }
}

fn resize(guard: &Mutex<OwnedGuard>, bytes: u64) {
    let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
    guard.resize(bytes).expect("nothing is in the way");
}

/// A crowd, until dropped.
struct Gathered {
    manager: Manager,
    _guards: Vec<OwnedGuard>,
    _tickets: Vec<Ticket>,
    waiters: Vec<JoinHandle<()>>,
}

impl Gathered {
    fn new(world: &World, crowd: Crowd, size: usize) -> Option<Self> {
        let manager = &world.manager;
        let mut gathered = Self {
            manager: manager.clone(),
            _guards: Vec::new(),
            _tickets: Vec::new(),
            waiters: Vec::new(),
        };
        match crowd {
            Crowd::Guards => {
                let page = manager.ticket(&SumPolicy::uncapped(), 1).reservation();
                let page = |_| page.acquire_owned().expect("nothing is in the way");
                gathered._guards = (0..size).map(page).collect();
            }
            Crowd::IdleGroups => {
                let session = |_| manager.ticket(&BudgetPolicy::new(0), BYTES);
                gathered._tickets = (0..size).map(session).collect();
            }
            Crowd::Waiters => {
                let wanted = manager.waiting().len() + size;
                for _ in 0..size {
                    let full = world.full.clone();
                    let waits = move || drop(full.acquire());
                    let thread = thread::Builder::new().stack_size(STACK).spawn(waits);
                    gathered.waiters.push(thread.ok()?);
                }
                while manager.waiting().len() < wanted {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Some(gathered)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        // Ends the waits.
        self.manager.close();
        for waiter in self.waiters.drain(..) {
            waiter.join().expect("it only waits");
        }
    }
}
