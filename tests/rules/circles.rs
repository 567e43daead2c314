//! R19: waits that would never end are refused, and only those.

use crate::kit::{
    Custom, Pending, Rig, SECOND, Worker, assert_matches, deadlock, kinds, next, quiet, until,
};
use mlx_wired::{CancelToken, Error, EventKind, OwnedGuard, SumPolicy, Wait};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

#[test]
fn r19_a_thread_that_would_wait_for_itself() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 60);
    let other = rig.ticket(&SumPolicy::capped(100), 50);
    let guard = ticket.acquire()?;
    assert_eq!(deadlock(other.acquire()), (50, 60, 1));
    assert_eq!(deadlock(other.acquire_owned()), (50, 60, 1));
    assert!(other.try_acquire().is_err_and(|e| e.is_would_block()));
    assert!(rig.manager.waiting().is_empty());
    drop(guard);
    drop(other.try_acquire()?);
    rig.finish()
}

#[test]
fn r19_the_error_tells_where_the_guard_was_taken_and_what_to_do() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 60);
    let (guard, line) = (ticket.acquire()?, line!());
    let error = ticket.acquire().expect_err("it holds the rest");
    let Error::WouldDeadlock { held_at, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((held_at.file(), held_at.line()), (file!(), line));
    let text = format!("{error:#}");
    for said in [
        &format!("{}:{line}", file!()),
        "acquire before the work is split",
        "`spawn` and block on a channel",
    ] {
        assert!(text.contains(said), "{text}");
    }
    drop(guard);
    rig.finish()
}

#[test]
fn r19_every_worker_holds_one_and_wants_a_second() -> Result<(), Error> {
    const WORKERS: usize = 4;
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10 * WORKERS as u64), 10);
    let all_hold = Arc::new(Barrier::new(WORKERS));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (ticket, all_hold) = (ticket.clone(), all_hold.clone());
            Pending::spawn(move || {
                let _first = ticket.acquire()?;
                all_hold.wait();
                ticket.acquire().map(|_second| ())
            })
        })
        .collect();
    let results: Vec<_> = workers.into_iter().map(Pending::result).collect();
    let refused: Vec<_> = results.into_iter().filter(Result::is_err).collect();
    assert_eq!(refused.len(), 1, "the last, who closes the circle");
    for result in refused {
        assert_eq!(deadlock(result), (10, 10, WORKERS));
    }
    rig.finish()
}

#[test]
fn r19_a_worker_that_waits_inside_a_join_steals_a_job() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .expect("two threads");
    let stolen = Mutex::new(None);
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    pool.scope(|scope| {
        scope.spawn(|scope| {
            let _guard = ticket.acquire().expect("the first");
            let left = || {
                until("the other half runs", || begun.load(Ordering::SeqCst));
                // This worker takes it up while it waits for the other half.
                scope.spawn(|_| {
                    let result = ticket.acquire().map(|_guard| ());
                    *stolen.lock() = Some(result);
                    done.store(true, Ordering::SeqCst);
                });
            };
            let right = || {
                begun.store(true, Ordering::SeqCst);
                until("the third job ends", || done.load(Ordering::SeqCst));
            };
            rayon::join(left, right);
        });
    });
    let stolen = stolen.into_inner();
    assert_eq!(deadlock(stolen.expect("it ran")), (10, 10, 1));
    rig.finish()
}

#[test]
fn r19_owned_guards_are_held_by_no_thread() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 60);
    let kept: Arc<Mutex<Option<OwnedGuard>>> = Arc::default();
    let (keep, other) = (kept.clone(), ticket.clone());
    let waiting = Pending::spawn(move || {
        *keep.lock() = Some(other.acquire_owned()?);
        other.acquire_owned()
    });
    waiting.until_queued(&rig.manager);
    // Another thread releases what the waiting one has taken.
    drop(kept.lock().take());
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r19_who_may_give_up_makes_nobody_stuck() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let half = rig.ticket(&SumPolicy::capped(100), 50);
    for by_token in [false, true] {
        let token = CancelToken::new();
        let wait = if by_token {
            Wait::new().cancel(&token)
        } else {
            Wait::new().timeout(SECOND)
        };
        let [first, second] = [(); 2].map(|()| Worker::holding(&rig.manager, &half));
        let first = first.waits(&half, wait);
        let second = second.waits(&half, Wait::new());
        second.assert_pending();
        rig.clock.advance(SECOND);
        token.cancel();
        assert_matches!(
            first.result(),
            Err(Error::Timeout { .. } | Error::Cancelled { .. })
        );
        assert_eq!(second.result(), Ok(50));
    }
    rig.finish()
}

#[test]
fn r29_a_deadline_in_a_circle_fails_nobody() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let half = rig.ticket(&SumPolicy::capped(100), 50);
    let [first, second] = [(); 2].map(|()| Worker::holding(&rig.manager, &half));
    let first = first.waits(&half, Wait::new());
    let second = second.waits(&half, Wait::new().timeout(SECOND));
    let told = next(&events, |kind| {
        matches!(kind, EventKind::CircleWithDeadline { .. })
    });
    let EventKind::CircleWithDeadline { threads } = told.kind else {
        unreachable!("it is one");
    };
    assert_eq!(threads.len(), 2, "{threads:?}");
    // Told of once.
    rig.manager.poke()?;
    let again = |kind: &EventKind| matches!(kind, EventKind::CircleWithDeadline { .. });
    assert!(!kinds(&events).iter().any(again));
    rig.clock.advance(SECOND);
    assert!(second.result().is_err_and(|error| error.is_timeout()));
    assert_eq!(first.result(), Ok(50));
    rig.finish()
}

