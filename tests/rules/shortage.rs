//! R27: holds that a program can do without are given back before a demand waits for them.

use crate::kit::{
    Acquiring, Brake, Custom, Rig, SECOND, acquiring, acquiring_with, next, quiet, until,
};
use mlx_wired::{
    CancelToken, Error, EventKind, OwnedGuard, Reclaimer, Shortage, SumPolicy, Ticket, Wait,
};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

type Shelf = Arc<Mutex<Vec<OwnedGuard>>>;

const CAP: u64 = 100;

fn ticket(rig: &Rig, bytes: u64) -> Ticket {
    rig.ticket(&SumPolicy::capped(CAP), bytes)
}

fn shelf(guards: Vec<OwnedGuard>) -> Shelf {
    Arc::new(Mutex::new(guards))
}

/// Gives the oldest guard back.
fn evict(shelf: &Shelf) {
    let mut shelf = shelf.lock();
    if !shelf.is_empty() {
        drop(shelf.remove(0));
    }
}

/// A reclaimer that gives nothing back, and how often it was called.
fn counting(rig: &Rig) -> (Reclaimer, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counts = calls.clone();
    let reclaimer = rig.manager.on_shortage(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
    });
    (reclaimer, calls)
}

#[test]
fn r27_holds_are_given_back_until_the_demand_fits() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let model = |name: &'static str| ticket(&rig, 30).resident().evictable().label(name);
    let models = ["first", "second", "third"].map(|name| model(name).acquire_owned());
    let models = shelf(models.into_iter().collect::<Result<_, _>>()?);
    let told: Arc<Mutex<Vec<Shortage>>> = Arc::default();
    let (evicts, tells) = (models.clone(), told.clone());
    // Each gives back one; both are needed.
    let reclaimers = [(); 2].map(|()| {
        let (evicts, tells) = (evicts.clone(), tells.clone());
        rig.manager.on_shortage(move |shortage| {
            tells.lock().push(shortage.clone());
            evict(&evicts);
        })
    });
    // 90 of 100 are held; 60 fit beside the last one.
    let step = ticket(&rig, 60).acquire_owned()?;
    assert_eq!(models.lock().len(), 1);
    let told = std::mem::take(&mut *told.lock());
    let missing: Vec<u64> = told.iter().map(|shortage| shortage.missing).collect();
    assert_eq!(missing, [50, 20]);
    let names = |shortage: &Shortage| -> Vec<Option<Arc<str>>> {
        let evictable = shortage.evictable.iter();
        evictable.map(|hold| hold.label.clone()).collect()
    };
    let named = |names: &[&str]| -> Vec<Option<Arc<str>>> {
        names.iter().map(|name| Some(Arc::from(*name))).collect()
    };
    assert_eq!(names(&told[0]), named(&["first", "second", "third"]));
    assert_eq!(names(&told[1]), named(&["second", "third"]));
    models.lock().clear();
    drop((step, reclaimers));
    rig.finish()
}

#[test]
fn r27_what_stays_is_not_asked_for() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (_reclaimer, calls) = counting(&rig);
    let weights = ticket(&rig, 80).reservation().acquire_owned()?;
    let evictable = ticket(&rig, 15).reservation().evictable().acquire_owned()?;
    let refused = ticket(&rig, 30).acquire().err();
    assert!(matches!(refused, Some(Error::NoRoom { .. })), "{refused:?}");
    // A job queues for the machine: it would not fit beside what stays.
    let job = rig.queued(&ticket(&rig, 30).reservation());
    // Nor does what need not wait, or may not.
    drop(ticket(&rig, 5).acquire()?);
    let refused = ticket(&rig, 20).try_acquire().map(drop);
    assert!(refused.is_err_and(|error| error.is_would_block()));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop((weights, evictable));
    drop(job.result()?);
    rig.finish()
}

/// A waiter that asked in vain asks again after a second, and not before.
#[test]
fn r27_a_model_that_was_in_use_is_asked_for_again() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let model = shelf(vec![
        ticket(&rig, 60).resident().evictable().acquire_owned()?,
    ]);
    let (asked, idle) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, is_idle, evicts) = (asked.clone(), idle.clone(), model.clone());
    let _reclaimer = rig.manager.on_shortage(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        if is_idle.load(Ordering::SeqCst) > 0 {
            evict(&evicts);
        }
    });
    let waiting = rig.queued(&ticket(&rig, 60));
    until("it asks at once", || asked.load(Ordering::SeqCst) == 1);
    waiting.assert_pending();
    idle.store(1, Ordering::SeqCst);
    until_asked_again(&rig, &asked, &waiting);
    drop(waiting.result()?);
    rig.finish()
}

fn until_asked_again(rig: &Rig, asked: &AtomicUsize, waiting: &Acquiring) {
    // It sleeps with the second as its deadline, or is about to.
    waiting.until_queued(&rig.manager);
    rig.clock.advance(SECOND);
    until("it asks again", || asked.load(Ordering::SeqCst) == 2);
}

