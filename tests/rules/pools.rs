//! R37: the two cures for circles in a pool that the texts name end, with real rayon pools.
//!
//! The stage is the one on which a worker that holds a guard and waits for jobs of its pool hangs: while it waits it takes
//! another job of the pool, half of which wants the guard. Whoever has that half waits in the manager, the holder waits in
//! the pool, and neither can see the other's wait. It is not run here, since it does not end.

use crate::kit::{Rig, quiet, until};
use mlx_wired::{Error, SumPolicy};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// How long a stage may take that takes no time.
const SOON: Duration = Duration::from_secs(20);

fn pool(threads: usize) -> ThreadPool {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("its threads start")
}

/// Work that splits, and needs both of a pool's two workers at once.
fn split_over_both() {
    let meet = Barrier::new(2);
    rayon::join(|| meet.wait(), || meet.wait());
}

#[test]
fn r37_to_acquire_before_the_work_is_split_ends() -> Result<(), Error> {
    const JOBS: usize = 20;
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let (tell, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let pool = pool(2);
        for _ in 0..JOBS {
            // Here, on a thread that is no worker: no worker ever waits for a guard.
            let guard = ticket.acquire_owned()?;
            let tell = tell.clone();
            pool.spawn(move || {
                split_over_both();
                drop(guard);
                // The test may have given up.
                let _gone = tell.send(());
            });
        }
        Ok::<(), Error>(())
    });
    for job in 0..JOBS {
        assert_eq!(ended.recv_timeout(SOON), Ok(()), "job {job}");
    }
    rig.finish()
}

#[test]
fn r37_to_spawn_the_inner_work_and_block_on_a_channel_ends() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let (outer, inner) = (pool(2), Arc::new(pool(1)));
    let (open, opened) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();

    // One worker holds the guard, hands its inner work over, and takes no other job until that is done.
    let (wanted, holds) = (ticket.clone(), tell.clone());
    outer.spawn(move || {
        let guard = wanted.acquire().expect("it is the first");
        let (done, inner_is_done) = mpsc::channel();
        inner.spawn(move || {
            opened.recv().expect("the test opens it");
            done.send(()).expect("the holder waits");
        });
        holds.send("it holds").expect("the test waits");
        inner_is_done.recv().expect("the inner work ends");
        drop(guard);
        holds.send("it has released").expect("the test waits");
    });
    assert_eq!(told.recv_timeout(SOON), Ok("it holds"));

    // The other takes a job that splits, half of which wants the guard.
    outer.spawn(move || {
        rayon::join(|| (), || drop(ticket.acquire().expect("it is released")));
        tell.send("it has had it").expect("the test waits");
    });
    until("half of the job waits for the guard", || {
        rig.manager.waiting().len() == 1
    });
    open.send(()).expect("the inner work waits");
    let mut ends: Vec<_> = (0..2)
        .filter_map(|_| told.recv_timeout(SOON).ok())
        .collect();
    ends.sort_unstable();
    assert_eq!(ends, ["it has had it", "it has released"]);
    rig.finish()
}
