//! Workers last until all of their work is done, and one to which memory was refused takes no further job.

use crate::kit::assert_matches;
use crossbeam::channel::{self, RecvTimeoutError, Sender};
use mlx_wired::train::{Error, WorkError, Workers};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// What MLX says on CUDA.
const REFUSED: &str = "cudaMallocAsync(&data, size, stream) failed: out of memory";

/// An error of a job's.
#[derive(Debug)]
struct Failed(&'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {}

fn succeed<T>(value: T) -> Result<T, Failed> {
    Ok(value)
}

fn this_thread() -> Result<ThreadId, Failed> {
    Ok(thread::current().id())
}

fn name() -> Result<String, Failed> {
    Ok(thread::current().name().unwrap_or_default().to_owned())
}

#[test]
fn results_come_in_the_order_of_the_items_and_jobs_may_borrow() {
    let factors = [2, 3, 5];
    let results = Workers::scope(3, |workers| {
        workers.map(0..100_usize, |item| succeed(item * factors[item % 3]))
    });
    let results: Result<Vec<usize>, WorkError> = results.expect("threads").into_iter().collect();
    let expected = (0..100).map(|item| item * factors[item % 3]);
    assert_eq!(results.expect("each succeeds"), Vec::from_iter(expected));
}

#[test]
fn an_error_is_its_own_jobs_alone() {
    let results = Workers::scope(2, |workers| {
        workers.map(0..4, |item| {
            if item == 2 {
                Err(Failed("two"))
            } else {
                Ok(item)
            }
        })
    });
    let results = results.expect("threads");
    let errors: Vec<String> = results
        .iter()
        .filter_map(|it| it.as_ref().err())
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors, ["two"]);
    assert_eq!(
        results.into_iter().flatten().collect::<Vec<i32>>(),
        [0, 1, 3]
    );
}

#[test]
fn all_work_is_done_by_the_same_threads() {
    let begun = Barrier::new(3);
    let (first, later) = Workers::scope(3, |workers| {
        // Each waits for the others, so each has a thread of its own.
        let first = workers.map(0..3, |_| {
            begun.wait();
            this_thread()
        });
        (first, workers.map(0..50, |_| this_thread()))
    })
    .expect("threads");
    let ids = |results: Vec<Result<ThreadId, WorkError>>| -> Vec<ThreadId> {
        results
            .into_iter()
            .map(|id| id.expect("each succeeds"))
            .collect()
    };
    let first = ids(first);
    assert!(ids(later).iter().all(|id| first.contains(id)));
}

thread_local! {
    static KEPT: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// Tells that its thread ends, when the last of what that keeps is dropped.
struct AtEnd(Sender<()>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        // Nothing may listen any more.
        let _told = self.0.send(());
    }
}

#[test]
fn no_thread_ends_before_the_last_job_is_done() {
    /// What a thread needs to end is far less, and nothing tells that one waits instead.
    const LONG: Duration = Duration::from_millis(500);
    let (ends, ended) = channel::unbounded();
    let keep = || KEPT.set(Some(AtEnd(ends.clone())));
    let both = Barrier::new(2);
    let (go, waits) = channel::bounded::<()>(0);
    let ended_before = Mutex::new(None);
    Workers::scope(2, |workers| {
        // In here, so that a failure ends what waits for it.
        let go = go;
        let failing = workers.spawn(|| {
            keep();
            both.wait();
            Err::<(), _>(Failed(REFUSED))
        });
        let last = workers.spawn(|| {
            keep();
            both.wait();
            waits.recv().expect("the test says go");
            *ended_before.lock() = Some(ended.recv_timeout(LONG));
            succeed(())
        });
        failing.join().expect_err("memory is refused");
        // Its successor, which then has nothing more to do.
        let next = workers.spawn(|| {
            keep();
            succeed(())
        });
        next.join().expect("it keeps");
        go.send(()).expect("the job waits");
        drop(last);
    })
    .expect("threads");
    let before = ended_before.lock().take();
    assert_eq!(before, Some(Err(RecvTimeoutError::Timeout)));
    assert_eq!(ended.len(), 3, "all have ended with the scope");
}

#[test]
fn a_worker_to_which_memory_was_refused_takes_no_further_job_and_is_told_of() {
    let (before, after, retired) = Workers::scope(1, |workers| {
        let before = workers.spawn(this_thread).join().expect("it succeeds");
        let error = workers.spawn(|| Err::<(), _>(Failed(REFUSED))).join();
        assert_eq!(error.expect_err("memory is refused").to_string(), REFUSED);
        let after = workers.map(0..20, |_| this_thread());
        (before, after, workers.retired())
    })
    .expect("threads");
    let after: BTreeSet<String> = after
        .into_iter()
        .map(|id| format!("{:?}", id.expect("it succeeds")))
        .collect();
    assert_eq!(after.len(), 1, "one took its place");
    assert!(!after.contains(&format!("{before:?}")));
    let told: Vec<(&str, &str)> = retired.iter().map(|it| (&*it.thread, &*it.error)).collect();
    assert_eq!(told, [("MLX worker 0", REFUSED)]);
}