#[test]
fn r27_reclaimers_release_at_once_and_may_not_wait() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let cache = shelf(vec![
        ticket(&rig, 80).reservation().evictable().acquire_owned()?,
    ]);
    let results: Arc<Mutex<Vec<Result<(), Error>>>> = Arc::default();
    let (tells, shrinks, asks) = (results.clone(), cache.clone(), ticket(&rig, 90));
    let shrinking = rig.manager.on_shortage(move |_| {
        let mut tells = tells.lock();
        tells.push(asks.acquire_owned().map(drop));
        let mut cache = shrinks.lock();
        tells.push(cache[0].resize(95));
        tells.push(cache[0].resize(10));
    });
    drop(ticket(&rig, 60).acquire_owned()?);
    let results = std::mem::take(&mut *results.lock());
    let reentrant = || Err(Error::Reentrant);
    assert_eq!(results, [reentrant(), reentrant(), Ok(())]);
    drop(shrinking);
    let panics = rig.manager.on_shortage(|_| panic!("nothing to give"));
    let waiting = acquiring(&ticket(&rig, 95));
    let is_panic = |kind: &EventKind| matches!(kind, EventKind::ReclaimerPanicked(_));
    let panicked = EventKind::ReclaimerPanicked("nothing to give".to_owned());
    assert_eq!(next(&events, is_panic).kind, panicked);
    drop(panics);
    cache.lock().clear();
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r27_one_that_waits_already_asks_a_reclaimer_that_comes_later() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let model = shelf(vec![
        ticket(&rig, 60).resident().evictable().acquire_owned()?,
    ]);
    let waiting = rig.queued(&ticket(&rig, 60));
    let _reclaimer = rig.manager.on_shortage(move |_| evict(&model));
    drop(waiting.result()?);
    rig.finish()
}

/// The clock stands still: the next in line asks without waiting for anything.
#[test]
fn r27_one_that_becomes_the_first_asks_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let model = ticket(&rig, 60).resident().evictable();
    let loaded = shelf(vec![model.acquire_owned()?]);
    let asked = Arc::new(AtomicUsize::new(0));
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let (counts, evicts) = (asked.clone(), loaded.clone());
    let _reclaimer = rig.manager.on_shortage(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
        let goes_on = goes_on.lock();
        // Fails once the sender is gone.
        let _gone = goes_on.recv();
        evict(&evicts);
    });
    let first = acquiring(&model);
    until("the first asks", || asked.load(Ordering::SeqCst) == 1);
    let second = rig.queued(&model);
    drop(go_on);
    let first = first.result()?;
    until("the second asks", || asked.load(Ordering::SeqCst) == 2);
    second.assert_pending();
    drop(first);
    drop(second.result()?);
    rig.finish()
}

/// A wait that ends while a reclaimer runs is late by that call, and by no other.
#[test]
fn r27_a_wait_that_is_over_asks_no_more_of_them() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let held = ticket(&rig, 60).resident().evictable().acquire_owned()?;
    let (token, clock) = (CancelToken::new(), rig.clock.clone());
    let cancels = token.clone();
    let first = rig.manager.on_shortage(move |_| {
        cancels.cancel();
        clock.advance(SECOND);
    });
    let (second, calls) = counting(&rig);
    let cancelled = acquiring_with(&ticket(&rig, 60), Wait::new().cancel(&token)).result();
    assert!(cancelled.is_err_and(|error| error.is_cancelled()));
    let timed_out = acquiring_with(&ticket(&rig, 60), Wait::new().timeout(SECOND)).result();
    assert!(timed_out.is_err_and(|error| error.is_timeout()));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop((held, first, second));
    rig.finish()
}

#[test]
fn r27_a_reclaimer_that_goes_while_a_policy_is_asked_is_not_called() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (brake, armed) = (Brake::default(), Arc::new(AtomicBool::new(false)));
    let (stops, is_armed) = (brake.clone(), armed.clone());
    let policy = Custom::new().admits(move |_, live, new| {
        if is_armed.load(Ordering::SeqCst) {
            stops.stop();
        }
        live.sum + new <= CAP
    });
    let custom = |bytes| rig.ticket(&policy, bytes);
    // The policy is asked about what stays.
    let stays = custom(10).reservation().acquire_owned()?;
    let model = shelf(vec![custom(50).reservation().evictable().acquire_owned()?]);
    // When it has returned, the policy is asked whether the waiter is to ask on.
    let _first = rig
        .manager
        .on_shortage(move |_| armed.store(true, Ordering::SeqCst));
    let (second, calls) = counting(&rig);
    let _third = rig.manager.on_shortage(move |_| evict(&model));
    let step = acquiring(&custom(60));
    brake.wait_stopped();
    drop(second);
    brake.release();
    drop(step.result()?);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop(stays);
    rig.finish()
}

#[test]
fn r27_a_job_that_leaves_no_room_beside_what_stays_asks_nobody() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let weights = ticket(&rig, 60)
        .reservation()
        .room_for(30)
        .acquire_owned()?;
    let cache = ticket(&rig, 5).reservation().evictable().acquire_owned()?;
    let (_reclaimer, calls) = counting(&rig);
    let job = rig.queued(&ticket(&rig, 20).reservation());
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    drop((weights, cache));
    drop(job.result()?);
    rig.finish()
}
