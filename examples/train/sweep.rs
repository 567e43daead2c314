//! All folds of all networks in rayon's workers, each under its ticket.

use crate::Failure;
use crate::data::Fold;
use crate::network::{self, NETWORKS, Start};
use crate::options::Options;
use crate::progress::Bars;
use crate::sizes::{self, Sizes};
use mlx_wired::train::{Limit, Run};
use mlx_wired::{Manager, OwnedGuard, Policy, Stats, SumPolicy, Ticket};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// One fold of one network. What it shares with others it has a handle of.
struct Job {
    network: usize,
    fold: usize,
    start: Start,
    bytes: u64,
}

/// What became of it.
pub(crate) struct Trained {
    pub(crate) network: usize,
    fold: usize,
    pub(crate) correct: usize,
    pub(crate) tested: usize,
    pub(crate) waited: Duration,
    pub(crate) ran: Duration,
}

pub(crate) struct Outcome {
    pub(crate) trained: Vec<Trained>,
    pub(crate) wall: Duration,
    /// MLX's own peak in the sweep, in bytes, data and initial weights included.
    pub(crate) peak: u64,
    pub(crate) most_folds: u64,
    /// The same for each network.
    pub(crate) most_of_network: Vec<u64>,
    /// The most bytes of tickets that folds held at once, the reservation included.
    pub(crate) most_held: u64,
    /// The manager's own account; none without tickets.
    pub(crate) stats: Option<Stats>,
}

/// The tickets, and the guard of what all folds share.
struct Tickets {
    folds: Vec<Ticket>,
    _shared: OwnedGuard,
}

impl Tickets {
    fn new(sizes: &Sizes) -> Result<Self, mlx_wired::Error> {
        let policy = SumPolicy::capped(sizes.budget);
        let folds: Vec<Ticket> = sizes
            .folds
            .iter()
            .map(|fold| fold.ticket(&policy))
            .collect();
        let largest = folds.iter().map(Ticket::bytes).max().unwrap_or(0);
        let shared = policy.ticket(sizes.reserved).reservation();
        // Every fold gets its turn: what it waits for is other folds.
        let shared = shared.room_for(largest);
        Ok(Self {
            _shared: shared.label("data and initial weights").acquire_owned()?,
            folds,
        })
    }
}

pub(crate) fn run(sizes: &Sizes, folds: &[Fold], options: &Options) -> Result<Outcome, Failure> {
    let tickets = options.tickets.then(|| Tickets::new(sizes)).transpose()?;
    let bars = Bars::new(folds.len(), options.epochs);
    let (running, held) = (Gauge::default(), Gauge::default());
    let of_network: Vec<Gauge> = NETWORKS.iter().map(|_| Gauge::default()).collect();
    let _shared = held.enter(sizes.reserved);
    // MLX keeps freed buffers for reuse, counted neither as active nor in the peak. A budget is to bound what the process
    // really holds, so nothing is kept here. What is wired follows from the folds' own tickets.
    let mut memory = Run::builder().no_wire().cache_limit(Limit::Fixed(0));
    if options.tickets {
        // On CUDA MLX would run ahead of what it has computed; with this the run has it wait.
        memory = memory.budget(sizes.budget);
    }
    let memory = memory.start()?;
    let began = Instant::now();

    let train = |job: Job| -> Result<Trained, Failure> {
        // Blocks this worker until the budget has room; it holds nothing else meanwhile.
        let guard = match &tickets {
            Some(tickets) => Some(tickets.folds[job.network].acquire()?),
            None => None,
        };
        let started = Instant::now();
        let counted = (
            running.enter(1),
            of_network[job.network].enter(1),
            held.enter(job.bytes),
        );
        bars.running(running.now());

        let fold = &folds[job.fold];
        let after_epoch = || {
            bars.epoch();
            sizes::end_epoch()
        };
        let train = || network::train(&job.start, fold, options.epochs, after_epoch);
        let (correct, _) = memory.step(train)?;

        let trained = Trained {
            network: job.network,
            fold: job.fold,
            correct,
            tested: fold.test.len(),
            waited: guard
                .as_ref()
                .map_or(Duration::ZERO, |guard| guard.waited()),
            ran: started.elapsed(),
        };
        drop(counted);
        // The work is evaluated and its arrays are gone: the next may come.
        drop(guard);
        bars.running(running.now());
        bars.fold_done(trained.network, trained.accuracy());
        Ok(trained)
    };
    let jobs = jobs(sizes, folds.len());
    // Threads that have used MLX are joined before `main` returns. A pool that is dropped does not do that.
    let mut threads = Vec::new();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|n| format!("worker {n}"))
        .spawn_handler(|thread| {
            let builder = thread::Builder::new().name(thread.name().unwrap_or_default().to_owned());
            threads.push(builder.spawn(|| thread.run())?);
            Ok(())
        })
        .build()?;
    // The bridge hands the jobs out one by one, in order: halving the list would not.
    let trained: Result<Vec<Trained>, Failure> =
        pool.install(|| jobs.into_iter().par_bridge().map(train).collect());
    drop(pool);
    for thread in threads {
        thread.join().map_err(|_| "a worker panicked")?;
    }
    let mut trained = trained?;
    trained.sort_unstable_by_key(|trained| (trained.network, trained.fold));

    let wall = began.elapsed();
    let peak = memory.finish()?.peak;
    let stats = tickets.map(|tickets| {
        drop(tickets);
        Manager::shared().stats()
    });
    Ok(Outcome {
        trained,
        wall,
        peak,
        most_folds: running.most(),
        most_of_network: of_network.iter().map(Gauge::most).collect(),
        most_held: held.most(),
        stats,
    })
}

fn jobs(sizes: &Sizes, folds: usize) -> Vec<Job> {
    let networks = sizes.starts.iter().zip(&sizes.folds).enumerate();
    networks
        .flat_map(|(network, (start, measured))| {
            (0..folds).map(move |fold| Job {
                network,
                fold,
                start: start.clone(),
                bytes: measured.ticket_bytes(),
            })
        })
        .collect()
}

impl Trained {
    pub(crate) fn accuracy(&self) -> f64 {
        self.correct as f64 / self.tested as f64
    }
}

/// A sum that remembers its maximum. A statistic: it orders nothing.
#[derive(Default)]
struct Gauge {
    now: AtomicU64,
    most: AtomicU64,
}

/// Counts in a [`Gauge`] until dropped.
struct Entered<'a> {
    gauge: &'a Gauge,
    amount: u64,
}

impl Gauge {
    fn enter(&self, amount: u64) -> Entered<'_> {
        let now = self.now.fetch_add(amount, Relaxed) + amount;
        self.most.fetch_max(now, Relaxed);
        Entered {
            gauge: self,
            amount,
        }
    }

    fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    fn most(&self) -> u64 {
        self.most.load(Relaxed)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.gauge.now.fetch_sub(self.amount, Relaxed);
    }
}
