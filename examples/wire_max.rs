//! `wire_max`: the whole ceiling while a model is in use, as mlx-lm's `wired_limit(model)`.
//!
//! ```sh
//! cargo run --example wire_max
//! ```
//!
//! It needs no MLX: a recording backend stands for a Mac with 48 GiB of recommended working set.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Config, Error, EventKind, Manager};
use std::thread;

const GIB: u64 = 1 << 30;

fn main() -> Result<(), Error> {
    let backend = RecordingBackend::metal().build();
    let manager = Manager::builder()
        .backend(backend.clone())
        .config(Config::default().margin(0.25))
        .build()?;
    let events = manager.subscribe(64);
    if let Some(ceiling) = manager.ceiling() {
        println!("ceiling: {} GiB", ceiling / GIB);
    }

    // Guards of several threads nest and overlap; the last one restores what was before.
    thread::scope(|scope| {
        let generations: Vec<_> = (1..=3)
            .map(|request| {
                let manager = &manager;
                scope.spawn(move || {
                    let guard = manager.wire_max(20 * GIB)?;
                    println!(
                        "request {request}: wired {}, limit {} GiB",
                        guard.is_wired(),
                        guard.applied() / GIB
                    );
                    Ok(())
                })
            })
            .collect();
        generations
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a request does not panic"))
    })?;
    println!("afterwards: limit {} GiB", backend.current_limit() / GIB);

    // A model that nearly fills the ceiling is wired all the same, and an event says so.
    let released = manager.wire_max(34 * GIB)?.release();
    println!(
        "released: limit {} GiB, lowered {}",
        released.limit / GIB,
        released.lowered
    );
    for event in events.drain() {
        if let EventKind::ModelNearCeiling { model, ceiling } = event.kind {
            println!(
                "warning: a model of {} GiB, a ceiling of {} GiB",
                model / GIB,
                ceiling / GIB
            );
        }
    }
    Ok(())
}
