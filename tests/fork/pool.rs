//! A pool of host buffers, forked wherever another thread allocates or frees while it uses the pool: so under its lock,
//! too.

use crate::child::{in_child, kept_in_child};
use crate::stopping::while_one_stands;
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{BufferPool, PoolBuf, PoolError};
use mlx_wired::{Error, Manager, PressureLevel, SumPolicy};
use std::thread;
use std::time::{Duration, Instant};

const KIB: usize = 1 << 10;
const LONG: Duration = Duration::from_secs(3600);

/// A pool of 256 KiB.
fn pool() -> BufferPool {
    BufferPool::builder("parent's")
        .limit(256 << 10)
        .decay(Duration::MAX)
        .build()
}

#[track_caller]
fn refused<T>(result: Result<T, PoolError>) {
    let error = result.err().expect("a child gets nothing");
    let PoolError::NotAdmitted { source, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(*source, Error::Forked);
}

/// Every call, as a child finds it. The buffers and `last` are the parent's.
fn find_nothing(last: BufferPool, [mut dropped, detached]: [PoolBuf; 2]) {
    let pool = last.named("child's");
    assert_eq!((pool.name(), last.name()), ("child's", "parent's"));
    refused(pool.get(KIB));
    refused(last.get_zeroed(KIB));
    assert!(pool.try_get(KIB).is_none());
    refused(pool.get_timeout(KIB, LONG));
    refused(pool.prewarm(KIB, 1));
    refused(pool.with_temporary_buffers(2, KIB, |_| unreachable!("there are none")));
    refused(pool.workspace().bytes(KIB).map(|_| ()));
    assert_eq!(pool.trim_to(0), 0);
    assert_eq!(pool.set_pressure(PressureLevel::Critical), 0);
    pool.maintain();
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.idle, stats.waiting), (0, 0, 0));
    assert_eq!((stats.hit_ratio(), stats.users.len()), (None, 0));
    assert!(!format!("{pool:?} {dropped:?}").is_empty());
    // The child has a copy of what was in them.
    assert_eq!((dropped[0], detached[0]), (7, 7));
    dropped[0] = 8;
    let mut kept = detached.detach();
    kept[0] = 9;
    drop((dropped, kept));
    drop((pool, last));
}

/// What the child builds is its own. It starts no thread (`threads.rs` says why).
fn have_one() {
    let own = BufferPool::builder("own").decay(Duration::MAX).build();
    let mut buffer = own.get(KIB).expect("its own gives");
    buffer[0] = 1;
    drop(buffer);
    assert_eq!((own.stats().idle, own.get(KIB).is_ok()), (16 << 10, true));
}

/// What a thread of the parent does.
fn a_days_work(pool: &BufferPool) {
    let sizes = [16, 40, 16].map(|kib| pool.get(kib * KIB));
    drop(sizes);
    drop(pool.get(512 * KIB).expect_err("too much"));
    drop(pool.get_timeout(256 * KIB, Duration::ZERO));
    let named = pool.named("other");
    drop(named.get(64 * KIB).map(PoolBuf::detach));
    drop(pool.prewarm(16 * KIB, 3));
    pool.set_pressure(PressureLevel::Warning);
    pool.set_pressure(PressureLevel::Normal);
    pool.trim_to(16 << 10);
    drop(pool.stats());
}

fn filled(pool: &BufferPool) -> PoolBuf {
    let mut buffer = pool.get(16 * KIB).expect("there is room");
    buffer.fill(7);
    buffer
}

#[test]
fn r43_a_pool_wherever_another_thread_allocates() {
    let mut stops = 0;
    loop {
        let pool = pool();
        let held = [filled(&pool), filled(&pool)];
        let (child_held, last) = ([filled(&pool), filled(&pool)], pool.clone());
        let mut kept = None;
        let work = || a_days_work(&pool);
        let stood = while_one_stands(stops + 1, work, || {
            let child = || {
                find_nothing(last, child_held);
                have_one();
            };
            // SAFETY: ends the child, after its thread's locals were destroyed.
            kept = kept_in_child(child, |status| unsafe { libc::exit(status) });
        });
        drop(kept);
        assert!(held.iter().all(|held| held.iter().all(|byte| *byte == 7)));
        drop(held);
        assert_eq!(pool.stats().in_use, 0, "the parent's books are right");
        if !stood {
            break;
        }
        stops += 1;
    }
    assert!(stops > 10, "it allocated {stops} times");
}

#[test]
fn r43_a_pool_that_others_wait_for() {
    let pool = pool();
    let held = pool.get(256 * KIB).expect("there is room");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get_timeout(KIB, LONG).map(drop));
        let start = Instant::now();
        while pool.stats().waiting == 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "it waits");
            thread::yield_now();
        }
        in_child(|| {
            assert_eq!(pool.stats().waiting, 0);
            refused(pool.get_timeout(KIB, LONG));
        });
        drop(held);
        let served = waiting.join().expect("it does not panic");
        served.expect("the parent's waits end");
    });
}

/// The last handle and the last buffer go in the child, whose thread that unmaps idle blocks is not there.
#[test]
fn r43_a_pool_that_ends_in_a_child() -> Result<(), Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let policy = SumPolicy::capped(1 << 20);
    let pool = BufferPool::builder("counted")
        .decay(LONG)
        .counted_by(&manager, &policy)
        .build();
    drop(pool.get(64 * KIB).expect("there is room"));
    let held = pool.get(16 * KIB).expect("there is room");
    let probe = manager.ticket(&policy, 1);
    // SAFETY: ends the child at once.
    let exit = |status| unsafe { libc::_exit(status) };
    let kept = kept_in_child(move || drop((pool, held)), exit);
    assert_eq!(probe.in_use(), (64 << 10) + (16 << 10));
    drop(kept);
    assert_eq!(probe.in_use(), 0, "the parent's go in the parent");
    Ok(())
}

#[test]
fn r43_a_grandchild_finds_nothing_in_its_parents_pool() {
    let pool = pool();
    in_child(|| {
        let own = BufferPool::builder("own").decay(Duration::MAX).build();
        drop(own.get(KIB).expect("its own gives"));
        in_child(|| {
            refused(pool.get(KIB));
            refused(own.get(KIB));
            have_one();
        });
        drop(own.get(KIB).expect("its own still gives"));
    });
    drop(pool.get(KIB).expect("the parent's gives"));
}
