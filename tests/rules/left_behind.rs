//! R26a, R27, R28, R31: nothing is left behind by a hold, a grown guard or a waiter that has gone.

use crate::kit::{Brake, Custom, Pending, Rig, SECOND, eager, quiet, until};
use mlx_wired::{Error, OwnedGuard, SumPolicy};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[test]
fn r28_a_grown_guard_that_leaves_while_somebody_watches_rounds_no_more() -> Result<(), Error> {
    let rig = Rig::new(eager().growth_step(64))?;
    let events = rig.manager.subscribe(1000);
    let anchor = rig.ticket(&SumPolicy::capped(2000), 1000);
    let anchor = anchor.acquire_owned()?;
    let mut grown = rig.ticket(&SumPolicy::capped(100), 10).acquire_owned()?;
    grown.resize(20)?;
    assert_eq!(rig.limit(), 1024);
    drop(grown);
    assert_eq!(rig.limit(), 1000);
    drop((anchor, events));
    rig.finish()
}

#[test]
fn r26a_a_hold_released_inside_a_policy_is_seen_by_the_whole_line() -> Result<(), Error> {
    // A group that has become idle is no longer looked at once it was not used for so many acquires.
    for acquires in 0..140 {
        let rig = Rig::new(quiet().budget(100))?;
        let [one, other] = [80, 90].map(|cap| rig.ticket(&SumPolicy::capped(cap), 60));
        let policy = Custom::releasing(one.reservation().acquire_owned()?);
        let aside = rig.queued(&other.reservation());
        let step = rig.ticket(&SumPolicy::capped(50), 1);
        for _ in 0..acquires {
            drop(step.acquire()?);
        }
        drop(rig.ticket(&policy, 1).acquire()?);
        drop(aside.result()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r31_one_that_is_refused_after_it_looked_for_a_circle_holds_nobody_back() -> Result<(), Error> {
    let rig = Rig::new(quiet().max_waiting(2))?;
    let brake = Brake::default();
    let (alone, armed) = Custom::one_at_a_time(&brake);
    let alone = rig.ticket(&alone, 1);
    let capped = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let held = capped(100).acquire_owned()?;
    let (holder, wanted, begins) = (alone.clone(), capped(50), Brake::default());
    let begin = begins.clone();
    let refused = Pending::spawn(move || {
        let _held = holder.acquire()?;
        begin.stop();
        wanted.acquire().map(drop)
    });
    begins.wait_stopped();
    let behind = rig.queued(&alone);
    armed.store(true, Ordering::SeqCst);
    begins.release();
    // It looks for a circle, and the policy is asked about the one behind.
    brake.wait_stopped();
    let later = rig.queued(&capped(50));
    drop(held);
    brake.release();
    assert_eq!(refused.result(), Err(Error::QueueFull { waiting: 2 }));
    drop(later.result()?);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r27_one_that_is_the_first_aside_again_asks_reclaimers_that_came_meanwhile() -> Result<(), Error>
{
    let rig = Rig::new(quiet())?;
    let capped = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let hold = |bytes| capped(bytes).reservation().evictable();
    let mut large = hold(50).acquire_owned()?;
    let mut small = hold(5).acquire_owned()?;
    let work = capped(41).acquire_owned()?;
    let idle = rig.manager.on_shortage(|_| {});
    let waits = rig.queued(&capped(60));
    // It is noted as the one that was woken to ask.
    large.resize(45)?;
    drop(idle);
    drop(large);
    assert!(!rig.manager.waiting()[0].set_aside, "it waits for work");
    rig.clock.advance(2 * SECOND);
    let shelf: Arc<Mutex<Option<OwnedGuard>>> = Arc::default();
    let evicts = shelf.clone();
    let _reclaimer = rig.manager.on_shortage(move |_| {
        drop(evicts.lock().take());
    });
    waits.until_queued(&rig.manager);
    let mut shelved = shelf.lock();
    small.resize(50)?;
    *shelved = Some(small);
    drop(shelved);
    let is_in_line = || rig.manager.waiting().iter().all(|it| !it.set_aside);
    until("it has asked", is_in_line);
    drop(work);
    drop(waits.result()?);
    rig.finish()
}
