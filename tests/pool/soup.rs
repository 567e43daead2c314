use super::KIB;
use mlx_wired::PressureLevel;
use mlx_wired::clock::FakeClock;
use mlx_wired::memory::{BufferPool, PoolBuf};
use proptest::prelude::*;
use std::time::Duration;

const LIMIT: u64 = 2 << 20;

#[derive(Debug, Clone)]
enum Call {
    Get(usize),
    Wait(usize),
    Drop(usize),
    Detach(usize),
    Prewarm(usize, usize),
    Trim(u64),
    Pressure(f64),
    Pass(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let len = 0..900 * KIB;
    prop_oneof![
        6 => len.clone().prop_map(Call::Get),
        1 => len.prop_map(Call::Wait),
        5 => any::<usize>().prop_map(Call::Drop),
        1 => any::<usize>().prop_map(Call::Detach),
        1 => (0..300 * KIB, 0_usize..4).prop_map(|(len, count)| Call::Prewarm(len, count)),
        1 => (0..LIMIT).prop_map(Call::Trim),
        1 => (0.0..1.0).prop_map(Call::Pressure),
        1 => (0_u64..8).prop_map(Call::Pass),
    ]
}

/// A buffer, and the byte that fills it.
struct Held(PoolBuf, u8);

fn hold(mut buffer: PoolBuf, tag: u8) -> Held {
    let (first, last) = (0, buffer.len().saturating_sub(1));
    for place in [first, last] {
        if let Some(byte) = buffer.get_mut(place) {
            *byte = tag;
        }
    }
    Held(buffer, tag)
}

fn check(pool: &BufferPool, held: &[Held]) {
    let stats = pool.stats();
    let in_use: u64 = held.iter().map(|held| held.0.capacity()).sum();
    assert_eq!(stats.in_use, in_use);
    assert!(stats.in_use + stats.idle <= LIMIT);
    assert!(stats.idle <= stats.idle_limit);
    assert!(stats.peak <= LIMIT && stats.peak_in_use <= stats.peak);
    assert_eq!(stats.waiting, 0);
    assert_eq!(stats.idle == 0, stats.idle_blocks == 0);
    assert_eq!(
        stats.users.iter().map(|user| user.bytes).sum::<u64>(),
        in_use
    );
    let ratio = stats.hit_ratio();
    assert!(ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
    for Held(buffer, tag) in held {
        assert!(buffer.first().is_none_or(|byte| byte == tag));
        assert!(buffer.last().is_none_or(|byte| byte == tag));
    }
}

proptest! {
    #[test]
    fn whatever_is_called_the_books_are_right(calls in prop::collection::vec(call(), 1..80)) {
        let clock = FakeClock::new();
        let pool = BufferPool::builder("soup")
            .limit(LIMIT)
            .idle_limit(LIMIT / 2)
            .decay(Duration::from_secs(10))
            .housekeeping(false)
            .clock(clock.clone())
            .build();
        let mut held: Vec<Held> = Vec::new();
        let mut tag = 0_u8;
        let mut buffers = 0;
        for call in calls {
            let taken = match call {
                Call::Get(len) => pool.get(len).ok(),
                Call::Wait(len) => pool.get_timeout(len, Duration::ZERO).ok(),
                Call::Drop(which) => {
                    if !held.is_empty() {
                        drop(held.swap_remove(which % held.len()));
                    }
                    None
                }
                Call::Detach(which) => {
                    if !held.is_empty() {
                        let Held(buffer, _) = held.swap_remove(which % held.len());
                        drop(buffer.detach());
                    }
                    None
                }
                Call::Prewarm(len, count) => {
                    let before = pool.stats();
                    if pool.prewarm(len, count).is_ok() && count > 0 {
                        prop_assert!(pool.stats().idle_blocks >= count as u64);
                    }
                    prop_assert_eq!(before.misses, pool.stats().misses);
                    None
                }
                Call::Trim(idle) => {
                    let before = pool.stats().idle;
                    let gone = pool.trim_to(idle);
                    prop_assert_eq!(before - gone, pool.stats().idle);
                    prop_assert!(pool.stats().idle <= idle);
                    None
                }
                Call::Pressure(pressure) => {
                    pool.set_pressure(PressureLevel::of(pressure));
                    None
                }
                Call::Pass(seconds) => {
                    clock.advance(Duration::from_secs(seconds));
                    pool.maintain();
                    None
                }
            };
            if let Some(buffer) = taken {
                tag = tag.wrapping_add(1);
                buffers += 1;
                held.push(hold(buffer, tag));
            }
            check(&pool, &held);
        }
        let stats = pool.stats();
        prop_assert_eq!(stats.hits + stats.misses, buffers);
    }
}
