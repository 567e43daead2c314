//! How pairs are timed: interleaved rounds in one process, and medians of paired ratios.
//!
//! A machine that others use too is noisy for minutes at a time. A ratio of two things timed in the same few
//! milliseconds is not, and neither is the median of many such ratios.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Something whose acquire + release is timed.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// Does this many pairs, on each of the threads at once.
    pairs: Box<dyn Fn(u64) + Send + Sync>,
}

impl Subject {
    pub(crate) fn new(
        name: impl Into<String>,
        pairs: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            pairs: Box::new(pairs),
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
    /// Sets; what counts is the median of their medians.
    pub(crate) sets: usize,
}

/// What one subject costs.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) name: String,
    /// Multiples of the first subject's.
    pub(crate) ratio: f64,
    /// Nanoseconds for each pair.
    pub(crate) nanoseconds: f64,
}

/// Times all subjects against the first one.
pub(crate) fn compare(threads: usize, subjects: &[Subject], effort: Effort) -> Vec<Cost> {
    let crew = Crew::new(threads);
    thread::scope(|scope| {
        for index in 1..threads {
            let (crew, cpu) = (&crew.shared, cpus().get(index).copied());
            scope.spawn(move || crew.serve(subjects, cpu));
        }
        let _pinned = Pinned::to(cpus().first().copied());
        // Each thread's first guard, and the caches, are not what is measured.
        for index in 0..subjects.len() {
            crew.time(subjects, index, effort.pairs.min(1000));
        }
        let sets: Vec<_> = (0..effort.sets)
            .map(|_| set(&crew, subjects, effort))
            .collect();
        crew.shared.dismiss();
        let name = |index: usize| subjects[index].name.clone();
        (0..subjects.len())
            .map(|index| Cost {
                name: name(index),
                ratio: median(sets.iter().map(|set| set[index].0)),
                nanoseconds: median(sets.iter().map(|set| set[index].1)),
            })
            .collect()
    })
}

/// One set of rounds: each subject's median ratio and median nanoseconds.
fn set(crew: &Crew, subjects: &[Subject], effort: Effort) -> Vec<(f64, f64)> {
    let count = subjects.len();
    let mut times = vec![Vec::with_capacity(effort.rounds); count];
    for round in 0..effort.rounds {
        for place in 0..count {
            // Nobody always comes after the same neighbour's mess.
            let index = (place + round) % count;
            times[index].push(crew.time(subjects, index, effort.pairs));
        }
    }
    (0..count)
        .map(|index| {
            let paired = times[index].iter().zip(&times[0]);
            let ratio = median(paired.map(|(time, base)| time / base));
            (ratio, median(times[index].iter().copied()))
        })
        .collect()
}

/// Threads that do the same thing at the same time.
struct Crew {
    shared: Shared,
}

struct Shared {
    threads: usize,
    order: AtomicU64,
    subject: AtomicUsize,
    pairs: AtomicU64,
    arrived: AtomicUsize,
    dismissed: AtomicBool,
}

impl Crew {
    fn new(threads: usize) -> Self {
        Self {
            shared: Shared {
                threads,
                order: AtomicU64::new(0),
                subject: AtomicUsize::new(0),
                pairs: AtomicU64::new(0),
                arrived: AtomicUsize::new(0),
                dismissed: AtomicBool::new(false),
            },
        }
    }

    /// Nanoseconds for each pair, from when all have begun until the last has finished.
    fn time(&self, subjects: &[Subject], index: usize, pairs: u64) -> f64 {
        let shared = &self.shared;
        shared.subject.store(index, Ordering::Relaxed);
        shared.pairs.store(pairs, Ordering::Relaxed);
        shared.order.fetch_add(1, Ordering::Release);
        shared.meet();
        let start = Instant::now();
        (subjects[index].pairs)(pairs);
        shared.meet();
        start.elapsed().as_secs_f64() * 1e9 / pairs as f64
    }
}

impl Shared {
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
            (subjects[index].pairs)(pairs);
            self.meet();
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

/// Spins, but lets others run now and then: somebody else may have the core that is waited for.
pub(crate) fn spin_until(mut condition: impl FnMut() -> bool) {
    let mut turns = 0_u32;
    while !condition() {
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(1 << 14) {
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
    }
}

/// The median; 0 of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// How many threads can run at once here.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) use pinning::{Pinned, cpus};

/// Threads stay where they are while they are timed: a migration costs more than what is measured.
#[cfg(target_os = "linux")]
mod pinning {
    use std::mem;
    use std::sync::OnceLock;

    /// The processors that this process may use.
    pub(crate) fn cpus() -> &'static [usize] {
        static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
        CPUS.get_or_init(|| {
            let Some(set) = current() else {
                return Vec::new();
            };
            // SAFETY: every index is within the set.
            (0..libc::CPU_SETSIZE as usize)
                .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
                .collect()
        })
    }

    fn current() -> Option<libc::cpu_set_t> {
        // SAFETY: all zeros is the empty set; the call writes at most its size.
        unsafe {
            let mut set: libc::cpu_set_t = mem::zeroed();
            let size = mem::size_of_val(&set);
            (libc::sched_getaffinity(0, size, &raw mut set) == 0).then_some(set)
        }
    }

    /// Keeps the thread on one processor until dropped.
    pub(crate) struct Pinned(Option<libc::cpu_set_t>);

    impl Pinned {
        pub(crate) fn to(cpu: Option<usize>) -> Self {
            // The list of processors must not be made from a pinned thread.
            let before = (!cpus().is_empty()).then(current).flatten();
            if let (Some(cpu), Some(_)) = (cpu, &before) {
                // SAFETY: all zeros is the empty set; `cpu` came from such a set.
                let one = unsafe {
                    let mut one: libc::cpu_set_t = mem::zeroed();
                    libc::CPU_SET(cpu, &mut one);
                    one
                };
                set(&one);
            }
            Self(before)
        }
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                set(before);
            }
        }
    }

    fn set(to: &libc::cpu_set_t) {
        // SAFETY: the set is whole. If it fails, threads wander and the medians say so.
        unsafe {
            libc::sched_setaffinity(0, mem::size_of_val(to), to);
        }
    }
}

/// Elsewhere threads cannot be told where to run.
#[cfg(not(target_os = "linux"))]
mod pinning {
    /// Unknown here.
    pub(crate) fn cpus() -> &'static [usize] {
        &[]
    }

    /// Does nothing here.
    pub(crate) struct Pinned;

    impl Pinned {
        pub(crate) fn to(_cpu: Option<usize>) -> Self {
            Self
        }
    }
}
