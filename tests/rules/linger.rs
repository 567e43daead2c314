//! R8 and R9: what is done later, and by whom.

use crate::kit::{Custom, GIB, HookedClock, PATIENCE, Rig, SECOND, acquiring, eager, next, quiet};
use mlx_wired::{Config, Error, EventKind, FixedPolicy, PolicyId, SumPolicy, Wait};
use std::cell::OnceCell;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

const LINGER: Duration = Duration::from_secs(10);

#[test]
fn r8_maintain_does_the_shrink_that_the_cooldown_held_back() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 2 * GIB, "not yet due");
    rig.clock.advance(SECOND - Duration::from_nanos(1));
    rig.manager.maintain();
    assert_eq!(rig.limit(), 2 * GIB, "one nanosecond too early");
    rig.clock.advance(Duration::from_nanos(1));
    rig.manager.maintain();
    assert_eq!(rig.limit(), GIB);
    drop(first);
    rig.finish()
}

#[test]
fn r8_every_transition_looks_while_a_shrink_is_owed() -> Result<(), Error> {
    for by_release in [false, true] {
        let rig = Rig::new(quiet())?;
        let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
        let other = rig.ticket(&FixedPolicy::new(1), 1);
        let first = ticket.acquire()?;
        let small = other.acquire()?;
        drop(ticket.acquire()?);
        rig.clock.advance(SECOND);
        assert_eq!(rig.limit(), 2 * GIB);
        if by_release {
            drop(small);
            assert_eq!(rig.limit(), GIB, "the release of another group looked");
        } else {
            let another = other.acquire()?;
            assert_eq!(rig.limit(), GIB, "the acquire in another group looked");
            drop((another, small));
        }
        drop(first);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r8_an_admission_looks_that_a_timeout_made_possible() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let (large, middle) = (ticket(60), ticket(30));
    let kept = middle.acquire()?;
    drop(large.acquire()?);
    let waits = rig.queued_with(&ticket(80), Wait::new().timeout(SECOND));
    let behind = rig.queued(&ticket(10));
    assert_eq!(rig.limit(), 90, "the cooldown holds the shrink back");
    rig.clock.advance(SECOND);
    assert!(waits.result().is_err_and(|error| error.is_timeout()));
    let behind = behind.result()?;
    assert_eq!(rig.limit(), 40);
    drop((behind, kept));
    rig.finish()
}

#[test]
fn r8_the_housekeeping_thread_does_the_shrink_when_it_is_due() -> Result<(), Error> {
    let rig = Rig::new(Config::default())?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    assert_eq!(rig.limit(), 2 * GIB);
    let _before: Vec<_> = events.drain().collect();
    rig.clock.advance(SECOND);
    let applied = next(&events, |kind| *kind == EventKind::LimitApplied);
    assert_eq!(applied.applied, Some(GIB));
    drop(first);
    rig.finish()
}

#[test]
fn r8_housekeeping_starts_again_when_something_is_owed_again() -> Result<(), Error> {
    let rig = Rig::new(Config::default().linger(LINGER))?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    for _ in 0..3 {
        drop(ticket.acquire()?);
        assert_eq!(rig.limit(), GIB);
        rig.clock.advance(LINGER);
        let _restored = next(&events, |kind| *kind == EventKind::BaselineRestored);
    }
    rig.finish()
}

#[test]
fn r8_a_shrink_that_growth_made_needless_is_not_done() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    let second = ticket.acquire()?;
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 2 * GIB);
    assert_eq!(rig.calls(), 2);
    drop((first, second));
    rig.finish()
}

#[test]
fn r9_the_baseline_comes_back_after_linger() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    drop(ticket.acquire()?);
    rig.clock.advance(LINGER - Duration::from_nanos(1));
    rig.manager.maintain();
    assert_eq!(rig.limit(), GIB);
    rig.clock.advance(Duration::from_nanos(1));
    rig.manager.maintain();
    assert_eq!(rig.limit(), 0);
    rig.finish()
}

