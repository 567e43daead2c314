//! The threads of a run: how they start together, and what is told when they are stuck.

use super::checks::PATIENCE;
use super::interrupts::Target;
use super::world::World;
use parking_lot::Mutex;
use std::fmt::Debug;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle, panicking, yield_now};
use std::time::{Duration, Instant};

/// What the threads of a run share besides the world.
pub(crate) struct Crew {
    pub(crate) world: Arc<World>,
    size: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
    /// One of them has panicked.
    broken: AtomicBool,
    steps: AtomicUsize,
    /// What each does.
    doing: Vec<Mutex<String>>,
}

impl Crew {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let size = world.plan.threads;
        Arc::new(Self {
            world: world.clone(),
            size,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            steps: AtomicUsize::new(0),
            doing: (0..size).map(|_| Mutex::default()).collect(),
        })
    }

    /// Goes on once all have come here. Returns false if one of them will not.
    ///
    /// It spins first: threads that are woken start one after another.
    pub(crate) fn meet(&self) -> bool {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round + 1, Ordering::Release);
        }
        let mut turns = 0;
        while self.round.load(Ordering::Acquire) == round {
            if self.is_broken() {
                return false;
            }
            turns += 1;
            match turns < 200 {
                true => spin_loop(),
                false => yield_now(),
            }
        }
        true
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Thread `index` is about to do something.
    pub(crate) fn begins(&self, index: usize, what: &impl Debug) {
        use std::fmt::Write as _;
        self.steps.fetch_add(1, Ordering::Relaxed);
        let mut doing = self.doing[index].lock();
        doing.clear();
        write!(doing, "{what:?}").expect("a string takes anything");
    }

    /// Runs `body` on every thread, with its index, and returns once all have ended.
    ///
    /// # Panics
    ///
    /// If one of them does, or if they are stuck; with the plan and what each was doing.
    #[track_caller]
    pub(crate) fn run(self: &Arc<Self>, body: impl Fn(&Self, usize) + Send + Sync + 'static) {
        let body = Arc::new(body);
        let threads: Vec<JoinHandle<()>> = (0..self.size)
            .map(|index| {
                let (crew, body) = (self.clone(), body.clone());
                let thread = thread::Builder::new().name(format!("stress {index}"));
                let work = move || {
                    let _alarm = Alarm(&crew);
                    let _target = Target::new(&crew.world.plan);
                    body(&crew, index);
                };
                thread.spawn(work).expect("the system has room for it")
            })
            .collect();
        self.watch(&threads);
        let ended = threads.into_iter().map(JoinHandle::join);
        let failed = ended.filter(Result::is_err).count();
        assert!(
            failed == 0,
            "{failed} threads failed: {:#?}",
            self.world.plan
        );
    }

    /// Returns once all have ended.
    #[track_caller]
    fn watch(&self, threads: &[JoinHandle<()>]) {
        let (mut seen, mut at) = (0, Instant::now());
        while !threads.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_micros(100));
            let steps = self.steps.load(Ordering::Relaxed);
            if steps != seen {
                (seen, at) = (steps, Instant::now());
            }
            if at.elapsed() > PATIENCE {
                let doing: Vec<String> = self.doing.iter().map(|it| it.lock().clone()).collect();
                let plan = &self.world.plan;
                panic!("R17: stuck at {doing:#?}\n{}\n{plan:#?}", self.snapshot());
            }
        }
    }

    /// The manager's state, if it still tells.
    fn snapshot(&self) -> String {
        let (sender, told) = mpsc::channel();
        let manager = self.world.manager.clone();
        thread::spawn(move || {
            let both = format!("{}\n{manager:#?}", manager.snapshot());
            // Nobody may listen any more.
            sender.send(both).unwrap_or_default();
        });
        let told = told.recv_timeout(Duration::from_secs(5));
        told.unwrap_or_else(|_| "its lock is held for ever".to_owned())
    }
}

/// Tells the others of a panic.
struct Alarm<'a>(&'a Crew);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}
