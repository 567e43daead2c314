//! R22: policies, backends and hooks that panic or call back.

use crate::kit::{
    Custom, Pending, Rig, SECOND, Worker, acquiring, assert_alive, kinds, next, quiet,
};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, EventKind, SumPolicy, Wait};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

fn assert_panicked(error: Option<Error>, said: &str) {
    match error {
        Some(Error::PolicyPanicked { policy, message }) => {
            assert_eq!((policy.as_str(), message.as_str()), ("Custom", said));
        }
        other => panic!("expected the policy's panic, got {other:?}"),
    }
}

#[test]
fn r22_a_panic_in_can_admit_is_the_acquirers_error() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let policy = Custom::new().admits(|_, _, _| panic!("cannot decide"));
    let ticket = rig.ticket(&policy, 10);
    assert_panicked(ticket.acquire().err(), "cannot decide");
    assert_panicked(ticket.try_acquire().err(), "cannot decide");
    assert!(kinds(&events).contains(&EventKind::PolicyPanicked("cannot decide".into())));
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_a_panic_in_can_ever_admit_is_the_acquirers_error() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new()
        .admits(|_, _, _| false)
        .ever(|_, _| panic!("who knows"));
    let ticket = rig.ticket(&policy, 10);
    assert_panicked(ticket.acquire().err(), "who knows");
    assert!(rig.manager.waiting().is_empty());
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_a_panic_about_a_waiter_is_its_own_and_the_next_is_examined() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|_, live, new| {
        assert!(live.count > 0 || new != 13, "unlucky");
        live.count == 0
    });
    let policy = policy.ever(|_, _| true);
    let of = |bytes| rig.ticket(&policy, bytes);
    let guard = of(10).acquire_owned()?;
    let unlucky = rig.queued(&of(13));
    let lucky = rig.queued(&of(10));
    drop(guard);
    assert_panicked(unlucky.result().err(), "unlucky");
    drop(lucky.result()?);
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_a_panic_while_a_circle_is_looked_for_ends_the_wait_that_it_is_about() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let armed = Arc::new(AtomicBool::new(false));
    let arm = armed.clone();
    let policy = Custom::new()
        .admits(move |_, live, _| {
            assert!(!arm.load(Ordering::SeqCst), "armed");
            live.count == 0
        })
        .ever(|_, _| true);
    let theirs = rig.ticket(&policy, 10);
    let ours = rig.ticket(&SumPolicy::capped(10), 10);
    let unrelated = rig.ticket(&SumPolicy::capped(20), 20);
    let held = theirs.acquire_owned()?;
    let first = Worker::holding(&rig.manager, &ours).waits(&theirs, Wait::new());
    let second = Worker::holding(&rig.manager, &unrelated);
    armed.store(true, Ordering::SeqCst);
    // Whether the first is stuck, only its policy knows.
    let second = second.wants(&ours, Wait::new());
    assert_panicked(first.result().err(), "armed");
    assert_eq!(second.result(), Ok(10));
    assert!(kinds(&events).contains(&EventKind::PolicyPanicked("armed".into())));
    armed.store(false, Ordering::SeqCst);
    drop(held);
    assert_alive(&rig);
    rig.finish()
}

/// It is asked whether the wait would close a circle, after it was asked whether there is room.
#[test]
fn r22_a_panic_about_a_newcomers_circle_is_its_error() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let asked = Arc::new(AtomicU64::new(0));
    let counts = asked.clone();
    let policy = Custom::new()
        .admits(move |_, live, _| {
            let before = counts.fetch_add(1, Ordering::SeqCst);
            assert!(before != 2, "the third time");
            live.count == 0
        })
        .ever(|_, _| true);
    let ticket = rig.ticket(&policy, 10);
    let held = ticket.acquire()?;
    assert_panicked(ticket.acquire().err(), "the third time");
    assert!(rig.manager.waiting().is_empty());
    drop(held);
    assert_alive(&rig);
    rig.finish()
}

