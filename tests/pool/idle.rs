use super::{KIB, MIB, address, pool};
use crate::kit::{assert_matches, until};
use mlx_wired::PressureLevel::{Critical, Normal, Urgent, Warning};
use mlx_wired::clock::{Clock, FakeClock, Sleeper, SystemClock};
use mlx_wired::memory::{BufferPool, PoolBuf, PoolError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many buffers of 1 MiB at once.
fn buffers(pool: &BufferPool, count: usize) -> Vec<PoolBuf> {
    (0..count).map(|_| pool.get(MIB).unwrap()).collect()
}

#[test]
fn a_buffer_is_made_of_the_block_that_came_back_last() {
    let pool = pool(64 * MIB);
    let (first, last) = (pool.get(MIB).unwrap(), pool.get(MIB).unwrap());
    let (first_at, last_at) = (address(&first), address(&last));
    drop(first);
    drop(last);
    let one = pool.get(900 * KIB).unwrap();
    let two = pool.get(MIB).unwrap();
    assert_eq!((address(&one), address(&two)), (last_at, first_at));
    let stats = pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.idle), (2, 2, 0));
}

#[test]
fn there_is_no_ratio_before_the_first_buffer() {
    let pool = pool(MIB);
    assert_eq!(pool.stats().hit_ratio(), None);
    pool.prewarm(MIB, 1).unwrap();
    assert_eq!(pool.stats().hit_ratio(), None);
    drop(pool.get(MIB).unwrap());
    assert_eq!(pool.stats().hit_ratio(), Some(1.0));
}

#[test]
fn the_block_that_was_idle_for_the_longest_time_goes_first_over_all_classes() {
    let pool = pool(16 * MIB);
    let sizes = [3 * MIB, MIB, 2 * MIB, 512 * KIB];
    let all: Vec<_> = sizes.map(|len| pool.get(len).unwrap()).into();
    // Back in this order, and the first of it used once more.
    drop(all);
    drop(pool.get(3 * MIB).unwrap());
    let mut gone = Vec::new();
    while pool.stats().idle > 0 {
        let idle = pool.stats().idle;
        gone.push(pool.trim_to(idle - 1) as usize);
    }
    assert_eq!(gone, [MIB, 2 * MIB, 512 * KIB, 3 * MIB]);
}

#[test]
fn over_the_idle_limit_the_oldest_go() {
    let pool = BufferPool::builder("test")
        .idle_limit(3 << 20)
        .decay(Duration::MAX)
        .build();
    let all = buffers(&pool, 5);
    let last = address(all.last().unwrap());
    drop(all);
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.evicted_bytes), (3 << 20, 2 << 20));
    assert_eq!(address(&pool.get(MIB).unwrap()), last);
    drop(pool.get(4 * MIB).unwrap());
    assert_eq!(
        pool.stats().idle,
        3 << 20,
        "a block over the limit drives nothing out"
    );
}

#[test]
fn no_buffer_in_use_is_evicted_and_no_call_hangs_when_all_are() {
    let pool = pool(8 * MIB);
    let mut held = buffers(&pool, 8);
    for (tag, buffer) in held.iter_mut().enumerate() {
        buffer.fill(tag as u8 + 1);
    }
    assert_eq!(pool.trim_to(0), 0);
    assert_eq!(pool.set_pressure(Critical), 0);
    pool.maintain();
    assert!(pool.get(MIB).is_err());
    assert_matches!(pool.prewarm(MIB, 1), Err(PoolError::TooLarge { .. }));
    assert!(pool.get_timeout(MIB, Duration::ZERO).is_err());
    for (tag, buffer) in held.iter().enumerate() {
        assert!(buffer.iter().all(|byte| *byte == tag as u8 + 1));
    }
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.evicted_bytes), (8 << 20, 0));
}

#[test]
fn pressure_evicts_half_three_quarters_and_all() {
    for (level, left) in [(Warning, 4), (Urgent, 2), (Critical, 0)] {
        let pool = pool(8 * MIB);
        drop(buffers(&pool, 8));
        assert_eq!(pool.set_pressure(level), (8 - left) << 20, "{level}");
        assert_eq!(pool.stats().idle, left << 20);
        assert_eq!(pool.set_pressure(level), 0, "told again, nothing changes");
        assert_eq!(pool.stats().evicted_bytes, (8 - left) << 20);
    }
}

#[test]
fn what_pressure_took_does_not_come_back_before_it_ends() {
    let pool = pool(8 * MIB);
    drop(buffers(&pool, 8));
    pool.set_pressure(Warning);
    drop(buffers(&pool, 8));
    assert_eq!(pool.stats().idle, 4 << 20);
    pool.set_pressure(Critical);
    drop(buffers(&pool, 8));
    assert_eq!(pool.stats().idle, 0);
    pool.set_pressure(Warning);
    drop(buffers(&pool, 8));
    assert_eq!(pool.stats().idle, 4 << 20);
    assert_eq!(pool.set_pressure(Normal), 0);
    drop(buffers(&pool, 8));
    assert_eq!(pool.stats().idle, 8 << 20);
    assert_eq!(pool.stats().idle_limit, 8 << 20);
}

#[test]
fn an_idle_program_gives_back_without_a_call() {
    let clock = FakeClock::new();
    let pool = BufferPool::builder("test")
        .decay(Duration::from_secs(10))
        .clock(clock.clone())
        .build();
    drop(buffers(&pool, 3));
    clock.advance(Duration::from_secs(30));
    until("the thread unmaps", || pool.stats().idle == 0);
    assert_eq!(pool.stats().evicted_blocks, 3);
    // A thread again, when there is something for it to do again.
    drop(buffers(&pool, 2));
    clock.advance(Duration::from_secs(30));
    until("the second thread unmaps", || pool.stats().idle == 0);
}

