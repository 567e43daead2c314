use super::{KIB, MIB, address, pool, pool_without_limit};
use crate::kit::assert_says;
use mlx_wired::memory::PoolError;
use std::error::Error;

#[test]
fn a_buffer_starts_on_a_page_of_apple_silicon_and_has_whole_ones() {
    let pool = pool(64 * MIB);
    for len in [0, 1, 16 * KIB, 16 * KIB + 1, 100_000, 3 * MIB + 5] {
        let buffer = pool.get(len).unwrap();
        assert_eq!(buffer.len(), len);
        assert_eq!(address(&buffer) % (16 * KIB), 0, "{len}");
        assert_eq!(buffer.capacity() % (16 * 1024), 0, "{len}");
        assert!(buffer.capacity() >= len as u64);
    }
}

#[test]
fn four_classes_a_doubling() {
    let pool = pool(64 * MIB);
    let mut sizes: Vec<u64> = (512..=1024)
        .map(|kib| pool.get(kib * KIB).unwrap().capacity() / 1024)
        .collect();
    sizes.dedup();
    assert_eq!(sizes, [512, 640, 768, 896, 1024]);
}

#[test]
fn the_limit_counts_capacities() {
    let pool = pool(4 * MIB);
    // In the class of 1.25 MiB.
    let three: Vec<_> = (0..3).map(|_| pool.get(MIB + 1).unwrap()).collect();
    assert_eq!(pool.stats().in_use, 3 * 5 * (MIB as u64) / 4);
    assert!(matches!(pool.get(MIB), Err(PoolError::Full { .. })));
    drop(three);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn the_limit_can_be_had_to_the_last_byte_whatever_came_before() {
    let limit = 7 * MIB + 123;
    let pool = pool(limit);
    for len in [16 * KIB, MIB, 5 * MIB, 700 * KIB] {
        drop(pool.get(len).unwrap());
    }
    let all = pool.get(limit).unwrap();
    assert_eq!(all.len(), limit);
    assert_eq!(pool.stats().idle, 0, "idle blocks made room");
    drop(all);
    assert_eq!(pool.stats().idle, 0, "a block of no class is not kept");

    // In parts, too.
    let first = pool.get(5 * MIB).unwrap();
    let rest = pool.get(limit - 5 * MIB).unwrap();
    assert!(pool.try_get(1).is_none());
    drop((first, rest));
    assert!(pool.stats().peak <= pool.stats().limit);
}

#[test]
fn what_is_larger_than_the_limit_is_refused_at_once_in_every_form() {
    let pool = pool(MIB);
    assert!(matches!(pool.get(2 * MIB), Err(PoolError::TooLarge { .. })));
    assert!(pool.try_get(2 * MIB).is_none());
    let waited = pool.get_timeout(2 * MIB, std::time::Duration::MAX);
    let error = waited.unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(
        error.to_string(),
        "2 MiB for \"test\" never fit the pool's 1 MiB; ask for less, or raise .limit or .idle_limit"
    );
    assert_eq!(pool.stats().refused, 3);
    assert!(pool.get(usize::MAX).is_err());
}

#[test]
fn more_than_the_system_has_is_an_error() {
    let pool = mlx_wired::memory::BufferPool::builder("huge").build();
    let error = pool.get(isize::MAX as usize).unwrap_err();
    assert!(matches!(error, PoolError::System { .. }), "{error}");
    assert!(error.source().is_some());
    assert_eq!(pool.stats().in_use, 0, "nothing is left in the books");
    assert_eq!(pool.stats().misses, 0);
}

#[test]
fn sizes_at_the_end_of_the_numbers_are_errors_beside_idle_blocks_and_buffers() {
    let pool = pool_without_limit();
    let held = pool.get(MIB).unwrap();
    drop(pool.get(2 * MIB).unwrap());
    let ends = [usize::MAX, usize::MAX - 1, isize::MAX as usize + 1];
    for len in ends.into_iter().chain([isize::MAX as usize - 16 * KIB]) {
        assert!(pool.get(len).is_err(), "{len}");
        assert!(pool.try_get(len).is_none(), "{len}");
        let waited = pool.get_timeout(len, std::time::Duration::ZERO);
        assert!(waited.is_err(), "{len}");
        let prepared = pool.prewarm(len, 1);
        assert!(
            matches!(prepared, Err(PoolError::TooLarge { .. })),
            "{len}: {prepared:?}"
        );
    }
    assert!(pool.prewarm(MIB, usize::MAX).is_err());
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.idle), (1 << 20, 2 << 20));
    drop(held);
    assert!(pool.get(usize::MAX).is_err(), "nothing else in use");
}

