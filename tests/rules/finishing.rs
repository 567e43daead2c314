//! R35: where nothing is wired, bytes are free only when the work on them is done.

use crate::kit::{Custom, GIB, Rig, eager, kinds, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Config, Error, EventKind, FixedPolicy, MaxPolicy, OwnedGuard, SumPolicy,
    SyncOnRelease, WireMode,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

fn card(config: Config) -> Result<Rig, Error> {
    Rig::on(RecordingBackend::cuda(), config)
}

/// How often anybody has synchronised.
fn synchronized(rig: &Rig) -> usize {
    rig.backend.synchronizations().len()
}

/// Calls `f` with the guard on another thread.
fn elsewhere<R: Send>(guard: OwnedGuard, f: impl FnOnce(OwnedGuard) -> R + Send) -> R {
    thread::scope(|scope| {
        let other = scope.spawn(|| f(guard));
        other.join().expect("it ends well")
    })
}

#[test]
fn r35_on_a_card_every_release_synchronises_its_own_thread_first() -> Result<(), Error> {
    let rig = card(Config::default())?;
    let step = rig.ticket(&SumPolicy::new(), GIB);
    let this = thread::current().id();
    for released in 1..=3 {
        drop(step.acquire()?);
        assert_eq!(rig.backend.synchronizations_on(this), released);
    }
    // Another thread has done no work of its own, and may have no stream: a hook is the way there.
    let other = elsewhere(step.acquire_owned()?, |guard| {
        guard.release();
        thread::current().id()
    });
    assert_eq!(rig.backend.synchronizations_on(other), 0);
    let (sender, finished) = mpsc::channel();
    let other = elsewhere(step.acquire_owned()?, |guard| {
        let this = thread::current().id();
        guard.release_after(|| sender.send(this).expect("the test waits"));
        this
    });
    assert_eq!(finished.try_recv(), Ok(other));
    drop(step.acquire_owned()?);
    step.acquire_owned()?.release();
    assert_eq!(rig.backend.synchronizations_on(this), 5);
    assert_eq!(synchronized(&rig), 5);
    rig.finish()
}

#[test]
fn r35_beside_other_guards_of_every_policy() -> Result<(), Error> {
    for custom in [false, true] {
        for watched in [false, true] {
            let rig = card(eager())?;
            let _events = watched.then(|| rig.manager.subscribe(1000));
            let tickets = if custom {
                let policy = Custom::new();
                [1, 2, 3].map(|bytes| rig.ticket(&policy, bytes))
            } else {
                [
                    rig.ticket(&SumPolicy::capped(100), 1),
                    rig.ticket(&MaxPolicy::new(), 2).resident(),
                    rig.ticket(&BudgetPolicy::new(5), 3),
                ]
            };
            let kept = tickets.clone();
            let kept = [kept[0].acquire()?, kept[1].acquire()?, kept[2].acquire()?];
            for (done, ticket) in tickets.iter().enumerate() {
                let (first, second) = (ticket.acquire()?, ticket.acquire()?);
                drop(first);
                second.release();
                assert_eq!(synchronized(&rig), 2 * (done + 1), "{ticket:?}");
            }
            drop(kept);
            assert_eq!(synchronized(&rig), 9);
        }
    }
    Ok(())
}

#[test]
fn r35_under_a_budget_over_all_groups() -> Result<(), Error> {
    let rig = card(quiet().budget(10))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 5);
    let (first, second) = (ticket.acquire()?, ticket.acquire()?);
    drop(first);
    drop(second);
    assert_eq!(synchronized(&rig), 2);
    rig.finish()
}