#[test]
fn a_block_decays_since_it_came_back_last() {
    let clock = FakeClock::new();
    let pool = BufferPool::builder("test")
        .decay(Duration::from_secs(10))
        .housekeeping(false)
        .clock(clock.clone())
        .build();
    drop(buffers(&pool, 3));
    clock.advance(Duration::from_secs(6));
    drop(pool.get(MIB).unwrap());
    pool.maintain();
    assert_eq!(pool.stats().idle, 3 << 20);
    clock.advance(Duration::from_secs(4));
    assert_eq!(pool.stats().idle, 3 << 20, "nothing has looked");
    pool.maintain();
    assert_eq!(pool.stats().idle, 1 << 20, "it was used in between");
    clock.advance(Duration::from_secs(6));
    pool.maintain();
    assert_eq!(pool.stats().idle, 0);
}

/// The system's clock, which notes until when threads sleep.
#[derive(Debug, Clone, Default)]
struct Noting(Arc<Mutex<Vec<Option<Instant>>>>);

impl Clock for Noting {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        self.0.lock().push(deadline);
        SystemClock.park(sleeper, deadline);
    }
}

#[test]
fn a_decay_beyond_the_clock_is_for_ever_and_keeps_no_thread_busy() {
    for decay in [
        Duration::MAX - Duration::from_nanos(1),
        Duration::MAX / 2,
        Duration::from_secs(1 << 62),
    ] {
        let clock = Noting::default();
        let pool = BufferPool::builder("test")
            .decay(decay)
            .clock(clock.clone())
            .build();
        drop(pool.get(MIB).unwrap());
        let start = Instant::now();
        until("the thread sleeps", || !clock.0.lock().is_empty());
        let deadlines = clock.0.lock().clone();
        let is_long = |until: &Option<Instant>| until.is_none_or(|until| until > start + decay / 9);
        assert!(deadlines.iter().all(is_long), "{deadlines:?}");
        pool.maintain();
        assert_eq!(pool.stats().idle, 1 << 20);
    }
}

/// A clock that is set to so many seconds after its start.
#[derive(Debug, Clone)]
struct Set(Instant, Arc<Mutex<u64>>);

impl Clock for Set {
    fn now(&self) -> Instant {
        self.0 + Duration::from_secs(*self.1.lock())
    }

    fn park(&self, sleeper: &Sleeper, _deadline: Option<Instant>) {
        sleeper.park();
    }
}

#[test]
fn a_clock_that_goes_back_evicts_nothing_early_and_all_at_last() {
    let clock = Set(Instant::now(), Arc::new(Mutex::new(100)));
    let pool = BufferPool::builder("test")
        .decay(Duration::from_secs(10))
        .housekeeping(false)
        .clock(clock.clone())
        .build();
    drop(pool.get(MIB).unwrap());
    *clock.1.lock() = 50;
    drop(pool.get(2 * MIB).unwrap());
    for (second, idle) in [(50, 3), (59, 3), (109, 3), (110, 0)] {
        *clock.1.lock() = second;
        pool.maintain();
        assert_eq!(pool.stats().idle, idle << 20, "at {second}");
    }
    *clock.1.lock() = 0;
    assert!(pool.get_timeout(MIB, Duration::from_secs(1)).is_ok());
}

/// How many pages of a buffer the system has given.
#[cfg(target_os = "linux")]
fn resident_pages(buffer: &PoolBuf) -> usize {
    let mut pages = vec![0_u8; buffer.len() / 4096];
    let start = buffer.as_ptr().cast_mut().cast();
    // SAFETY: it only tells of the buffer's pages, into memory of one byte for each.
    let failed = unsafe { libc::mincore(start, buffer.len(), pages.as_mut_ptr()) };
    assert_eq!(failed, 0);
    pages.iter().filter(|page| **page & 1 == 1).count()
}

#[test]
#[cfg(target_os = "linux")]
fn prepared_blocks_have_their_pages_and_keep_what_is_in_them() {
    let pool = pool(64 * MIB);
    let mut old = pool.get(2 * MIB).unwrap();
    assert!(resident_pages(&old) < 512, "no page is touched before");
    old[4096] = 7;
    drop(old);
    pool.prewarm(2 * MIB, 2).unwrap();
    let both = [pool.get(2 * MIB).unwrap(), pool.get(2 * MIB).unwrap()];
    assert_eq!(both.each_ref().map(resident_pages), [512, 512]);
    assert!(both.iter().any(|buffer| buffer[4096] == 7));
    assert_eq!(pool.stats().misses, 1);
}

#[test]
fn prepared_blocks_are_idle_before_the_first_buffer() {
    let pool = pool(64 * MIB);
    pool.prewarm(4 * MIB, 3).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.idle_blocks), (12 << 20, 3));
    assert_eq!((stats.hits, stats.misses), (0, 0));
    pool.prewarm(4 * MIB, 3).unwrap();
    assert_eq!(pool.stats().idle_blocks, 3, "they were there already");
    let all: Vec<_> = (0..3).map(|_| pool.get(4 * MIB).unwrap()).collect();
    assert_eq!(pool.stats().hits, 3);
    drop(all);
    let error = pool.prewarm(4 * MIB, 17).unwrap_err();
    assert!(matches!(error, PoolError::TooLarge { .. }), "{error}");
    assert_eq!(pool.stats().idle_blocks, 3);
}

#[test]
fn buffers_outlive_their_pool() {
    let pool = pool(8 * MIB);
    let mut held = pool.get(MIB).unwrap();
    held.fill(3);
    drop(pool);
    assert!(held.iter().all(|byte| *byte == 3));
    std::thread::spawn(move || drop(held)).join().unwrap();
}
