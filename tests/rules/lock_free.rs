//! R5: a guard that changes no limit takes no lock.

use crate::kit::{Brake, GIB, HookedClock, Pending, Rig, acquiring, quiet};
use mlx_wired::{
    BudgetPolicy, Error, FixedPolicy, Manager, MaxPolicy, OwnedGuard, PeakPolicy, Policy, SumPolicy,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs `work` on a thread of its own. Once that calls its second argument, and until it returns, somebody else holds the
/// manager's lock: a thread that enters a queue asks for the time under it. The guard that `work` returns is released
/// later.
fn locked_out(
    work: impl FnOnce(&Manager, &dyn Fn()) -> Result<OwnedGuard, Error> + Send + 'static,
) -> Result<(), Error> {
    // Stops the thread that is next to ask for the time.
    let (brake, armed) = (Brake::default(), Arc::new(AtomicBool::new(false)));
    let (stops, arms) = (brake.clone(), armed.clone());
    let rig = Rig::clocked(quiet().shrink_threshold_ratio(0.5), |clock| {
        HookedClock::new(clock).when_asked(move || {
            if armed.swap(false, Ordering::SeqCst) {
                stops.stop();
            }
        })
    })?;
    let full = rig.ticket(&SumPolicy::capped(10), 10);
    let fills = full.acquire_owned()?;
    let (stopped, all) = (brake.clone(), rig.manager.clone());
    let worker = Pending::spawn(move || {
        work(&all, &|| {
            arms.store(true, Ordering::SeqCst);
            let _waits = acquiring(&full);
            stopped.wait_stopped();
        })
    });
    let stays = worker.result();
    brake.release();
    drop((stays?, fills));
    rig.manager.close();
    Ok(())
}

/// Guards of `bytes` come and go beside one of `stays` that lives on.
fn come_and_go(policy: impl Policy + Clone, stays: u64, bytes: u64) -> Result<(), Error> {
    locked_out(move |manager, lock| {
        let stays = manager.ticket(&policy, stays).acquire_owned()?;
        let ticket = manager.ticket(&policy, bytes);
        let other = manager.ticket(&policy, bytes / 2);
        // The limit rises, and the thread gets a place for what it holds.
        drop((ticket.acquire()?, other.acquire()?));
        manager.maintain();
        lock();
        for _ in 0..2 {
            drop(ticket.acquire()?);
            drop((ticket.acquire()?, other.try_acquire()?));
            let (first, second) = (other.acquire()?, ticket.acquire()?);
            drop(first);
            drop(second);
            drop(ticket.acquire_owned()?);
        }
        Ok(stays)
    })
}

#[test]
fn r5_a_guard_that_changes_no_limit_takes_no_lock() -> Result<(), Error> {
    come_and_go(SumPolicy::uncapped(), 20 << 20, 4 << 20)?;
    come_and_go(SumPolicy::capped(40 << 20), 20 << 20, 4 << 20)?;
    come_and_go(SumPolicy::capped(40 << 20).at_most(3), 20 << 20, 4 << 20)?;
    come_and_go(FixedPolicy::new(20 << 20).at_most(3), 20 << 20, 4 << 20)?;
    come_and_go(MaxPolicy::new(), 20 << 20, 4 << 20)?;
    come_and_go(PeakPolicy, 20 << 20, 4 << 20)?;
    come_and_go(FixedPolicy::new(20 << 20), 20 << 20, 4 << 20)?;
    come_and_go(
        BudgetPolicy::new(1 << 20).with_cap(40 << 20),
        20 << 20,
        4 << 20,
    )
}

/// Demands that are too large to be added before they are judged.
#[test]
fn r5_a_large_guard_that_changes_no_limit_takes_no_lock() -> Result<(), Error> {
    come_and_go(SumPolicy::uncapped(), 20 * GIB, 5 * GIB)?;
    come_and_go(SumPolicy::capped(40 * GIB), 20 * GIB, 5 * GIB)?;
    come_and_go(MaxPolicy::new(), 20 * GIB, 5 * GIB)?;
    come_and_go(FixedPolicy::new(20 * GIB), 20 * GIB, 5 * GIB)
}

#[test]
fn r24_who_comes_after_the_last_subscriber_takes_no_lock() -> Result<(), Error> {
    locked_out(|manager, without_lock| {
        let ticket = manager.ticket(&FixedPolicy::new(GIB), 10);
        let stays = ticket.acquire_owned()?;
        let events = manager.subscribe(100);
        drop(ticket.acquire()?);
        drop(events);
        // Nobody need release anything first.
        let _first = ticket.acquire()?;
        without_lock();
        let _second = ticket.acquire()?;
        Ok(stays)
    })
}
