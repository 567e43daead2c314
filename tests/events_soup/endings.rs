//! Threads that share a subscriber, until the manager is gone.

use super::rounds;
use super::traffic::to_the_end;
use crate::kit::on;
use fastrand::Rng;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, Event, EventKind, SumPolicy};
use std::sync::Arc;
use std::thread::{self, JoinHandle, yield_now};

#[test]
fn r24_threads_that_share_a_subscriber_miss_nothing_between_them() {
    rounds(|seed| share(seed).expect("nothing refuses"));
}

fn share(seed: u64) -> Result<(), Error> {
    let rng = &mut Rng::with_seed(seed);
    let (manager, _) = on(RecordingBackend::metal());
    let subscriber = Arc::new(manager.subscribe(1 << 20));
    let other = rng.bool().then(|| manager.subscribe(2));
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10);
    let readers: Vec<JoinHandle<Vec<Event>>> = (0..3)
        .map(|_| {
            let subscriber = subscriber.clone();
            thread::spawn(move || to_the_end(&subscriber))
        })
        .collect();
    let pairs = rng.usize(..7);
    let stays = ticket.acquire_owned()?;
    for _ in 0..pairs {
        drop(ticket.acquire()?);
    }
    if rng.bool() {
        yield_now();
    }
    drop(other);
    for _ in 0..pairs {
        drop(ticket.acquire()?);
    }
    drop(stays);
    drop((ticket, manager));
    let mut all = Vec::new();
    for reader in readers {
        let told = reader.join().expect("it ends well");
        assert!(
            told.is_sorted_by_key(|event| event.sequence),
            "out of order"
        );
        all.extend(told);
    }
    all.sort_unstable_by_key(|event| event.sequence);
    let numbers = all.iter().map(|event| event.sequence);
    assert!(numbers.eq(0..all.len() as u64), "some are lost or doubled");
    let ends = all
        .iter()
        .filter(|event| event.kind == EventKind::TicketEnded);
    assert_eq!(ends.count(), 1 + 2 * pairs, "the last ones are missing");
    Ok(())
}