#[test]
fn a_worker_whose_job_unwrapped_such_an_error_is_retired_too() {
    let (names, retired) = Workers::scope(1, |workers| {
        let before = workers.spawn(name).join();
        let unwraps = workers.spawn(|| -> Result<(), Failed> { panic!("unwrap on {REFUSED}") });
        panic::catch_unwind(AssertUnwindSafe(|| unwraps.join())).expect_err("the job's panic");
        ([before, workers.spawn(name).join()], workers.retired())
    })
    .expect("threads");
    let names = names.map(|name| name.expect("it succeeds"));
    assert_eq!(names, ["MLX worker 0", "MLX worker 0'"]);
    assert_eq!(retired.len(), 1);
}

#[test]
fn other_errors_and_panics_retire_nobody() {
    let retired = Workers::scope(1, |workers| {
        let before = workers.spawn(this_thread).join().expect("it succeeds");
        workers
            .spawn(|| Err::<(), _>(Failed("shapes do not match")))
            .join()
            .expect_err("its error");
        let panics = workers.spawn(|| -> Result<(), Failed> { panic!("a bug") });
        let payload =
            panic::catch_unwind(AssertUnwindSafe(|| panics.join())).expect_err("its panic");
        assert_eq!(payload.downcast_ref(), Some(&"a bug"));
        assert_eq!(
            workers.spawn(this_thread).join().expect("it succeeds"),
            before
        );
        workers.retired()
    });
    assert_eq!(retired.expect("threads"), []);
}

/// Panics when it is dropped.
struct Hostile;

impl Drop for Hostile {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn what_nothing_joins_may_panic_when_it_is_dropped() {
    let done = AtomicU32::new(0);
    let (go, waits) = channel::bounded::<()>(0);
    let retired = Workers::scope(1, |workers| {
        drop(workers.spawn(|| {
            waits.recv().expect("the test says go");
            succeed(Hostile)
        }));
        drop(workers.spawn(|| -> Result<(), Failed> { panic::panic_any(Hostile) }));
        drop(workers.spawn(|| succeed(done.fetch_add(1, SeqCst))));
        // Now nothing joins any of them.
        go.send(()).expect("the job waits");
        workers.retired()
    });
    assert_eq!(retired.expect("threads"), []);
    assert_eq!(done.load(SeqCst), 1, "the last job is done");
}

/// An error that panics when it is written.
#[derive(Debug)]
struct Unwritable;

impl fmt::Display for Unwritable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("written")
    }
}

impl std::error::Error for Unwritable {}

#[test]
fn an_error_that_cannot_be_written_is_joined_as_any_other() {
    let retired = Workers::scope(1, |workers| {
        let error = workers.spawn(|| Err::<(), _>(Unwritable)).join();
        assert!(error.is_err_and(|error| error.is::<Unwritable>()));
        workers
            .spawn(this_thread)
            .join()
            .expect("the worker goes on");
        workers.retired()
    });
    assert_eq!(retired.expect("threads"), []);
}

#[test]
fn each_of_many_refusals_has_a_successor() {
    const REFUSALS: usize = 40;
    let retired = Workers::scope(3, |workers| {
        let results = workers.map(0..2 * REFUSALS, |item| {
            if item % 2 == 0 {
                Err(Failed(REFUSED))
            } else {
                Ok(item)
            }
        });
        assert_eq!(results.iter().filter(|it| it.is_ok()).count(), REFUSALS);
        workers.retired().len()
    });
    assert_eq!(retired.expect("threads"), REFUSALS);
}

#[test]
fn jobs_that_nothing_joins_are_done_when_the_scope_ends_or_panics() {
    let done = AtomicU32::new(0);
    let count = || succeed(done.fetch_add(1, SeqCst));
    Workers::scope(2, |workers| {
        for _ in 0..10 {
            drop(workers.spawn(count));
        }
    })
    .expect("threads");
    assert_eq!(done.load(SeqCst), 10);

    let scope = || {
        Workers::scope(2, |workers| {
            for _ in 0..10 {
                drop(workers.spawn(count));
            }
            panic!("the body's own");
        })
    };
    let payload = panic::catch_unwind(AssertUnwindSafe(scope)).expect_err("its panic");
    assert_eq!(payload.downcast_ref(), Some(&"the body's own"));
    assert_eq!(done.load(SeqCst), 20);
}

#[test]
fn no_threads_are_an_error_and_the_body_is_not_called() {
    let called = Mutex::new(false);
    let error = Workers::scope(0, |_| *called.lock() = true).expect_err("no thread");
    assert_matches!(error, Error::Threads { threads: 0, .. });
    assert_eq!(
        error.to_string(),
        "0 worker threads cannot be started: no job would ever run; take another number"
    );
    assert!(!*called.lock());
}
