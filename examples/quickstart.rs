//! The quickstart: weights as a reservation with room for a step, steps as active tickets in rayon's workers, and a wait
//! with a bound.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It needs no MLX; with MLX (`scripts/with-mlx`, or on a Mac) the same code sets MLX's wired limit.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::{Error, Manager, Policy, SumPolicy};
use rayon::prelude::*;
use std::thread;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const STEP: u64 = 150 * MIB;

fn main() -> Result<(), Error> {
    let manager = Manager::shared();
    println!(
        "device: {}; wired memory is {}",
        manager.device().kind,
        manager.support()
    );

    // `SumPolicy::new()` is capped by what the device recommends; this cap has room for two steps.
    let policy = SumPolicy::capped(600 * MIB);
    let weights = policy.ticket(200 * MIB).reservation().room_for(STEP);
    let weights = weights.label("weights");
    // Counted, not wired while idle. Refused here, not in the middle, if a step could never fit beside it.
    let _weights = weights.acquire()?;

    let step = policy.ticket(STEP).label("step"); // active work
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build();
    let pool = pool.expect("four threads can be started");
    let batches: Vec<u32> = (1..=8).collect();
    pool.install(|| {
        batches.par_iter().try_for_each(|batch| {
            let guard = step.acquire()?; // blocks until admitted and wired
            println!("batch {batch}: waited {:>6.1?}", guard.waited());
            train_on(*batch);
            Ok::<(), Error>(())
        })
    })?;

    match step.admit_timeout(Duration::from_secs(5)) {
        Ok(guard) => println!(
            "admitted; the group called for {} MiB",
            guard.wanted() / MIB
        ),
        Err(error) if error.is_timeout() => println!("{error}"),
        Err(error) => return Err(error),
    }

    let stats = manager.stats();
    println!("{} waits, {} setter calls", stats.waits, stats.setter_calls);
    Ok(())
}

/// Stands for the work. With MLX, evaluate everything before the guard goes.
fn train_on(_batch: u32) {
    thread::sleep(Duration::from_millis(50));
}
