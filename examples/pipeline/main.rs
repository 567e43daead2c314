//! Loader threads fill host buffers, trainer threads consume them as arrays of MLX, all under one budget, and in the
//! middle memory gets short.
//!
//! ```sh
//! cargo run --release --example pipeline -- --quick --json pipeline.json
//! scripts/with-mlx cargo run --release --example pipeline        # the arrays are MLX's
//! cargo run --release --features timeline --example pipeline -- --timeline folder
//! ```
//!
//! Batches have mixed sizes. A loader takes a buffer from the pool and waits for one where there is none; a trainer takes
//! a batch, then a ticket for its step. The pool is counted by the same policy as the steps, so that both share the
//! budget. The pressure is scripted: it rises to critical and falls again while batches go on.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `options.rs` | the command line |
//! | `script.rs` | the pressure, from batch to batch |
//! | `step.rs` | what a trainer does with a batch, with MLX and without |
//! | `report.rs` | what is told at the end |
//! | `../common/` | arguments and `--timeline` |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[allow(dead_code, reason = "other programs use the rest")]
#[path = "../common/arguments.rs"]
mod arguments;
mod options;
mod report;
mod script;
mod step;
#[path = "../common/timeline.rs"]
mod timeline;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use mlx_wired::memory::{BufferPool, PoolBuf, PoolError};
use mlx_wired::{Config, Manager, SumPolicy, Ticket};
use options::{Options, Parsed};
use report::Report;
use script::Script;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const MIB: u64 = 1 << 20;
/// Of buffers, idle blocks and steps together.
const BUDGET: u64 = 48 * MIB;
/// Of buffers and idle blocks.
const BUFFERS: u64 = 24 * MIB;
const STEP: u64 = 8 * MIB;
const LOADERS: usize = 3;
const TRAINERS: usize = 2;
/// Batches between loaders and trainers.
const QUEUE: usize = 4;
/// Longer than anything here takes: a wait that does not end is an error.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let options = match options::parse() {
        Ok(Parsed::Help) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Run(options)) => options,
        Err(error) => {
            eprintln!("pipeline: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    // Under pressure new demands get less; what it delays alone waits this long at most.
    let config = Config::default()
        .elastic([1.0, 0.9, 0.75, 0.5])
        .pressure_patience(Duration::from_millis(200));
    let manager = Manager::builder().config(config).build()?;
    let timeline = options.timeline.as_deref();
    let timeline = timeline.map(|folder| timeline::start(&manager, folder));
    let timeline = timeline.transpose()?;

    let policy = SumPolicy::capped(BUDGET);
    let pool = BufferPool::builder("loader")
        .limit(BUFFERS)
        .counted_by(&manager, &policy)
        .build();
    let pipeline = Pipeline {
        batches: options.batches,
        next: AtomicU64::new(0),
        most: AtomicU64::new(0),
        step: manager.ticket(&policy, STEP).label("step"),
        pool: pool.clone(),
    };
    let mut script = Script::new(&manager, &pool, options.batches)?;
    pipeline.run(|done| script.batch(done))?;
    let levels = script.end();

    let over_budget = pipeline.most.load(Ordering::Relaxed).saturating_sub(BUDGET);
    let report = Report::new(options.batches, &pool.stats(), levels, over_budget);
    // All memory back, so that a timeline shows the end of it.
    drop(pipeline);
    pool.trim_to(0);
    print!("{report}");
    let written = timeline.map(timeline::Timeline::write).transpose()?;
    if let Some(written) = written {
        print!("{written}");
    }
    match &options.json {
        Some(file) => report.write(file),
        None => Ok(()),
    }
}

/// What all threads share.
struct Pipeline {
    batches: u64,
    /// The number of the next batch.
    next: AtomicU64,
    /// The most bytes that were admitted at once.
    most: AtomicU64,
    step: Ticket,
    pool: BufferPool,
}

impl Pipeline {
    /// Runs all batches, and calls `each` with the number of those that are done.
    fn run(&self, mut each: impl FnMut(u64)) -> Result<(), Failure> {
        let (filled, batches) = bounded(QUEUE);
        let (done, dones) = unbounded();
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..LOADERS {
                let filled = filled.clone();
                threads.push(scope.spawn(move || self.load(&filled)));
            }
            for _ in 0..TRAINERS {
                let (batches, done) = (batches.clone(), done.clone());
                threads.push(scope.spawn(move || self.train(&batches, &done)));
            }
            // Each side ends when the other has.
            drop((filled, batches, done));
            for (before, ()) in dones.into_iter().enumerate() {
                each(before as u64 + 1);
            }
            for thread in threads {
                thread.join().expect("threads return their errors")?;
            }
            Ok(())
        })
    }

    /// A loader: fills buffers until there are enough.
    fn load(&self, filled: &Sender<PoolBuf>) -> Result<(), Failure> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.batches {
                return Ok(());
            }
            let mut buffer = self.buffer(step::bytes(number))?;
            step::fill(&mut buffer);
            if filled.send(buffer).is_err() {
                // The trainers have failed: their error says why.
                return Ok(());
            }
        }
    }

    /// Waits for its turn in the pool, and while memory is short for admission.
    fn buffer(&self, len: usize) -> Result<PoolBuf, PoolError> {
        self.pool.get_timeout(len, PATIENCE)
    }

    /// A trainer: takes what a step needs, then computes.
    fn train(&self, batches: &Receiver<PoolBuf>, done: &Sender<()>) -> Result<(), Failure> {
        for batch in batches {
            let guard = self.step.admit_timeout(PATIENCE)?;
            self.most.fetch_max(self.step.in_use(), Ordering::Relaxed);
            step::train(batch)?;
            drop(guard);
            if done.send(()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
