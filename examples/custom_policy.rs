//! A policy of one's own: a bounded number of jobs at once, and one alone while memory is scarce.
//!
//! ```sh
//! cargo run --example custom_policy
//! ```
//!
//! It needs no MLX.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::{Context, Error, Manager, Policy, PolicyId, Sizes, Ticket};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Admits `most` guards at once, or one while the pressure is high.
#[derive(Clone)]
struct Polite {
    most: u64,
}

const HIGH_PRESSURE: f64 = 0.5;

impl Policy for Polite {
    /// All tickets with this id are one group, whichever `Polite` made them.
    fn id(&self) -> PolicyId {
        PolicyId::named("polite")
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline.saturating_add(live.sum)
    }

    fn can_admit(&self, context: &Context, live: &Sizes<'_>, _new: u64) -> bool {
        let most = if context.pressure > HIGH_PRESSURE {
            1
        } else {
            self.most
        };
        live.count < most
    }
}

fn main() -> Result<(), Error> {
    let manager = Manager::builder()
        .backend(mlx_wired::ffi::NoMlx::new())
        .build()?;
    let job = manager.ticket(&Polite { most: 3 }, 64 << 20).label("job");

    println!("no pressure: {} at once", most_at_once(&job)?);
    manager.set_pressure(0.9)?;
    println!("scarce memory: {} at once", most_at_once(&job)?);

    // Changing the pressure examines the queue again: a waiter that waited for that is admitted.
    let first = job.acquire()?;
    let second = thread::scope(|scope| {
        let waiting = scope.spawn(|| job.acquire_owned());
        thread::sleep(Duration::from_millis(50));
        manager.set_pressure(0.0)?;
        waiting.join().expect("the waiter does not panic")
    })?;
    println!(
        "the pressure fell: the second came in after {:.1?}",
        second.waited()
    );
    drop(first);
    Ok(())
}

/// Runs sixteen jobs in eight workers and counts how many run at the same time.
fn most_at_once(job: &Ticket) -> Result<usize, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build();
    let pool = pool.expect("eight threads can be started");
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    pool.install(|| {
        (0..16).into_par_iter().try_for_each(|_| {
            let _guard = job.acquire()?;
            most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
            thread::sleep(Duration::from_millis(5));
            now.fetch_sub(1, Relaxed);
            Ok(())
        })
    })?;
    Ok(most.load(Relaxed))
}
