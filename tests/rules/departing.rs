//! R22: destructors of policies run where nothing is held that others wait for.

use crate::kit::{Brake, Custom, GIB, Pending, Rig, SECOND, acquiring, assert_alive, quiet, until};
use mlx_wired::{Context, Error, FixedPolicy, Manager, Policy, PolicyId, Sizes, Ticket, Wait};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const GROUP: &str = "departing";

/// Admits one guard at a time beside empty ones, stops where it is told to, and uses the manager when it is dropped.
struct Departing {
    manager: Manager,
    farewell: fn(&Manager),
    drops: Arc<AtomicUsize>,
    in_admit: Arc<OnceLock<Brake>>,
    in_limit: Arc<OnceLock<Brake>>,
}

impl Departing {
    fn new(rig: &Rig, farewell: fn(&Manager)) -> Self {
        Self {
            manager: rig.manager.clone(),
            farewell,
            drops: Arc::default(),
            in_admit: Arc::default(),
            in_limit: Arc::default(),
        }
    }

    /// Nobody else has the policy.
    fn ticket(self, rig: &Rig, bytes: u64) -> Ticket {
        rig.ticket(&Arc::new(self), bytes)
    }
}

impl Policy for Departing {
    fn id(&self) -> PolicyId {
        PolicyId::named(GROUP)
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        if let Some(brake) = self.in_limit.get() {
            brake.stop();
        }
        context.baseline + live.sum
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, new: u64) -> bool {
        let brake = self.in_admit.get().filter(|_| live.count == 0);
        if let Some(brake) = brake {
            brake.stop();
        }
        live.count == 0 || new == 0
    }

    fn can_ever_admit(&self, _: &Context, _: u64) -> bool {
        true
    }
}

impl Drop for Departing {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        (self.farewell)(&self.manager);
    }
}

fn looks(manager: &Manager) {
    let _limit = manager.applied();
}

#[test]
fn r22_the_policy_of_a_waiter_that_gave_up_while_it_was_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let held = Departing::new(&rig, looks)
        .ticket(&rig, 1)
        .acquire_owned()?;
    let waits = Departing::new(&rig, looks);
    let (brake, drops) = (Brake::default(), waits.drops.clone());
    assert!(waits.in_admit.set(brake.clone()).is_ok());
    let waiting = rig.queued_with(&waits.ticket(&rig, 1), Wait::new().timeout(SECOND));
    let releasing = Pending::spawn(move || drop(held));
    brake.wait_stopped();
    rig.clock.advance(SECOND);
    assert!(waiting.result().is_err_and(|error| error.is_timeout()));
    assert_eq!(drops.load(Ordering::SeqCst), 0, "it is being asked");
    brake.release();
    releasing.result();
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_a_policy_that_is_replaced_while_it_is_asked() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let other = rig.ticket(&Custom::new().named(GROUP), 1);
    let held = other.acquire_owned()?;
    let policy = Departing::new(&rig, looks);
    let (brake, drops) = (Brake::default(), policy.drops.clone());
    let in_limit = policy.in_limit.clone();
    drop(policy.ticket(&rig, 0).acquire_owned()?);
    // It was admitted last and speaks for the group, though nobody has it any more.
    assert!(in_limit.set(brake.clone()).is_ok());
    let manager = rig.manager.clone();
    let poking = Pending::spawn(move || manager.poke());
    brake.wait_stopped();
    let replacing = acquiring(&other);
    until("it is replaced", || rig.manager.snapshot().uncovered > 0);
    assert_eq!(drops.load(Ordering::SeqCst), 0, "it is being asked");
    brake.release();
    poking.result()?;
    drop((replacing.result()?, held));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_alive(&rig);
    rig.finish()
}

/// Another policy takes the place of one that nobody else has.
fn replaced(farewell: fn(&Manager)) -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let first = Departing::new(&rig, farewell);
    let drops = first.drops.clone();
    let second = rig.ticket(&Custom::new().named(GROUP), 1);
    drop(first.ticket(&rig, 1).acquire_owned()?);
    let replacing = Pending::spawn(move || {
        let acquired = catch_unwind(AssertUnwindSafe(|| second.acquire_owned()));
        acquired.map_or(Ok(()), |guard| guard.map(drop))
    });
    replacing.result()?;
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!(rig.manager.snapshot().live, 0);
    assert_alive(&rig);
    rig.finish()
}

#[test]
fn r22_a_policy_may_acquire_when_it_is_dropped() -> Result<(), Error> {
    replaced(|manager| {
        let ticket = manager.ticket(&FixedPolicy::new(GIB), 1);
        assert!(ticket.acquire().is_ok());
    })
}

#[test]
fn r22_a_policy_may_panic_when_it_is_dropped() -> Result<(), Error> {
    // Without the panic hook's message.
    replaced(|_| resume_unwind(Box::new("farewell")))
}