#[test]
fn r9_back_to_back_work_does_not_restore_and_counts_as_one_epoch() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let mut epochs = Vec::new();
    for _ in 0..5 {
        let guard = ticket.acquire()?;
        epochs.push(guard.epoch());
        drop(guard);
        // Each time less than linger, in all more.
        rig.clock.advance(LINGER / 2);
        rig.manager.maintain();
    }
    assert_eq!(rig.requested(), [GIB], "one call for all of it");
    assert_eq!(epochs, [epochs[0]; 5]);
    rig.clock.advance(LINGER);
    rig.manager.maintain();
    assert_eq!(rig.requested(), [GIB, 0]);
    let after = ticket.acquire()?;
    assert_eq!(after.epoch(), epochs[0] + 1);
    drop(after);
    rig.manager.close();
    rig.finish()
}

#[test]
fn r9_a_guard_that_lives_past_linger_holds_the_limit() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    drop(ticket.acquire()?);
    let guard = ticket.acquire()?;
    rig.clock.advance(2 * LINGER);
    rig.manager.maintain();
    assert_eq!(rig.limit(), GIB);
    drop(guard);
    rig.manager.maintain();
    assert_eq!(
        rig.limit(),
        GIB,
        "linger counts from the last driving guard"
    );
    rig.clock.advance(LINGER);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r9_a_reservation_neither_prevents_nor_prolongs_the_end() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let weights = ticket.clone().reservation();
    let held = weights.acquire()?;
    drop(ticket.acquire()?);
    rig.clock.advance(LINGER - Duration::from_nanos(1));
    drop(weights.acquire()?);
    rig.clock.advance(Duration::from_nanos(1));
    rig.manager.maintain();
    assert_eq!(rig.limit(), 0);
    drop(held);
    rig.finish()
}

#[test]
fn r9_a_reservation_larger_than_the_lingering_limit_raises_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    let policy = SumPolicy::uncapped();
    drop(rig.ticket(&policy, GIB).acquire()?);
    let weights = rig.ticket(&policy, 5 * GIB).reservation();
    let weights = acquiring(&weights).result()?;
    assert_eq!(rig.requested(), [GIB]);
    // Whoever drives next raises for the reservation too, though it is of another group and covered itself.
    let other = rig.ticket(&FixedPolicy::new(1), 1);
    let other = other.acquire()?;
    assert_eq!(rig.limit(), 5 * GIB);
    drop((weights, other));
    rig.clock.advance(LINGER);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r9_close_ends_linger_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    drop(rig.ticket(&SumPolicy::uncapped(), GIB).acquire()?);
    assert_eq!(rig.limit(), GIB);
    rig.manager.close();
    rig.finish()
}

#[test]
fn r9_dropping_the_last_handle_ends_linger_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    drop(ticket.acquire()?);
    let backend = rig.backend.clone();
    let second = rig.manager.clone();
    drop(rig);
    assert_eq!(backend.current_limit(), GIB, "a handle is left");
    drop(second);
    backend.assert_baseline(0);
    // The ticket still works, without linger.
    drop(ticket.acquire()?);
    backend.assert_baseline(0);
    backend.assert_rules();
    Ok(())
}

#[test]
fn r9_linger_may_be_ended_by_changing_it() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(LINGER))?;
    drop(rig.ticket(&SumPolicy::uncapped(), GIB).acquire()?);
    rig.manager
        .configure(|config| config.linger(Duration::ZERO))?;
    rig.finish()
}

