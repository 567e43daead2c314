//! The three kinds of ticket, and what each does to the limit: a model's weights as a reservation, then
//! as a resident, with active work on top.
//!
//! ```sh
//! cargo run --example reservation
//! ```
//!
//! It needs no MLX: a recording backend stands for a Mac with 48 GiB of recommended working set.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, Manager, SumPolicy};

const GIB: u64 = 1 << 30;

fn main() -> Result<(), Error> {
    let backend = RecordingBackend::metal().build();
    let manager = Manager::builder().backend(backend.clone()).build()?;
    let show = |what: &str| println!("{what:<43} limit {:>2} GiB", backend.current_limit() / GIB);

    let policy = SumPolicy::new();
    let weights = manager.ticket(&policy, 12 * GIB).label("weights");
    let work = manager.ticket(&policy, 3 * GIB).label("work");

    {
        let reserved = weights.clone().reservation();
        let _weights = reserved.acquire()?;
        show("reserved: counted, not wired while idle");
        let guard = work.acquire()?;
        show("working: weights and work are wired");
        drop(guard);
        show("idle again");

        // What is reserved counts for admission: 12 + 3 + 34 GiB do not fit into 48.
        let _guard = work.acquire()?;
        let greedy = manager.ticket(&policy, 34 * GIB);
        match greedy.try_acquire() {
            Ok(_guard) => println!("admitted"),
            Err(error) => println!("refused: {error}"),
        }
    }
    show("nothing is live");

    let resident = weights.resident();
    let model = resident.acquire()?;
    show("resident: wired by itself");
    let guard = work.acquire()?;
    show("working");
    drop(guard);
    show("idle: a drop of a fifth is not worth a call");
    drop(model);
    show("nothing is live");

    let calls = backend.calls();
    let limits: Vec<u64> = calls.iter().map(|call| call.requested / GIB).collect();
    println!("MLX's setter was called with (GiB): {limits:?}");
    Ok(())
}
