//! Recordings: who held what and who waited, when; totals, sizes against time, and what is still held.

mod endings;
mod intervals;
#[path = "../kit/mod.rs"]
mod kit;
mod recordings;

use kit::Pending;
use mlx_wired::recorder::{End, Interval, Recording, What};
use mlx_wired::{Error, Manager, Ticket};

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
fn waiting(manager: &Manager, ticket: &Ticket) -> Pending<Result<(), Error>> {
    let ticket = ticket.clone();
    let waiting = Pending::spawn_named("waiter", move || ticket.acquire().map(drop));
    waiting.until_queued(manager);
    waiting
}
