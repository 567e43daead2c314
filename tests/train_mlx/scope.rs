//! A run's limits on MLX.

use super::alone;
use crate::kit::MIB;
use mlx_wired::ffi;
use mlx_wired::train::{Error, Limit, Run};
use std::panic::{AssertUnwindSafe, catch_unwind};

const CACHE: u64 = 77 * MIB;
const MEMORY: u64 = 3 << 30;
const WIRED: u64 = 5 * MIB;

/// The wired, the memory and the cache limit. They can be learned by setting them alone.
fn limits() -> (u64, u64, u64) {
    let wired = if ffi::device().support.is_supported() {
        ffi::set_wired_limit(WIRED).unwrap()
    } else {
        WIRED
    };
    let cache = ffi::set_cache_limit(CACHE).unwrap();
    (wired, ffi::memory_counters().unwrap().memory_limit, cache)
}

fn start() -> Run {
    let run = Run::builder().memory_limit(Limit::Fixed(2 << 30));
    let run = run.cache_limit(Limit::Fixed(MIB)).start().unwrap();
    assert_eq!(ffi::memory_counters().unwrap().memory_limit, 2 << 30);
    run
}

#[test]
fn all_limits_come_back_after_success_an_error_and_a_panic() {
    let _alone = alone();
    let memory = ffi::set_memory_limit(MEMORY).unwrap();
    let cache = ffi::set_cache_limit(CACHE).unwrap();
    limits();

    let run = start();
    run.step(|| Ok::<(), Error>(())).unwrap();
    run.finish().unwrap();
    assert_eq!(limits(), (WIRED, MEMORY, CACHE));

    let train = || {
        let run = start();
        run.step(|| Err::<(), _>("no number"))?;
        run.finish().map_err(|_| "not restored")
    };
    assert_eq!(train().unwrap_err(), "no number");
    assert_eq!(limits(), (WIRED, MEMORY, CACHE));

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let run = start();
        let _step = run.step(|| -> Result<(), Error> { panic!("in a step") });
    }));
    assert!(panicked.is_err());
    assert_eq!(limits(), (WIRED, MEMORY, CACHE));

    let first = start();
    assert!(matches!(Run::start(), Err(Error::RunInProgress { .. })));
    drop(first);
    assert_eq!(limits(), (WIRED, MEMORY, CACHE));

    ffi::set_memory_limit(memory).unwrap();
    ffi::set_cache_limit(cache).unwrap();
}

#[test]
fn a_limit_that_is_kept_is_what_it_was() {
    let _alone = alone();
    let cache = ffi::set_cache_limit(CACHE).unwrap();
    let before = limits();
    let run = Run::builder()
        .cache_limit(Limit::Keep)
        .memory_limit(Limit::Keep);
    let run = run.start().unwrap();
    assert_eq!(run.after_eval().cache_limit, Some(CACHE));
    run.finish().unwrap();
    let (_, memory, kept) = limits();
    assert_eq!((memory, kept), (before.1, CACHE));
    ffi::set_cache_limit(cache).unwrap();
}