#[test]
fn r35_the_demand_counts_while_it_synchronises() -> Result<(), Error> {
    let rig = card(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let gate = rig.backend.synchronize_gate();
    thread::scope(|scope| {
        let (acquired, holds) = mpsc::channel();
        let ticket = &ticket;
        scope.spawn(move || {
            let guard = ticket.acquire();
            acquired.send(()).expect("the test waits");
            drop(guard);
        });
        holds.recv().expect("it acquires");
        gate.wait_entered(1);
        let refused = ticket.try_acquire().err();
        gate.open();
        assert!(refused.is_some_and(|error| error.is_would_block()));
    });
    drop(ticket.try_acquire()?);
    rig.finish()
}

#[test]
fn r35_a_reservation_has_no_work_of_its_own() -> Result<(), Error> {
    let rig = card(quiet())?;
    let weights = rig.ticket(&SumPolicy::new(), GIB).reservation();
    drop(weights.acquire()?);
    weights.acquire_owned()?.release();
    assert_eq!(synchronized(&rig), 0);
    rig.finish()
}

#[test]
fn r35_to_shrink_finishes_nothing() -> Result<(), Error> {
    let rig = card(quiet())?;
    let mut guard = rig.ticket(&SumPolicy::new(), GIB).acquire_owned()?;
    guard.resize(1)?;
    assert_eq!(synchronized(&rig), 0);
    drop(guard);
    assert_eq!(synchronized(&rig), 1);
    rig.finish()
}

#[test]
fn r35_unwinding_synchronises_too() -> Result<(), Error> {
    let rig = card(quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), GIB);
    let unwound = catch_unwind(AssertUnwindSafe(|| -> Result<(), Error> {
        let _guard = ticket.acquire()?;
        panic!("the work's own panic");
    }));
    assert!(unwound.is_err());
    assert_eq!(synchronized(&rig), 1);
    rig.finish()
}