#[test]
fn what_was_never_had_is_no_peak() {
    let pool = pool_without_limit();
    drop(pool.get(MIB).unwrap());
    assert!(pool.get(isize::MAX as usize).is_err());
    let stats = pool.stats();
    assert_eq!((stats.peak_in_use, stats.peak), (1 << 20, 1 << 20));
    drop((pool.get(MIB).unwrap(), pool.get(3 * MIB).unwrap()));
    let stats = pool.stats();
    assert_eq!((stats.peak_in_use, stats.peak), (4 << 20, 4 << 20));
}

#[test]
fn new_memory_is_zero_and_old_memory_is_what_it_was() {
    let pool = pool(MIB);
    let mut buffer = pool.get(64 * KIB).unwrap();
    assert!(buffer.iter().all(|byte| *byte == 0));
    buffer.fill(7);
    drop(buffer);
    assert!(pool.get(64 * KIB).unwrap().iter().all(|byte| *byte == 7));
    let zeroed = pool.get_zeroed(64 * KIB).unwrap();
    assert!(zeroed.iter().all(|byte| *byte == 0));
}

#[test]
fn an_error_names_those_who_hold() {
    let loader = mlx_wired::memory::BufferPool::builder("loader")
        .limit(480 << 20)
        .build();
    let (decode, augment) = (loader.named("decode"), loader.named("augment"));
    let held = (
        decode.get(320 << 20).unwrap(),
        augment.get(128 << 20).unwrap(),
    );
    let error = loader.get(64 << 20).unwrap_err();
    assert_eq!(
        error.to_string(),
        "64 MiB for \"loader\" do not fit the pool: 448 MiB of 480 MiB in use \
         (largest: \"decode\" 320 MiB); drop buffers, raise .limit, or wait with get_timeout"
    );
    let PoolError::Full {
        users,
        in_use,
        limit,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    let users: Vec<_> = users.iter().map(|user| (&*user.name, user.bytes)).collect();
    assert_eq!(users, [("decode", 320 << 20), ("augment", 128 << 20)]);
    assert_eq!((*in_use, *limit), (448 << 20, 480 << 20));
    let full = format!("{error:#}");
    assert_says(&full, "(largest: \"decode\" 320 MiB, \"augment\" 128 MiB)");
    drop(held);
}

#[test]
fn a_line_of_an_error_is_short_and_safe_to_print() {
    let name = "\u{1b}[2J\n".repeat(50);
    let pool = mlx_wired::memory::BufferPool::builder(&name)
        .limit(1023 << 20)
        .build();
    let held: Vec<_> = (0..9)
        .map(|n| pool.named(&format!("{n}{name}")).get(100 << 20))
        .collect();
    for error in [
        pool.get(1023 << 20).unwrap_err(),
        pool.get((1 << 30) + 1).unwrap_err(),
    ] {
        let line = error.to_string();
        assert!(line.len() <= 160, "{} bytes: {line}", line.len());
        assert!(!format!("{error:#}").chars().any(char::is_control));
    }
    drop(held);
}

#[test]
fn handles_of_one_name_share_an_account() {
    let pool = pool(4 * MIB);
    let (one, other) = (pool.named("decode"), pool.named("decode"));
    let held = (one.get(MIB).unwrap(), other.get(MIB).unwrap());
    let users = pool.stats().users;
    assert_eq!((users.len(), users[0].bytes), (1, 2 << 20));
    drop(held);
    assert!(pool.stats().users.is_empty());
}

#[test]
fn a_detached_buffer_is_not_the_pools_any_more() {
    let pool = pool(MIB);
    let mut buffer = pool.get(MIB).unwrap();
    buffer[0] = 9;
    let mut kept = buffer.detach();
    assert_eq!(pool.stats().in_use, 0);
    let other = pool.get(MIB).unwrap();
    assert_ne!(address(&other), kept.as_ptr() as usize);
    kept[1] = 8;
    assert_eq!((kept.len(), &kept[..2]), (MIB, &[9, 8][..]));
    drop(kept);
    assert_eq!(pool.stats().in_use, 1 << 20);
}
