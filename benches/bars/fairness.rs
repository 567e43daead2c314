//! Four threads that take turns in one place: how long the unluckiest waits.

use crate::method::median;
use crate::prepared::{BYTES, manager};
use crate::report::Report;
use mlx_wired::SumPolicy;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 4;
/// The holder sleeps, as a thread does that waits for the device.
const HOLD: Duration = Duration::from_millis(1);
/// How long the threads take turns in one run.
const LENGTH: Duration = Duration::from_millis(200);
const RUNS: usize = 21;
/// A holder that slept so long was kept asleep by the machine: a thread that waited meanwhile did not wait for the place.
const DISTURBED: Duration = Duration::from_micros(1500);
/// How often a run is repeated for that.
const TRIES: usize = 10;
const OURS: &str = "worst-wait/sum-capped";
const BAR: f64 = 1.5;

/// Takes the place, calls the closure, gives the place up.
type Place = Box<dyn Fn(&mut dyn FnMut()) + Sync>;

pub(crate) fn run(report: &mut Report) {
    let mut places: Vec<(&str, Place)> = vec![
        (OURS, by_ticket()),
        ("worst-wait/parking_lot FairMutex", by_fair_mutex()),
        ("worst-wait/tokio", by_tokio()),
        ("worst-wait/async-lock", by_async_lock()),
        ("worst-wait/std Mutex", by_std_mutex()),
    ];
    places.retain(|(row, _)| report.wants(row));
    let (runs, length) = if report.is_quick() {
        (1, HOLD)
    } else {
        (RUNS, LENGTH)
    };
    let mut waits = vec![Vec::new(); places.len()];
    for _ in 0..runs {
        for ((_, place), waits) in places.iter().zip(&mut waits) {
            waits.push(undisturbed(place, length));
        }
    }
    for ((row, _), waits) in places.into_iter().zip(waits) {
        let worst = median(waits);
        let ratio = worst / (THREADS as f64 * HOLD.as_secs_f64());
        if row == OURS {
            report.at_most(row, ratio, BAR, Some(worst * 1e9));
        } else {
            report.peer(row, ratio, Some(worst * 1e9));
        }
    }
}

/// The longest wait of any thread, in seconds, in a run without a disturbed hold.
fn undisturbed(place: &Place, length: Duration) -> f64 {
    let mut run = run_once(place, length);
    for _ in 1..TRIES {
        if run.hold <= DISTURBED {
            break;
        }
        run = run_once(place, length);
    }
    run.wait.as_secs_f64()
}

/// The longest of any thread in one run.
#[derive(Clone, Copy, Default)]
struct Worst {
    wait: Duration,
    hold: Duration,
}

fn run_once(place: &Place, length: Duration) -> Worst {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let end = Instant::now() + length;
                    let mut worst = Worst::default();
                    while Instant::now() < end {
                        let asked = Instant::now();
                        place(&mut || {
                            let admitted = Instant::now();
                            thread::sleep(HOLD);
                            worst.wait = worst.wait.max(admitted - asked);
                            worst.hold = worst.hold.max(admitted.elapsed());
                        });
                    }
                    worst
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it only waits"))
            .fold(Worst::default(), |one, other| Worst {
                wait: one.wait.max(other.wait),
                hold: one.hold.max(other.hold),
            })
    })
}

fn by_ticket() -> Place {
    let ticket = manager().ticket(&SumPolicy::capped(BYTES), BYTES);
    Box::new(move |hold| {
        let guard = ticket.acquire().expect("its turn comes");
        hold();
        drop(guard);
    })
}

fn by_fair_mutex() -> Place {
    let mutex = parking_lot::FairMutex::new(());
    Box::new(move |hold| {
        let locked = mutex.lock();
        hold();
        drop(locked);
    })
}

fn by_tokio() -> Place {
    let semaphore = tokio::sync::Semaphore::new(1);
    Box::new(move |hold| {
        let permit = pollster::block_on(semaphore.acquire()).expect("it is never closed");
        hold();
        drop(permit);
    })
}

fn by_async_lock() -> Place {
    let semaphore = async_lock::Semaphore::new(1);
    Box::new(move |hold| {
        let permit = semaphore.acquire_blocking();
        hold();
        drop(permit);
    })
}

fn by_std_mutex() -> Place {
    let mutex = Mutex::new(());
    Box::new(move |hold| {
        let locked = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        hold();
        drop(locked);
    })
}
