//! The pool of host buffers: returns, waits, evictions and the end, against each other.
//!
//! A wake-up that is lost leaves a thread that waits for ever, which the checkers report. A block that two have shows in
//! its bytes.

use super::check::{Size, explore, join_all, spawn};
use super::world::quiet;
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{BufferPool, PoolBuf, PoolError};
use mlx_wired::{Manager, PressureLevel, SumPolicy};
use std::time::Duration;

/// The smallest block.
const BLOCK: usize = 16 << 10;

/// A pool of so many blocks, whose clock stands still.
fn pool(blocks: usize) -> (BufferPool, FakeClock) {
    let clock = FakeClock::new();
    let pool = BufferPool::builder("model")
        .limit((blocks * BLOCK) as u64)
        .decay(Duration::MAX)
        .housekeeping(false)
        .clock(clock.clone())
        .build();
    (pool, clock)
}

/// Writes, lets the checkers interleave the pool's own steps, and reads.
fn used(mut buffer: PoolBuf, tag: u8, between: impl FnOnce()) {
    buffer[0] = tag;
    between();
    assert_eq!(buffer[0], tag, "another thread has this block");
}

fn is_at_rest(pool: &BufferPool) {
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0));
    assert!(stats.idle <= stats.limit && stats.peak <= stats.limit);
    assert!(stats.users.is_empty());
}

#[test]
fn two_threads_share_one_block() {
    explore(Size::Two, || {
        let (pool, _clock) = pool(1);
        let taking = |pool: BufferPool, tag| {
            move || {
                let buffer = pool.get_timeout(BLOCK, Duration::MAX).unwrap();
                used(buffer, tag, || drop(pool.stats()));
            }
        };
        let other = spawn(taking(pool.clone(), 1));
        taking(pool.clone(), 2)();
        other.join();
        is_at_rest(&pool);
        let stats = pool.stats();
        assert_eq!((stats.hits, stats.misses), (1, 1));
    });
}

#[test]
fn three_threads_of_different_sizes() {
    explore(Size::Three, || {
        let (pool, _clock) = pool(3);
        let threads = [3, 2].map(|blocks| {
            let pool = pool.clone();
            spawn(move || {
                let buffer = pool.get_timeout(blocks * BLOCK, Duration::MAX).unwrap();
                used(buffer, blocks as u8, || ());
            })
        });
        let buffer = pool.get_timeout(BLOCK, Duration::MAX).unwrap();
        used(buffer, 1, || ());
        join_all(threads);
        is_at_rest(&pool);
    });
}

/// A wait whose time is over, beside a return that would end it: it has the block, or no thread has.
#[test]
fn a_wait_ends_while_the_block_comes_back() {
    explore(Size::Two, || {
        let (pool, clock) = pool(1);
        let held = pool.get(BLOCK).unwrap();
        let waiting = spawn({
            let pool = pool.clone();
            move || match pool.get_timeout(BLOCK, Duration::from_secs(1)) {
                Ok(buffer) => used(buffer, 7, || ()),
                Err(PoolError::Full { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
        drop(held);
        clock.advance(Duration::from_secs(1));
        waiting.join();
        is_at_rest(&pool);
        drop(pool.get(BLOCK).unwrap());
    });
}

/// Of two that wait the first gives up, and is in the second's way no more.
#[test]
fn one_that_gives_up_lets_the_next_in() {
    explore(Size::Three, || {
        let (pool, _clock) = pool(2);
        let held = pool.get(BLOCK).unwrap();
        let large = spawn({
            let pool = pool.clone();
            move || drop(pool.get_timeout(2 * BLOCK, Duration::ZERO))
        });
        let small = spawn({
            let pool = pool.clone();
            move || drop(pool.get_timeout(BLOCK, Duration::MAX).unwrap())
        });
        small.join();
        drop(held);
        large.join();
        is_at_rest(&pool);
    });
}

#[test]
fn blocks_are_evicted_while_others_take_them() {
    explore(Size::Two, || {
        let (pool, _clock) = pool(2);
        drop(pool.get(BLOCK).unwrap());
        let evicting = spawn({
            let pool = pool.clone();
            move || {
                pool.set_pressure(PressureLevel::Critical);
                pool.set_pressure(PressureLevel::Normal);
                pool.trim_to(0);
            }
        });
        used(pool.get(BLOCK).unwrap(), 3, || drop(pool.try_get(BLOCK)));
        evicting.join();
        is_at_rest(&pool);
    });
}

/// A block that does not stay idle is unmapped, and counted no more, before its room is another's.
#[test]
fn what_has_room_in_the_pool_is_admitted() {
    explore(Size::Two, || {
        let builder = Manager::builder().backend(NoMlx::new()).config(quiet());
        let manager = builder.clock(FakeClock::new()).build().unwrap();
        let pool = BufferPool::builder("model")
            .limit(BLOCK as u64)
            .idle_limit(0)
            .decay(Duration::MAX)
            .clock(FakeClock::new())
            .counted_by(&manager, &SumPolicy::capped(BLOCK as u64))
            .build();
        let held = pool.get(BLOCK).unwrap();
        let asking = spawn({
            let pool = pool.clone();
            move || match pool.get(BLOCK) {
                Ok(buffer) => drop(buffer),
                Err(PoolError::Full { .. }) => {}
                Err(error) => panic!("{error:#}"),
            }
        });
        drop(held);
        asking.join();
        is_at_rest(&pool);
    });
}

/// The last handle goes while a buffer comes back.
#[test]
fn a_pool_ends_while_a_buffer_comes_back() {
    explore(Size::Small, || {
        let (pool, _clock) = pool(2);
        let held = pool.get(BLOCK).unwrap();
        let returning = spawn(move || used(held, 5, || ()));
        drop(pool);
        returning.join();
    });
}
