use super::{MIB, pool};
use crate::kit::until;
use mlx_wired::clock::FakeClock;
use mlx_wired::memory::{BufferPool, PoolError};
use parking_lot::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_return_from_another_thread_ends_a_wait() {
    let pool = pool(4 * MIB);
    let held = pool.get(4 * MIB).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get_timeout(4 * MIB, LONG).unwrap().len());
        until("it waits", || pool.stats().waiting == 1);
        drop(held);
        assert_eq!(waiting.join().unwrap(), 4 * MIB);
    });
    let stats = pool.stats();
    assert_eq!((stats.waits, stats.refused, stats.waiting), (1, 0, 0));
    assert_eq!((stats.hits, stats.misses, stats.in_use), (1, 1, 0));
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came_and_no_call_overtakes() {
    let pool = pool(4 * MIB);
    let mut held = vec![pool.get(MIB).unwrap(), pool.get(3 * MIB).unwrap()];
    let served = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (place, len) in [3 * MIB, MIB, MIB].into_iter().enumerate() {
            let (pool, served, is_over) = (&pool, &served, &is_over);
            scope.spawn(move || {
                let buffer = pool.get_timeout(len, LONG).unwrap();
                served.lock().push(place);
                until("told to go on", || is_over.load(Relaxed));
                drop(buffer);
            });
            until("it waits", || pool.stats().waiting == place + 1);
        }
        // It would fit the second, which is not the first.
        drop(held.remove(0));
        assert_eq!(pool.stats().waiting, 3);
        let refused = pool.get(MIB).unwrap_err();
        assert!(matches!(refused, PoolError::Full { waiting: 3, .. }));
        assert!(pool.try_get(1).is_none());
        // 4 MiB: for the first two.
        held.clear();
        until("two are served", || served.lock().len() == 2);
        assert_eq!(pool.stats().waiting, 1);
        assert!(!served.lock().contains(&2));
        is_over.store(true, Relaxed);
    });
    assert_eq!(served.lock().len(), 3);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_wait_ends_at_its_time_by_the_pools_clock_and_holds_nothing() {
    let clock = FakeClock::new();
    let pool = BufferPool::builder("test")
        .limit(4 << 20)
        .clock(clock.clone())
        .build();
    let held = pool.get(4 * MIB).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get_timeout(MIB, Duration::from_secs(5)));
        until("it waits", || pool.stats().waiting == 1);
        clock.advance(Duration::from_secs(5));
        let error = waiting.join().unwrap().unwrap_err();
        let PoolError::Full { waited, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(waited, Duration::from_secs(5));
        assert!(error.is_retryable());
    });
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.waits, stats.refused), (0, 1, 1));
    drop(held);
    assert_eq!(pool.stats().in_use, 0);
    assert!(pool.get(4 * MIB).is_ok());
}

#[test]
fn one_that_gives_up_lets_the_next_in() {
    let clock = FakeClock::new();
    let pool = BufferPool::builder("test")
        .limit(4 << 20)
        .decay(Duration::MAX)
        .clock(clock.clone())
        .build();
    let held = pool.get(2 * MIB).unwrap();
    thread::scope(|scope| {
        let large = scope.spawn(|| pool.get_timeout(4 * MIB, Duration::from_secs(5)));
        until("the large one waits", || pool.stats().waiting == 1);
        let small = scope.spawn(|| pool.get_timeout(MIB, LONG).map(drop));
        until("the small one waits", || pool.stats().waiting == 2);
        clock.advance(Duration::from_secs(5));
        assert!(large.join().unwrap().is_err());
        small.join().unwrap().unwrap();
    });
    drop(held);
}

#[test]
fn many_threads_share_a_limit() {
    let pool = pool(4 * MIB);
    thread::scope(|scope| {
        for thread in 1..=8_u8 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..200 {
                    let len = MIB * (1 + (round + usize::from(thread)) % 3);
                    let mut buffer = pool.get_timeout(len, LONG).unwrap();
                    buffer[0] = thread;
                    buffer[len - 1] = thread;
                    thread::yield_now();
                    assert_eq!((buffer[0], buffer[len - 1]), (thread, thread));
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0));
    assert_eq!(stats.hits + stats.misses, 8 * 200);
    assert!(stats.peak <= 4 << 20);
}