#[test]
fn r19_who_waits_behind_a_head_that_waits_for_it() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let half = ticket(50);
    let held = half.acquire()?;
    let head = rig.queued(&ticket(100));
    // It would fit, but not before the head, which waits for the other half.
    assert_eq!(deadlock(ticket(10).acquire()), (10, 50, 2));
    head.assert_pending();
    drop(held);
    drop(head.result()?);
    rig.finish()
}

#[test]
fn r19_no_alarm_while_somebody_who_runs_can_release() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let third = ticket(30);
    let held = third.acquire()?;
    let [first, second] = [(); 2].map(|()| Worker::holding(&rig.manager, &third));
    // 60 are held by those who wait; the 30 that the head wants fit as soon as this thread releases.
    let first = first.waits(&third, Wait::new());
    let second = second.waits(&third, Wait::new());
    drop(held);
    assert_eq!((first.result(), second.result()), (Ok(30), Ok(30)));
    rig.finish()
}

#[test]
fn r19_two_growing_guards_that_wait_for_each_other() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 50);
    let mut guard = ticket.acquire()?;
    let other = ticket.clone();
    let first = Pending::spawn(move || {
        let mut guard = other.acquire()?;
        guard.resize(80).map(|()| guard.bytes())
    });
    first.until_queued(&rig.manager);
    assert_eq!(deadlock(guard.resize(60)), (60, 50, 2));
    assert_eq!(guard.bytes(), 50, "it keeps its size");
    guard.resize(20)?;
    assert_eq!(first.result(), Ok(80));
    drop(guard);
    rig.finish()
}

#[test]
fn r19_a_growing_guard_does_not_wait_for_itself() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 60);
    let mut guard = ticket.acquire()?;
    guard.resize(100)?;
    let other = rig.ticket(&SumPolicy::capped(100), 1);
    assert_eq!(deadlock(other.acquire()), (1, 100, 1));
    drop(guard);
    rig.finish()
}

#[test]
fn r29_evictable_holds_of_waiting_threads_are_held_too() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let weights = rig.ticket(&policy, 50).reservation().evictable();
    let step = rig.ticket(&policy, 50);
    let [first, second] = [(); 2].map(|()| Worker::holding(&rig.manager, &weights));
    let first = first.waits(&step, Wait::new());
    let second = second.wants(&step, Wait::new());
    assert_eq!(deadlock(second.result()), (50, 50, 2));
    assert_eq!(first.result(), Ok(50));
    rig.finish()
}

#[test]
fn r19_a_circle_through_two_groups() -> Result<(), Error> {
    for budget in [None, Some(200)] {
        let rig = Rig::new(quiet().budget(budget))?;
        let one = rig.ticket(&SumPolicy::capped(10), 10);
        let two = rig.ticket(&SumPolicy::capped(20), 20);
        let held = two.acquire()?;
        let first = Worker::holding(&rig.manager, &one).waits(&two, Wait::new());
        assert_eq!(deadlock(one.acquire()), (10, 20, 2));
        drop(held);
        assert_eq!(first.result(), Ok(20));
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r19_a_circle_through_the_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let one = rig.ticket(&SumPolicy::uncapped(), 50);
    let two = rig.ticket(&SumPolicy::capped(120), 50);
    let held = two.acquire()?;
    let first = Worker::holding(&rig.manager, &one).waits(&one, Wait::new());
    assert_eq!(deadlock(two.acquire()), (50, 50, 2));
    drop(held);
    assert_eq!(first.result(), Ok(50));
    rig.finish()
}

#[test]
fn r19_custom_policies_are_asked_about_what_would_be_left() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let one_at_a_time = Custom::new().admits(|_, live, _| live.count == 0);
    let ticket = rig.ticket(&one_at_a_time, 10);
    let held = ticket.acquire()?;
    assert_eq!(deadlock(ticket.acquire()), (10, 10, 1));
    let waiting = rig.queued(&ticket);
    drop(held);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r19_a_policy_that_changes_its_mind_meanwhile_is_no_circle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (asked, capacity) = (AtomicU64::new(0), AtomicU64::new(100));
    let policy = Custom::new()
        .admits(move |_, live, new| {
            let admits = live.sum + new <= capacity.load(Ordering::SeqCst);
            // For the first guard, for the second, and whether the first is in its way.
            if asked.fetch_add(1, Ordering::SeqCst) == 2 {
                capacity.store(200, Ordering::SeqCst);
            }
            admits
        })
        .ever(|_, _| true);
    let ticket = rig.ticket(&policy, 60);
    let second = Worker::holding(&rig.manager, &ticket).wants(&ticket, Wait::new());
    let admitted = || {
        rig.manager.poke().expect("not from inside a policy");
        rig.manager.stats().admissions == 2
    };
    until("it is admitted", admitted);
    assert_eq!(second.result(), Ok(60));
    rig.finish()
}