/// A circle that closes among those who wait already: whose policy panics is out, the others go on.
#[test]
fn r22_a_panic_about_a_circle_of_waiters_ends_that_wait() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let capacity = Arc::new(AtomicU64::new(100));
    let now = capacity.clone();
    let policy = Custom::new()
        .admits(move |_, live, new| {
            let capacity = now.load(Ordering::SeqCst);
            // Not when it is asked about the head of the queue as things are, but about less.
            assert!(capacity > 90 || live.sum == 60, "cannot tell");
            live.sum + new <= capacity
        })
        .ever(|_, _| true);
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let other = ticket(20).acquire_owned()?;
    let events = rig.manager.subscribe(100);
    let waits = Worker::holding(&rig.manager, &ticket(40)).waits(&ticket(60), Wait::new());
    capacity.store(90, Ordering::SeqCst);
    rig.manager.poke()?;
    let error = waits.result().err();
    let error = error.expect("its policy panicked");
    let told = EventKind::AdmissionFailed(error.to_string());
    assert!(kinds(&events).contains(&told));
    assert_panicked(Some(error), "cannot tell");
    capacity.store(100, Ordering::SeqCst);
    drop(other);
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_after_a_panic_in_limit_the_group_counts_as_baseline_and_sum() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let events = rig.manager.subscribe(100);
    let policy = Custom::new().limits(|_, _| panic!("cannot count"));
    let ticket = rig.ticket(&policy, 10);
    let first = ticket.acquire()?;
    assert_eq!(rig.limit(), 17);
    let second = ticket.acquire()?;
    assert_eq!(rig.limit(), 27);
    assert!(kinds(&events).contains(&EventKind::PolicyPanicked("cannot count".into())));
    drop((first, second));
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_acquiring_from_a_policy_is_refused_where_it_would_deadlock() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let answers: Arc<Mutex<Vec<Option<Error>>>> = Arc::default();
    let own: Arc<OnceLock<mlx_wired::Ticket>> = Arc::default();
    let (log, inner) = (answers.clone(), own.clone());
    let ask = move || {
        if let Some(ticket) = inner.get() {
            let mut log = log.lock();
            log.push(ticket.acquire().err());
            log.push(ticket.acquire_owned().err());
            log.push(ticket.admit_timeout(SECOND).err());
        }
    };
    let again = ask.clone();
    let policy = Custom::new()
        .admits(move |_, _, _| {
            ask();
            true
        })
        .limits(move |_, live| {
            again();
            live.sum
        });
    let ticket = rig.ticket(&policy, 10);
    let _first = own.set(ticket.clone());
    let guard = Pending::spawn(move || ticket.acquire_owned()).result()?;
    let answers = answers.lock().clone();
    assert!(answers.len() >= 6, "asked in both: {answers:?}");
    let is_refused = |answer: &Option<Error>| *answer == Some(Error::Reentrant);
    assert!(answers.iter().all(is_refused), "{answers:?}");
    drop(guard);
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_every_call_from_a_policy_returns() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = rig.manager.clone();
    let call_all = move || {
        assert_eq!(manager.poke(), Err(Error::Reentrant));
        assert_eq!(manager.set_pressure(0.5), Err(Error::Reentrant));
        let configured = manager.configure(|config| config.margin(0.5));
        assert_eq!(configured, Err(Error::Reentrant));
        manager.maintain();
        let _events = manager.subscribe(1);
        let _told = (
            manager.applied(),
            manager.stats(),
            manager.waiting(),
            manager.budget(),
        );
        let other = manager.ticket(&SumPolicy::uncapped(), 1);
        assert_eq!(other.acquire().err(), Some(Error::Reentrant));
        assert_eq!(manager.wire_max(1).err(), Some(Error::Reentrant));
    };
    let again = call_all.clone();
    let policy = Custom::new()
        .admits(move |_, _, _| {
            call_all();
            true
        })
        .limits(move |_, live| {
            again();
            live.sum
        });
    let ticket = rig.ticket(&policy, 10);
    // No policy panicked: else this is its error, or the event below.
    let events = rig.manager.subscribe(1000);
    let guard = Pending::spawn(move || ticket.acquire_owned()).result()?;
    drop(guard);
    let panicked = |kind: &EventKind| matches!(kind, EventKind::PolicyPanicked(_));
    assert!(!kinds(&events).iter().any(panicked));
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_a_policy_of_one_manager_may_use_another() -> Result<(), Error> {
    let rigs = (Rig::new(quiet())?, Rig::new(quiet())?);
    let inner = rigs.1.manager.ticket(&SumPolicy::capped(10), 10);
    let policy = Custom::new().admits(move |_, _, _| inner.try_acquire().is_ok());
    drop(rigs.0.manager.ticket(&policy, 1).acquire()?);
    rigs.0.finish()?;
    rigs.1.finish()
}

#[test]
fn r22_a_slow_can_admit_holds_up_nobody_of_another_group() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (policy, brake) = Custom::slow();
    let ticket = rig.ticket(&policy, 10);
    let pending = acquiring(&ticket);
    brake.wait_stopped();
    assert_alive(&rig);
    let full = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = full.acquire()?;
    let waiting = rig.queued(&full);
    drop(guard);
    drop(waiting.result()?);
    pending.assert_pending();
    brake.release();
    drop(pending.result()?);
    rig.finish()
}

#[test]
fn r22_the_setter_runs_with_nothing_held() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 5);
    let gate = rig.backend.gate();
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    // The whole interface answers meanwhile.
    let manager = rig.manager.clone();
    Pending::spawn(move || {
        manager.maintain();
        let _told = (manager.applied(), manager.stats(), manager.waiting());
        manager.poke()
    })
    .result()?;
    assert!(rig.ticket(&SumPolicy::capped(10), 6).try_acquire().is_err());
    let _started = next(&events, |kind| *kind == EventKind::TicketStarted);
    gate.open();
    drop(first.result()?);
    rig.finish()
}

#[test]
fn r22_a_hook_may_use_the_manager() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guard = ticket.acquire_owned()?;
    let (manager, other) = (rig.manager.clone(), ticket.clone());
    guard.before_release(move || {
        manager.poke()?;
        manager.maintain();
        drop(other.acquire()?);
        Ok(())
    });
    let released = Pending::spawn(move || guard.release()).result();
    assert_eq!(released.error, None);
    rig.finish()
}

#[test]
fn r22_what_is_due_is_done_after_the_policys_call() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?);
    rig.clock.advance(SECOND);
    let (manager, backend) = (rig.manager.clone(), rig.backend.clone());
    let policy = Custom::new()
        .admits(move |_, _, _| {
            let calls = backend.call_count();
            manager.maintain();
            assert_eq!(backend.call_count(), calls, "others wait for this policy");
            assert_eq!(manager.set_pressure(0.5), Err(Error::Reentrant));
            false
        })
        .ever(|_, _| true);
    let refused = rig.ticket(&policy, 1).try_acquire().err();
    assert!(refused.is_some_and(|error| error.is_would_block()));
    assert_eq!(rig.limit(), 0, "linger is over");
    rig.manager
        .configure(|config| config.linger(Duration::ZERO))?;
    let told = Custom::new().admits(|context, _, _| context.pressure == 0.0);
    drop(rig.ticket(&told, 1).try_acquire()?);
    rig.finish()
}
