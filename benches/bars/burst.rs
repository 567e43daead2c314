//! Many threads at once: one call of the setter serves all that came before it returned.

use crate::method::median;
use crate::prepared::BYTES;
use crate::report::Report;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Config, Error, Manager, SumPolicy, Ticket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 64;
/// How long the setter takes, and the first call takes more once the last thread has come.
const SETTER: Duration = Duration::from_millis(1);
const CALLS: f64 = 2.0;
const TIME: f64 = 3.0;

const ACQUIRE_CALLS: &str = "burst/64-acquire/setter-calls";
const ACQUIRE_TIME: &str = "burst/64-acquire/time-over-setter";
const RELEASE_CALLS: &str = "burst/64-release/setter-calls";

pub(crate) fn run(report: &mut Report) {
    let rows = [ACQUIRE_CALLS, ACQUIRE_TIME, RELEASE_CALLS];
    if !rows.iter().any(|row| report.wants(row)) {
        return;
    }
    let runs = if report.is_quick() { 1 } else { 21 };
    let bursts: Vec<Burst> = (0..runs).map(|_| burst()).collect();
    let most = |calls: fn(&Burst) -> usize| bursts.iter().map(calls).max().unwrap_or(0) as f64;
    let time = median(bursts.iter().map(|burst| burst.acquiring.as_secs_f64()));
    let ratio = time / SETTER.as_secs_f64();
    report.at_most(
        ACQUIRE_CALLS,
        most(|burst| burst.acquire_calls),
        CALLS,
        None,
    );
    report.at_most(ACQUIRE_TIME, ratio, TIME, Some(time * 1e9));
    report.at_most(
        RELEASE_CALLS,
        most(|burst| burst.release_calls),
        CALLS,
        None,
    );
}

struct Burst {
    acquire_calls: usize,
    /// From when the last thread had come until the last had its guard.
    acquiring: Duration,
    release_calls: usize,
}

/// 64 threads acquire, hold, and release. The first call of the setter in each half is held back until all
/// have added or removed their demand, and takes its millisecond from then.
fn burst() -> Burst {
    // Every release may shrink the limit: the hardest case for the second half.
    let config = Config::default()
        .shrink_threshold_ratio(0.0)
        .shrink_cooldown(Duration::ZERO);
    let backend = RecordingBackend::metal().cost(SETTER).build();
    let manager = Manager::builder()
        .backend(backend.clone())
        .config(config)
        .build()
        .expect("the configuration is valid");
    let ticket = manager.ticket(&SumPolicy::uncapped(), BYTES);
    let probe = manager.ticket(&SumPolicy::uncapped(), 0);
    let released = AtomicUsize::new(0);
    let hold = Barrier::new(THREADS + 1);
    let gate = backend.gate();

    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let guard = ticket.acquire().expect("nothing is in the way");
                    let admitted = Instant::now();
                    hold.wait();
                    hold.wait();
                    drop(guard);
                    released.fetch_add(1, Ordering::AcqRel);
                    admitted
                })
            })
            .collect();

        gate.wait_entered(1);
        wait_until(|| demand(&probe) == THREADS as u64 * BYTES);
        let all_came = Instant::now();
        gate.open();
        hold.wait();
        let acquire_calls = backend.call_count();

        let gate = backend.gate();
        hold.wait();
        gate.wait_entered(1);
        // All but the one that is in the setter.
        wait_until(|| released.load(Ordering::Acquire) == THREADS - 1);
        gate.open();
        let admitted = threads
            .into_iter()
            .map(|thread| thread.join().expect("it only waits"));
        let last = admitted.max().expect("there are some");
        Burst {
            acquire_calls,
            acquiring: last - all_came,
            release_calls: backend.call_count() - acquire_calls,
        }
    })
}

/// What is counted for, while a call of the setter is in flight: a ticket of no size is told.
fn demand(probe: &Ticket) -> u64 {
    match probe.try_acquire() {
        Err(Error::WouldBlock { in_use, .. }) => in_use,
        other => panic!("the setter is held back, but {other:?}"),
    }
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_micros(50));
    }
}
