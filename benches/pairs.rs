//! The costs of tickets, for people: acquire + drop by policy, the calls that refuse, contention, hand-off.
//!
//! ```sh
//! cargo bench --bench pairs
//! ```
//!
//! `cargo bench --bench bars` judges the same costs against others'.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, FixedPolicy, Manager, MaxPolicy, PeakPolicy, Policy, SumPolicy, Ticket,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

const BYTES: u64 = 1 << 20;
const CAP: u64 = 32 << 30;

fn manager() -> Manager {
    Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()
        .expect("the default configuration is valid")
}

/// A ticket of which guards live for ever, under a limit that covers two more.
fn warm<P: Policy + Clone>(policy: &P) -> Ticket {
    let ticket = manager().ticket(policy, BYTES);
    let acquire = |_| ticket.acquire_owned().expect("nothing is in the way");
    (0..10).map(acquire).for_each(|guard| guard.leak());
    drop((0..2).map(acquire).collect::<Vec<_>>());
    ticket
}

fn policies() -> [(&'static str, Ticket); 6] {
    [
        ("sum-uncapped", warm(&SumPolicy::uncapped())),
        ("sum-capped", warm(&SumPolicy::capped(CAP))),
        ("budget", warm(&BudgetPolicy::new(BYTES).with_cap(CAP))),
        ("fixed", warm(&FixedPolicy::new(CAP))),
        ("max", warm(&MaxPolicy::new())),
        ("peak", warm(&PeakPolicy)),
    ]
}

/// No limit change: the fast path.
fn acquire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("acquire + drop");
    for (name, ticket) in policies() {
        group.bench_function(name, |bencher| bencher.iter(|| drop(ticket.acquire())));
    }
    let ticket = warm(&SumPolicy::capped(CAP));
    group.bench_function("owned", |bencher| {
        bencher.iter(|| drop(ticket.acquire_owned()))
    });
    group.finish();
}

/// The first guard raises the limit and its drop restores it, with a setter that costs nothing.
fn epoch(criterion: &mut Criterion) {
    let ticket = manager().ticket(&SumPolicy::capped(CAP), BYTES);
    criterion.bench_function("a whole epoch", |bencher| {
        bencher.iter(|| drop(ticket.acquire()))
    });
}

fn try_acquire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("try_acquire");
    let ticket = warm(&SumPolicy::capped(CAP));
    group.bench_function("admitted", |bencher| {
        bencher.iter(|| drop(ticket.try_acquire()))
    });
    let full = manager().ticket(&SumPolicy::capped(BYTES), BYTES);
    let _guard = full.acquire().expect("nothing is in the way");
    group.bench_function("refused", |bencher| {
        bencher.iter(|| drop(full.try_acquire()))
    });
    group.finish();
}

/// Others acquire and drop the same ticket all the time.
fn contended(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("acquire + drop, contended");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let powers = (1..).map(|power| 1_usize << power);
    for threads in powers.take_while(|threads| *threads <= cores) {
        let ticket = warm(&SumPolicy::capped(CAP));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        drop(ticket.acquire());
                    }
                });
            }
            let id = BenchmarkId::from_parameter(format!("{threads} threads"));
            group.bench_function(id, |bencher| bencher.iter(|| drop(ticket.acquire())));
            over.store(true, Ordering::Relaxed);
        });
    }
    group.finish();
}

/// Two threads take turns in one place: each turn is a release, a wake-up and a thread that runs.
fn hand_off(criterion: &mut Criterion) {
    let manager = manager();
    let place = manager.ticket(&SumPolicy::capped(BYTES), BYTES);
    criterion.bench_function("blocked hand-off", |bencher| {
        bencher.iter_custom(|turns| {
            let first = place.acquire().expect("the place is free");
            thread::scope(|scope| {
                for mine in [turns / 2, turns - turns / 2] {
                    let place = &place;
                    scope.spawn(move || (0..mine).for_each(|_| drop(place.acquire())));
                }
                while turns > 1 && manager.waiting().len() < 2 {
                    thread::yield_now();
                }
                let start = Instant::now();
                drop(first);
                start
            })
            .elapsed()
        });
    });
}

criterion_group!(benches, acquire, epoch, try_acquire, contended, hand_off);
criterion_main!(benches);
