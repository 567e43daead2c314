//! Threads that do the same thing at the same time, and how long that takes them.

use crate::method::{self, Cost, spin_until};
use crate::pinning::{Pinned, cpus, preemptions};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Something whose acquire + release is timed.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// Does this many pairs, on each of the threads at once.
    pairs: Box<dyn Fn(u64) + Send + Sync>,
    /// What is done before each timing.
    before: Box<dyn Fn() + Send + Sync>,
}

impl Subject {
    pub(crate) fn new(
        name: impl Into<String>,
        pairs: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            pairs: Box::new(pairs),
            before: Box::new(|| ()),
        }
    }

    /// The same, with something that is done before each timing.
    pub(crate) fn before_each(self, before: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            before: Box::new(before),
            ..self
        }
    }
}

/// How long to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Pairs by each thread in one timing.
    pub(crate) pairs: u64,
    /// Timings of each subject in one set.
    pub(crate) rounds: usize,
    pub(crate) sets: usize,
}

impl Effort {
    /// Just enough to have tried it.
    pub(crate) const TRIAL: Self = Self {
        pairs: 10,
        rounds: 1,
        sets: 1,
    };
}

/// Compares with the first subject what a pair of each costs, in nanoseconds, when so many threads do
/// nothing else.
///
/// Each set has subjects of its own, and those before it are kept: where something happens to lie in memory
/// can cost a tenth, and should not be the same luck throughout.
pub(crate) fn compare(
    threads: usize,
    effort: Effort,
    subjects: impl Fn() -> Vec<Subject>,
) -> Vec<Cost> {
    let mut kept = Vec::new();
    let sets: Vec<_> = (0..effort.sets)
        .map(|_| {
            let subjects = subjects();
            let costs = one_set(threads, &subjects, effort);
            kept.push(subjects);
            costs
        })
        .collect();
    method::over_sets(&sets)
}

/// One set, with threads of its own.
pub(crate) fn one_set(threads: usize, subjects: &[Subject], effort: Effort) -> Vec<Cost> {
    let crew = Crew {
        threads,
        order: AtomicU64::new(0),
        subject: AtomicUsize::new(0),
        pairs: AtomicU64::new(0),
        arrived: AtomicUsize::new(0),
        preempted: AtomicBool::new(false),
        dismissed: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for index in 1..threads {
            let (crew, cpu) = (&crew, cpus().get(index).copied());
            scope.spawn(move || crew.serve(subjects, cpu));
        }
        let _pinned = Pinned::to(cpus().first().copied());
        // Each thread's first guard, and the caches, are not what is measured.
        for index in 0..subjects.len() {
            crew.time(subjects, index, effort.pairs.min(1000));
        }
        let time = |index| crew.time(subjects, index, effort.pairs);
        let costs = method::interleave(subjects.len(), effort.rounds, time);
        crew.dismiss();
        costs
    })
}

/// How often a timing is repeated because a thread was stopped in the middle of it.
const TRIES: usize = 20;

struct Crew {
    threads: usize,
    order: AtomicU64,
    subject: AtomicUsize,
    pairs: AtomicU64,
    arrived: AtomicUsize,
    /// Whether one of the threads lost its processor during the last timing.
    preempted: AtomicBool,
    dismissed: AtomicBool,
}

impl Crew {
    /// Nanoseconds for each pair in a timing during which every thread kept its processor.
    fn time(&self, subjects: &[Subject], index: usize, pairs: u64) -> f64 {
        let mut tries = 0..TRIES;
        loop {
            let time = self.try_time(subjects, index, pairs);
            // After so many it is the subject's own doing, or no thread ever keeps a processor here.
            if !self.preempted.swap(false, Ordering::Relaxed) || tries.next().is_none() {
                return time;
            }
        }
    }

    /// Nanoseconds for each pair, from when all have come until the last has finished.
    fn try_time(&self, subjects: &[Subject], index: usize, pairs: u64) -> f64 {
        (subjects[index].before)();
        self.subject.store(index, Ordering::Relaxed);
        self.pairs.store(pairs, Ordering::Relaxed);
        self.order.fetch_add(1, Ordering::Release);
        self.meet();
        let start = Instant::now();
        self.work(&subjects[index], pairs);
        self.meet();
        start.elapsed().as_secs_f64() * 1e9 / pairs as f64
    }

    fn serve(&self, subjects: &[Subject], cpu: Option<usize>) {
        let _pinned = Pinned::to(cpu);
        let mut seen = 0;
        loop {
            spin_until(|| self.order.load(Ordering::Acquire) != seen);
            seen += 1;
            if self.dismissed.load(Ordering::Relaxed) {
                return;
            }
            let index = self.subject.load(Ordering::Relaxed);
            let pairs = self.pairs.load(Ordering::Relaxed);
            self.meet();
            self.work(&subjects[index], pairs);
            self.meet();
        }
    }

    fn work(&self, subject: &Subject, pairs: u64) {
        let before = preemptions();
        (subject.pairs)(pairs);
        if preemptions() != before {
            // Ordered by the meeting that follows.
            self.preempted.store(true, Ordering::Relaxed);
        }
    }

    /// Returns once every thread has come. The count only grows: were it reset, a thread that had not yet seen it
    /// full would wait for ever.
    fn meet(&self) {
        let mine = self.arrived.fetch_add(1, Ordering::AcqRel);
        let full = (mine / self.threads + 1) * self.threads;
        spin_until(|| self.arrived.load(Ordering::Acquire) >= full);
    }

    fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Relaxed);
        self.order.fetch_add(1, Ordering::Release);
    }
}
