//! From one thread's release until the thread that slept for it runs.

use crate::method::{self, Cost, median, spin_until};
use crate::pinning::{Pinned, cpus};
use crate::prepared::{BYTES, manager};
use crate::report::Report;
use crossbeam::sync::{Parker, Unparker};
use mlx_wired::{SumPolicy, Ticket};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// From when the sleeper says that it will sleep until it is woken.
const ASLEEP: Duration = Duration::from_micros(60);
/// Hand-offs in one timing, which is their median.
const TURNS: usize = 9;
const BAR: f64 = 1.1;
const OURS: &str = "handoff/sum-capped";

pub(crate) fn run(report: &mut Report) {
    let mechanisms: [&dyn Mechanism; 4] = [
        &ByParker::new(),
        &ByTicket::new(),
        &ByTokio(tokio::sync::Semaphore::new(1)),
        &ByAsyncLock(async_lock::Semaphore::new(1)),
    ];
    let rows = ["crossbeam-parker", "sum-capped", "tokio", "async-lock"];
    let rows = rows.map(|name| format!("handoff/{name}"));
    if !rows.iter().any(|row| report.wants(row)) {
        return;
    }
    if method::cores() < 2 {
        report.skip(OURS, Some(BAR));
        return;
    }
    let (rounds, sets) = if report.is_quick() { (1, 1) } else { (21, 31) };
    for (row, cost) in rows.into_iter().zip(measure(&mechanisms, rounds, sets)) {
        if row == OURS {
            report.at_most(row, cost.ratio, BAR, Some(cost.time));
        } else {
            report.peer(row, cost.ratio, Some(cost.time));
        }
    }
}

fn measure(mechanisms: &[&dyn Mechanism], rounds: usize, sets: usize) -> Vec<Cost> {
    let turn = Turn::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _pinned = Pinned::to(cpus().get(1).copied());
            turn.serve(mechanisms);
        });
        let _pinned = Pinned::to(cpus().first().copied());
        let time = |index| median((0..TURNS).map(|_| turn.take(mechanisms, index)));
        let sets: Vec<_> = (0..sets)
            .map(|_| method::interleave(mechanisms.len(), rounds, time))
            .collect();
        turn.over.store(true, Ordering::Release);
        method::over_sets(&sets)
    })
}

/// How one thread sleeps for another. Both sides tell the [`Turn`] where they are.
trait Mechanism: Sync {
    fn wake(&self, turn: &Turn);
    fn sleep(&self, turn: &Turn);
}

/// What the two threads know of the hand-off between them.
struct Turn {
    origin: Instant,
    mechanism: AtomicUsize,
    phase: AtomicU8,
    /// Nanoseconds from the origin to the release.
    released: AtomicU64,
    /// Nanoseconds from the release until the sleeper ran.
    latency: AtomicU64,
    over: AtomicBool,
}

const IDLE: u8 = 0;
/// There is something to sleep for.
const TAKEN: u8 = 1;
/// The sleeper is about to sleep.
const SLEEPING: u8 = 2;
/// The sleeper has run, and has given back what it got.
const DONE: u8 = 3;

impl Turn {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            mechanism: AtomicUsize::new(0),
            phase: AtomicU8::new(IDLE),
            released: AtomicU64::new(0),
            latency: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn reach(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
    }

    fn is(&self, phase: u8) -> bool {
        self.phase.load(Ordering::Acquire) == phase
    }

    // The waking thread.

    /// One hand-off: nanoseconds from the release until the sleeper ran.
    fn take(&self, mechanisms: &[&dyn Mechanism], index: usize) -> f64 {
        self.mechanism.store(index, Ordering::Relaxed);
        mechanisms[index].wake(self);
        spin_until(|| self.is(DONE));
        self.reach(IDLE);
        self.latency.load(Ordering::Relaxed) as f64
    }

    /// Lets the sleeper come, and returns once it sleeps: the release must follow at once.
    fn release_follows(&self) {
        self.reach(TAKEN);
        spin_until(|| self.is(SLEEPING));
        let asleep = Instant::now();
        spin_until(|| asleep.elapsed() >= ASLEEP);
        self.released.store(self.now(), Ordering::Release);
    }

    // The sleeping thread.

    fn serve(&self, mechanisms: &[&dyn Mechanism]) {
        loop {
            spin_until(|| self.is(TAKEN) || self.over.load(Ordering::Acquire));
            if self.over.load(Ordering::Acquire) {
                return;
            }
            mechanisms[self.mechanism.load(Ordering::Relaxed)].sleep(self);
            self.reach(DONE);
        }
    }

    /// Must be followed by the sleep.
    fn sleep_follows(&self) {
        self.reach(SLEEPING);
    }

    /// Must follow the sleep.
    fn awake(&self) {
        let released = self.released.load(Ordering::Acquire);
        let latency = self.now().saturating_sub(released);
        self.latency.store(latency, Ordering::Relaxed);
    }
}

struct ByTicket(Ticket);

impl ByTicket {
    fn new() -> Self {
        // Another group's guard holds the limit up: nothing but admission changes hands.
        let manager = manager();
        let anchor = manager.ticket(&mlx_wired::FixedPolicy::new(BYTES), 1);
        std::mem::forget(anchor.acquire_owned());
        Self(manager.ticket(&SumPolicy::capped(BYTES), BYTES))
    }
}

impl Mechanism for ByTicket {
    fn wake(&self, turn: &Turn) {
        let guard = self.0.acquire().expect("the place is free");
        turn.release_follows();
        drop(guard);
    }

    fn sleep(&self, turn: &Turn) {
        turn.sleep_follows();
        let guard = self.0.acquire().expect("the place becomes free");
        turn.awake();
        drop(guard);
    }
}

struct ByParker {
    parker: Mutex<Parker>,
    unparker: Unparker,
}

impl ByParker {
    fn new() -> Self {
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        Self {
            parker: Mutex::new(parker),
            unparker,
        }
    }
}

impl Mechanism for ByParker {
    fn wake(&self, turn: &Turn) {
        turn.release_follows();
        self.unparker.unpark();
    }

    fn sleep(&self, turn: &Turn) {
        // No other thread takes it.
        let parker = self.parker.lock().unwrap_or_else(PoisonError::into_inner);
        turn.sleep_follows();
        parker.park();
        turn.awake();
    }
}

struct ByTokio(tokio::sync::Semaphore);

impl Mechanism for ByTokio {
    fn wake(&self, turn: &Turn) {
        let permit = pollster::block_on(self.0.acquire()).expect("it is never closed");
        turn.release_follows();
        drop(permit);
    }

    fn sleep(&self, turn: &Turn) {
        turn.sleep_follows();
        let permit = pollster::block_on(self.0.acquire()).expect("it is never closed");
        turn.awake();
        drop(permit);
    }
}

struct ByAsyncLock(async_lock::Semaphore);

impl Mechanism for ByAsyncLock {
    fn wake(&self, turn: &Turn) {
        let permit = self.0.acquire_blocking();
        turn.release_follows();
        drop(permit);
    }

    fn sleep(&self, turn: &Turn) {
        turn.sleep_follows();
        let permit = self.0.acquire_blocking();
        turn.awake();
        drop(permit);
    }
}