#[test]
fn r23_linger_may_become_shorter_or_longer_while_an_epoch_lingers() -> Result<(), Error> {
    for linger in [LINGER / 2, 2 * LINGER] {
        let rig = Rig::new(quiet().linger(LINGER))?;
        drop(rig.ticket(&SumPolicy::uncapped(), GIB).acquire()?);
        rig.clock.advance(SECOND);
        rig.manager.configure(|config| config.linger(linger))?;
        assert_eq!(
            rig.manager.snapshot().owed.restore_in,
            Some(linger - SECOND)
        );
        rig.clock.advance(linger - SECOND - Duration::from_nanos(1));
        rig.manager.maintain();
        assert_eq!(rig.limit(), GIB, "one nanosecond too early");
        rig.clock.advance(Duration::from_nanos(1));
        rig.manager.maintain();
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r9_linger_counts_from_an_end_inside_a_policy_too() -> Result<(), Error> {
    let rig = Rig::new(Config::default().linger(LINGER))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    drop(ticket.acquire()?);
    rig.clock.advance(LINGER - 2 * SECOND);
    // It takes no lock: nobody notes that the epoch is driven again.
    let admissions = rig.manager.stats().admissions;
    let last = ticket.acquire_owned()?;
    assert_eq!(rig.manager.stats().admissions, admissions);
    rig.clock.advance(SECOND);
    let releases = Custom::releasing(last);
    let reservation = rig.ticket(&releases, 1).reservation();
    drop(reservation.acquire()?);
    assert_eq!(rig.manager.snapshot().owed.restore_in, Some(LINGER));
    rig.manager.close();
    rig.finish()
}

#[test]
fn r9_a_linger_without_end_lasts_until_close() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(Duration::MAX))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    drop(ticket.acquire()?);
    rig.clock.advance(1000 * LINGER);
    rig.manager.maintain();
    assert_eq!(rig.limit(), GIB);
    drop(ticket.acquire()?);
    rig.manager.close();
    rig.finish()
}

#[test]
fn r3_a_reservation_taken_while_the_epoch_lingers_counts_for_the_next_driving_guard()
-> Result<(), Error> {
    let rig = Rig::new(Config::default().linger(LINGER))?;
    let weights = SumPolicy::uncapped().with_id(PolicyId::named("weights"));
    let step = rig.ticket(&SumPolicy::uncapped(), GIB);
    let small = rig.ticket(&SumPolicy::uncapped(), 1);
    drop(step.acquire()?);
    assert_eq!(rig.limit(), GIB, "it lingers");
    let weights = rig.ticket(&weights, 3 * GIB).reservation();
    let held = weights.acquire()?;
    assert_eq!(rig.limit(), GIB, "a reservation raises nothing");
    let driving = small.acquire()?;
    assert_eq!(rig.limit(), 3 * GIB);
    drop((driving, held));
    rig.manager.close();
    rig.finish()
}

#[test]
fn r8_a_release_looks_though_its_guard_came_while_the_epoch_lingered() -> Result<(), Error> {
    // Without housekeeping every transition looks.
    let rig = Rig::new(eager().housekeeping(true).linger(LINGER))?;
    let ticket = |bytes| rig.ticket(&SumPolicy::uncapped(), bytes);
    let [before, large, small] = [100, 60, 10].map(ticket);
    drop(before.acquire()?);
    // Now that the group has a fast path.
    drop(before.acquire()?);
    let large = large.acquire()?;
    let small = small.acquire()?;
    assert_eq!(rig.limit(), 100);
    drop(large);
    assert_eq!(rig.limit(), 10);
    drop(small);
    rig.manager.close();
    rig.finish()
}

/// Tells when its thread ends.
struct Farewell(Sender<&'static str>);

impl Drop for Farewell {
    fn drop(&mut self) {
        // The test may have failed and gone.
        let _gone = self.0.send("ended");
    }
}

thread_local! {
    static FAREWELL: OnceCell<Farewell> = const { OnceCell::new() };
}

#[test]
fn r8_housekeeping_that_is_switched_off_ends() -> Result<(), Error> {
    let (sender, told) = mpsc::channel();
    // Tells when a thread sleeps for the first time, and when that thread ends.
    let watches = move || {
        FAREWELL.with(|farewell| {
            farewell.get_or_init(|| {
                let _gone = sender.send("parks");
                Farewell(sender.clone())
            });
        });
    };
    let rig = Rig::clocked(Config::default(), |clock| {
        HookedClock::new(clock).before_sleep(watches)
    })?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    assert_eq!(told.recv_timeout(PATIENCE), Ok("parks"));
    rig.manager.configure(|config| config.housekeeping(false))?;
    assert_eq!(told.recv_timeout(PATIENCE), Ok("ended"));
    rig.clock.advance(SECOND);
    assert_eq!(rig.limit(), 2 * GIB);
    // Every transition looks instead.
    drop(ticket.acquire_owned()?);
    assert_eq!(rig.limit(), GIB);
    drop(first);
    rig.finish()
}
