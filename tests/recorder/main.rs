//! Recordings: who held what and who waited, when; totals, sizes against time, and what is still held.

mod endings;
mod intervals;
mod recordings;

use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::recorder::{End, Interval, Recording, What};
use mlx_wired::{Config, Error, Manager, Ticket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

struct Rig {
    manager: Manager,
    backend: Arc<RecordingBackend>,
    clock: FakeClock,
}

fn rig() -> Result<Rig, Error> {
    let backend = RecordingBackend::metal().build();
    let clock = FakeClock::new();
    let manager = Manager::builder()
        .backend(backend.clone())
        .clock(clock.clone())
        .config(Config::default().housekeeping(false))
        .build()?;
    Ok(Rig {
        manager,
        backend,
        clock,
    })
}

/// What, name, bytes, from, to and end of each interval, times in seconds.
fn told(recording: &Recording) -> Vec<(What, String, u64, u64, u64, End)> {
    let tell = |it: Interval| {
        let name = it.name().to_owned();
        let (from, to) = (it.from.as_secs(), it.to.as_secs());
        (it.what, name, it.bytes, from, to, it.end)
    };
    recording.intervals().into_iter().map(tell).collect()
}

/// A thread that acquires and was seen to wait, and then releases.
fn waiting(manager: &Manager, ticket: &Ticket) -> thread::JoinHandle<Result<(), Error>> {
    let before = manager.waiting().len();
    let ticket = ticket.clone();
    let waiting = thread::Builder::new()
        .name("waiter".to_owned())
        .spawn(move || ticket.acquire().map(drop))
        .expect("a thread can be started");
    while manager.waiting().len() == before {
        thread::yield_now();
    }
    waiting
}
