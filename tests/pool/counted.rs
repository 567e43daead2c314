use super::MIB;
use crate::kit::until;
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{BufferPool, PoolError};
use mlx_wired::{Config, Context, Manager, Policy, PolicyId, Sizes, SumPolicy};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

fn manager() -> Manager {
    Manager::builder().backend(NoMlx::new()).build().unwrap()
}

/// A pool that keeps everything, counted in `manager`.
fn counted(manager: &Manager, policy: &SumPolicy) -> BufferPool {
    BufferPool::builder("loader")
        .decay(Duration::MAX)
        .counted_by(manager, policy)
        .build()
}

#[test]
fn blocks_are_counted_until_they_are_unmapped() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    let probe = manager.ticket(&policy, 1);
    let buffer = pool.get(2 * MIB).unwrap();
    assert_eq!(probe.in_use(), 2 << 20);
    drop(buffer);
    assert_eq!(probe.in_use(), 2 << 20, "an idle block is memory, too");
    drop(pool.get(2 * MIB).unwrap());
    assert_eq!(probe.in_use(), 2 << 20);
    pool.trim_to(0);
    assert_eq!(probe.in_use(), 0);
    let kept = pool.get(MIB).unwrap().detach();
    assert_eq!(probe.in_use(), 1 << 20);
    drop(kept);
    assert_eq!(probe.in_use(), 0);
}

#[test]
fn idle_blocks_go_before_a_new_one_is_refused() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    for len in [4 * MIB, 2 * MIB, MIB] {
        drop(pool.get(len).unwrap());
    }
    let large = pool.get(8 * MIB).unwrap();
    assert_eq!(pool.stats().idle, 0);
    let error = pool.get(MIB).unwrap_err();
    let PoolError::NotAdmitted { source, .. } = &error else {
        panic!("{error}")
    };
    assert!(source.is_retryable() && error.is_retryable(), "{error:#}");
    assert!(error.to_string().len() <= 160);
    drop(large);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.refused, stats.misses), (0, 1, 4));
}

/// What lacks is more than is asked for: a lowered cap.
#[test]
fn all_that_is_idle_goes_before_a_new_block_is_refused() {
    let config = Config::default().elastic([1.0, 1.0, 1.0, 0.5]);
    let manager = Manager::builder().backend(NoMlx::new()).config(config);
    let manager = manager.build().unwrap();
    let pool = counted(&manager, &SumPolicy::capped(8 << 20));
    let four: Vec<_> = (0..4).map(|_| pool.get(2 * MIB).unwrap()).collect();
    drop(four);
    manager.set_pressure(1.0).unwrap();
    let buffer = pool.get(3 * MIB).unwrap();
    assert_eq!(pool.stats().idle, 0);
    drop(buffer);
}

#[test]
fn what_can_never_be_admitted_drives_nothing_out() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    drop(pool.get(4 * MIB).unwrap());
    let error = pool.get(9 * MIB).unwrap_err();
    assert!(!error.is_retryable(), "{error:#}");
    assert_eq!(pool.stats().idle, 4 << 20);
}

/// A policy whose name the program fails to give.
#[derive(Clone)]
struct Failing(Arc<AtomicBool>);

impl Policy for Failing {
    fn id(&self) -> PolicyId {
        assert!(!self.0.load(Relaxed), "on purpose");
        PolicyId::named("failing")
    }
    fn limit(&self, _: &Context, live: &Sizes<'_>) -> u64 {
        live.sum
    }
    fn can_admit(&self, _: &Context, _: &Sizes<'_>, _: u64) -> bool {
        true
    }
}

#[test]
fn a_panic_of_the_policy_leaves_nothing_in_use() {
    let (manager, fails) = (manager(), Arc::new(AtomicBool::new(false)));
    let pool = BufferPool::builder("loader")
        .limit(1 << 20)
        .decay(Duration::MAX)
        .counted_by(&manager, &Failing(fails.clone()))
        .build();
    fails.store(true, Relaxed);
    let panicked = catch_unwind(AssertUnwindSafe(|| pool.get(MIB)));
    assert!(panicked.is_err());
    fails.store(false, Relaxed);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.misses, stats.refused), (0, 0, 1));
    assert!(stats.users.is_empty());
    drop(pool.get(MIB).unwrap());
}

#[test]
fn a_wait_covers_the_admission_too() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    let step = manager.ticket(&policy, 8 << 20).acquire_owned().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get_timeout(MIB, Duration::from_secs(60)).map(drop));
        let probe = manager.ticket(&policy, 1);
        until("it waits for admission", || probe.waiters() == 1);
        drop(step);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_step_that_waits_gets_what_is_idle() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    drop(pool.get(6 * MIB).unwrap());
    let step = manager.ticket(&policy, 5 << 20);
    let guard = step.admit_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(pool.stats().idle, 0);
    drop(guard);
}

#[test]
fn a_step_waits_for_buffers_in_use() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    let buffer = pool.get(6 * MIB).unwrap();
    let step = manager.ticket(&policy, 5 << 20);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| step.admit_timeout(Duration::from_secs(60)).map(drop));
        until("it waits", || step.waiters() == 1);
        drop(buffer);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_pool_outlives_its_manager() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    let mut held = pool.get(MIB).unwrap();
    manager.close();
    let error = pool.get(2 * MIB).unwrap_err();
    assert!(matches!(error, PoolError::NotAdmitted { .. }), "{error}");
    assert_eq!(pool.stats().in_use, 1 << 20);
    drop(manager);
    drop(pool);
    held.fill(1);
    drop(held);
}

#[test]
fn a_block_is_counted_at_the_place_of_the_call_that_asked() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    let mut scratch = pool.workspace();
    let held = (
        pool.get(MIB).unwrap(),
        pool.get_timeout(MIB, Duration::ZERO).unwrap(),
        pool.try_get(MIB).unwrap(),
    );
    scratch.bytes(MIB).unwrap();
    pool.with_temporary_buffers(1, MIB, |_| {
        pool.prewarm(MIB, 1).unwrap();
        let holders = manager.holders();
        assert_eq!(holders.len(), 6);
        for holder in holders {
            let place = holder.place.file();
            assert!(place.ends_with("counted.rs"), "{place}");
        }
    })
    .unwrap();
    drop(held);
}

#[test]
fn the_pools_name_is_the_label() {
    let (manager, policy) = (manager(), SumPolicy::capped(8 << 20));
    let pool = counted(&manager, &policy);
    let held = pool.get(8 * MIB).unwrap();
    let step = manager.ticket(&policy, 1 << 20);
    let error = step.admit_timeout(Duration::ZERO);
    let error = format!("{:#}", error.map(drop).unwrap_err());
    assert!(error.contains("loader"), "{error}");
    drop(held);
}
