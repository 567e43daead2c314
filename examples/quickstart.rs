//! The program of the README: weights as a reservation with room for a step, and steps in rayon's workers.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It needs no MLX; with MLX (`scripts/with-mlx`, or on a Mac) the same code sets MLX's wired limit.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::{Error, Policy, SumPolicy};
use rayon::prelude::*;
use std::{thread, time::Duration};

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Error> {
    let policy = SumPolicy::capped(600 * MIB); // `new()`: what the device has
    let step = policy.ticket(150 * MIB).label("step");
    let weights = policy.ticket(200 * MIB).reservation();
    // Before the weights are read: refused here if a step could never fit beside them.
    let _weights = weights.room_for(step.bytes()).acquire_owned()?;

    (1..=8).into_par_iter().try_for_each(|batch| {
        let guard = step.acquire()?; // blocks until it fits; on a Mac, until it is wired
        println!("batch {batch} waited {:.0?}", guard.waited());
        thread::sleep(Duration::from_millis(50)); // the work, evaluated before the guard goes
        Ok::<(), Error>(())
    })?;

    if let Err(error) = policy.ticket(500 * MIB).acquire() {
        println!("{error}");
    }
    Ok(())
}