#[test]
fn r35_a_hook_runs_in_place_of_synchronising_wherever_it_is_released() -> Result<(), Error> {
    for choice in [
        SyncOnRelease::Auto,
        SyncOnRelease::Never,
        SyncOnRelease::Always,
    ] {
        let rig = card(quiet().sync_on_release(choice))?;
        let ticket = rig.ticket(&FixedPolicy::new(5), GIB);
        let _kept = ticket.acquire_owned()?;
        let runs = Arc::new(AtomicUsize::new(0));
        let hooked = || -> Result<OwnedGuard, Error> {
            let mut guard = ticket.acquire_owned()?;
            let runs = runs.clone();
            guard.before_release(move || {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            Ok(guard)
        };
        drop(hooked()?);
        elsewhere(hooked()?, drop);
        elsewhere(hooked()?, OwnedGuard::release);
        hooked()?.release_evaluated();
        assert_eq!((runs.load(Ordering::SeqCst), synchronized(&rig)), (4, 0));
    }
    Ok(())
}

#[test]
fn r35_what_is_evaluated_needs_no_synchronising() -> Result<(), Error> {
    for device in [RecordingBackend::cuda(), RecordingBackend::metal()] {
        let rig = Rig::on(device, quiet())?;
        let ticket = rig.ticket(&SumPolicy::new(), GIB);
        assert_eq!(ticket.acquire()?.release_evaluated().error, None);
        ticket.acquire_owned()?.release_evaluated();
        assert_eq!(synchronized(&rig), 0);
        assert_eq!(rig.limit(), 0);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r35_a_finish_of_ones_own_is_enough_where_nothing_is_wired() -> Result<(), Error> {
    let rig = card(quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), GIB);
    let mut finished = 0;
    ticket.acquire()?.release_after(|| finished += 1);
    assert_eq!((finished, synchronized(&rig)), (1, 0));
    rig.finish()
}

#[test]
fn r35_never_synchronises_nothing() -> Result<(), Error> {
    for device in [RecordingBackend::cuda(), RecordingBackend::metal()] {
        let rig = Rig::on(device, quiet().sync_on_release(SyncOnRelease::Never))?;
        let ticket = rig.ticket(&SumPolicy::new(), GIB);
        drop(ticket.acquire()?);
        ticket.acquire_owned()?.release();
        assert_eq!(synchronized(&rig), 0);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r35_always_synchronises_on_every_device() -> Result<(), Error> {
    for device in [
        RecordingBackend::cuda(),
        RecordingBackend::metal(),
        RecordingBackend::cpu(),
    ] {
        for mode in [WireMode::Auto, WireMode::Never, WireMode::Uncoordinated] {
            let config = quiet().sync_on_release(SyncOnRelease::Always).mode(mode);
            let rig = Rig::on(device.clone(), config)?;
            let ticket = rig.ticket(&FixedPolicy::new(5), GIB);
            let kept = ticket.acquire()?;
            drop(ticket.acquire()?);
            ticket.acquire_owned()?.release();
            assert_eq!(synchronized(&rig), 2);
            elsewhere(ticket.acquire_owned()?, drop);
            assert_eq!(synchronized(&rig), 2, "its work was begun on this thread");
            drop(ticket.clone().reservation().acquire()?);
            assert_eq!(synchronized(&rig), 2, "it has no work");
            drop(kept);
            rig.finish()?;
        }
    }
    Ok(())
}

#[test]
fn r35_auto_leaves_other_devices_as_they_are() -> Result<(), Error> {
    let policy_only = quiet().mode(WireMode::Never);
    let off = quiet().mode(WireMode::Uncoordinated);
    for (device, config) in [
        (RecordingBackend::cpu(), quiet()),
        (RecordingBackend::metal(), policy_only),
        (RecordingBackend::cuda(), off),
    ] {
        let rig = Rig::on(device, config)?;
        let ticket = rig.ticket(&SumPolicy::new(), GIB);
        drop(ticket.acquire()?);
        ticket.acquire_owned()?.release();
        assert_eq!(synchronized(&rig), 0);
    }
    Ok(())
}

#[test]
fn r35_the_choice_may_change_while_guards_live() -> Result<(), Error> {
    let choose = |choice| move |config: Config| config.sync_on_release(choice);
    for device in [RecordingBackend::cuda(), RecordingBackend::cpu()] {
        let rig = Rig::on(device, quiet().sync_on_release(SyncOnRelease::Never))?;
        let ticket = rig.ticket(&FixedPolicy::new(5), 1);
        let kept = ticket.acquire_owned()?;
        let guards = [ticket.acquire()?, ticket.acquire()?, ticket.acquire()?];
        let [first, second, third] = guards;
        drop(first);
        assert_eq!(synchronized(&rig), 0);
        rig.manager.configure(choose(SyncOnRelease::Always))?;
        drop(second);
        assert_eq!(synchronized(&rig), 1);
        drop(ticket.acquire()?);
        assert_eq!(synchronized(&rig), 2);
        rig.manager.configure(choose(SyncOnRelease::Never))?;
        drop(third);
        drop(ticket.acquire()?);
        assert_eq!(synchronized(&rig), 2);
        drop(kept);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r35_a_failure_is_told_and_counted_and_does_not_prevent_the_release() -> Result<(), Error> {
    let rig = card(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    rig.backend.fail_synchronize(true);
    let released = ticket.acquire()?.release();
    let Some(Error::Release { reason }) = released.error else {
        panic!("{released:?} tells what failed");
    };
    assert!(kinds(&events).contains(&EventKind::ReleaseFailed(reason)));
    rig.backend.panic_synchronize(true);
    drop(ticket.try_acquire()?);
    drop(ticket.try_acquire_owned()?);
    assert_eq!(rig.manager.stats().release_failures, 3);
    rig.backend.panic_synchronize(false);
    drop(ticket.try_acquire()?);
    rig.finish()
}

#[test]
fn r35_without_an_error_handler_that_returns_it_is_skipped_and_told_of_once() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::cuda().synchronizes(false), quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), GIB);
    // Nobody listens yet.
    drop(ticket.acquire()?);
    let events = rig.manager.subscribe(100);
    for _ in 0..3 {
        drop(ticket.acquire()?);
    }
    assert_eq!(ticket.acquire()?.release().error, None);
    let told = kinds(&events);
    let skipped = |kind: &&EventKind| **kind == EventKind::SynchronizationSkipped;
    assert_eq!(told.iter().filter(skipped).count(), 1);
    assert_eq!(synchronized(&rig), 0);
    rig.finish()
}
