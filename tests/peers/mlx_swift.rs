//! mlx-swift, `Tests/MLXTests/WiredMemoryTests.swift`.
//!
//! The last test is one that a fork keeps beside them (RNT56/mlx-swift).

use crate::kit::{Custom, MIB, Rig, SECOND, kinds, next, quiet};
use crate::{double, is_failure, sum};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{CancelToken, Config, Error, Event, EventKind, Wait};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Not 0, so that it shows where it counts.
const BASELINE: u64 = 5 * MIB;

/// A manager that knows its baseline, as the actor's is told.
fn rig(config: Config) -> Result<Rig, Error> {
    let device = RecordingBackend::metal().initial_limit(BASELINE);
    Rig::on(device, config.baseline_override(BASELINE))
}

/// The limits that were applied, after a check that no set failed.
fn applied(told: &[Event]) -> Vec<u64> {
    assert!(
        !told.iter().any(|event| is_failure(&event.kind)),
        "{told:#?}"
    );
    let applied = told
        .iter()
        .filter(|event| event.kind == EventKind::LimitApplied);
    applied.filter_map(|event| event.applied).collect()
}

/// `testWiredMemoryPolicyStackingAndCustomPolicies`
#[test]
fn test_wired_memory_policy_stacking_and_custom_policies() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let (sum, double) = (sum("sum"), double());
    let tickets = [
        rig.ticket(&sum, 64 * MIB),
        rig.ticket(&sum, 64 * MIB),
        rig.ticket(&double, 96 * MIB),
    ];
    let events = rig.manager.subscribe(100);
    let mut guards = Vec::new();
    for ticket in &tickets {
        guards.push(ticket.acquire()?);
    }
    while let Some(guard) = guards.pop() {
        drop(guard);
    }

    let told: Vec<Event> = events.drain().collect();
    let mut live: HashMap<u64, u64> = HashMap::new();
    let (mut custom_dominates, mut both_live) = (false, false);
    for event in &told {
        match event.kind {
            EventKind::TicketStarted => live.extend(event.ticket.zip(event.size)),
            EventKind::TicketEnded => {
                live.remove(&event.ticket.expect("a ticket ends"));
            }
            EventKind::LimitApplied => {
                let size = |ticket: usize| live.get(&tickets[ticket].id()).copied().unwrap_or(0);
                let (sums, customs) = (size(0) + size(1), size(2));
                let wanted = BASELINE + sums.max(2 * customs);
                both_live |= sums > 0 && customs > 0;
                custom_dominates |= 2 * customs > sums;
                assert_eq!(event.applied, Some(wanted), "{told:#?}");
            }
            _ => {}
        }
    }
    assert!(custom_dominates && both_live, "{told:#?}");
    rig.finish()
}

/// `testReservationOnlyKeepsLimitAtBaseline`
#[test]
fn test_reservation_only_keeps_limit_at_baseline() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&sum("sum"), 128 * MIB);
    drop(ticket.reservation().acquire()?);
    let told: Vec<Event> = events.drain().collect();
    // The actor sets the baseline once more; here the setter is left alone.
    assert!(applied(&told).is_empty(), "{told:#?}");
    assert_eq!((rig.calls(), rig.limit()), (0, BASELINE));
    rig.finish()
}

/// `testReservationPlusActiveRaisesAndRestoresBaseline`
#[test]
fn test_reservation_plus_active_raises_and_restores_baseline() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let events = rig.manager.subscribe(100);
    let policy = sum("sum");
    let reservation = rig.ticket(&policy, 128 * MIB).reservation();
    let active = rig.ticket(&policy, 64 * MIB);
    let weights = reservation.acquire()?;
    drop(active.acquire()?);
    // Before the reservation goes.
    assert_eq!(rig.limit(), BASELINE);
    let told: Vec<Event> = events.drain().collect();
    assert_eq!(applied(&told), [BASELINE + 192 * MIB, BASELINE]);
    let restored = told.last().expect("events");
    assert_eq!(restored.kind, EventKind::BaselineRestored);
    assert_eq!((restored.applied, restored.live), (Some(BASELINE), 1));
    drop(weights);
    rig.finish()
}

/// `testHysteresisPreventsSmallShrinkWhileActive`
#[test]
fn test_hysteresis_prevents_small_shrink_while_active() -> Result<(), Error> {
    let config = quiet()
        .shrink_threshold_ratio(0.5)
        .shrink_cooldown(Duration::ZERO);
    let rig = rig(config)?;
    let policy = sum("sum");
    let (large, small) = (
        rig.ticket(&policy, 300 * MIB),
        rig.ticket(&policy, 20 * MIB),
    );
    let held = large.acquire()?;
    drop(small.acquire()?);
    let high = BASELINE + 320 * MIB;
    assert_eq!(rig.limit(), high, "the small drop does not shrink");
    drop(held);
    assert_eq!(rig.requested(), [BASELINE + 300 * MIB, high, BASELINE]);
    rig.finish()
}

/// `testCooldownPreventsRapidOscillationWhileActive`
#[test]
fn test_cooldown_prevents_rapid_oscillation_while_active() -> Result<(), Error> {
    let cooldown = SECOND / 2;
    let config = quiet()
        .shrink_threshold_ratio(0.0)
        .shrink_cooldown(cooldown);
    let rig = rig(config)?;
    let policy = sum("sum");
    let [a, b, c] = [100, 300, 50].map(|size| rig.ticket(&policy, size * MIB));
    let held = a.acquire()?;
    drop(b.acquire()?);
    let (high, mid) = (BASELINE + 400 * MIB, BASELINE + 150 * MIB);
    assert_eq!(rig.limit(), high, "the cooldown holds the shrink back");
    rig.clock.advance(cooldown);
    let later = c.acquire()?;
    assert_eq!(rig.limit(), mid, "the next transition shrinks");
    drop(later);
    assert_eq!(rig.limit(), mid, "a new cooldown has begun");
    drop(held);
    rig.finish()
}

/// A reservation of 100 MiB and work of 40 and 20 MiB under a cap of 150 MiB.
fn admission_uses_all_sizes(rig: &Rig) -> Result<Vec<Event>, Error> {
    let policy = Custom::capped(150 * MIB).named("capped");
    let reservation = rig.ticket(&policy, 100 * MIB).reservation();
    let [a, b] = [40, 20].map(|size| rig.ticket(&policy, size * MIB));
    let events = rig.manager.subscribe(100);
    let weights = reservation.acquire()?;
    let working = a.acquire()?;
    let waiting = rig.queued(&b);
    let told = next(&events, |kind| *kind == EventKind::AdmissionWait);
    assert_eq!((told.ticket, told.live), (Some(b.id()), 2));
    drop(working);
    drop(waiting.result()?);
    drop(weights);
    Ok(events.drain().collect())
}

/// `testAdmissionUsesReservationSizesAndActiveSizes`
#[test]
fn test_admission_uses_reservation_sizes_and_active_sizes() -> Result<(), Error> {
    let rig = rig(quiet())?;
    applied(&admission_uses_all_sizes(&rig)?);
    rig.finish()
}

/// `testPolicyOnlyModeEnforcesAdmissionOnCPU`
#[test]
fn test_policy_only_mode_enforces_admission_on_cpu() -> Result<(), Error> {
    let config = quiet().baseline_override(1024);
    let rig = Rig::on(RecordingBackend::cpu(), config)?;
    let all = rig.manager.subscribe(100);
    admission_uses_all_sizes(&rig)?;
    let captured = next(&all, |kind| *kind == EventKind::BaselineCaptured);
    assert_eq!(captured.baseline, 1024);
    assert_eq!(rig.calls(), 0);
    rig.finish()
}

/// `testWithWiredLimitCancellationDoesNotDoubleEnd`: there a task is cancelled while its body runs; a thread's way out
/// of its body is a panic.
#[test]
fn test_with_wired_limit_cancellation_does_not_double_end() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::cpu(), quiet().baseline_override(1024))?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&sum("sum"), 64 * MIB);
    let body = AssertUnwindSafe(|| ticket.with(|_| -> u8 { panic!("out of the body") }));
    catch_unwind(body).expect_err("the body panics");
    let ended = |kinds: &[EventKind]| {
        let ended = kinds.iter().filter(|kind| **kind == EventKind::TicketEnded);
        ended.count()
    };
    assert_eq!(ended(&kinds(&events)), 1);
    // The manager is as before.
    drop(rig.ticket(&sum("sum"), 32 * MIB).acquire()?);
    assert_eq!(ended(&kinds(&events)), 1);
    rig.finish()
}

/// `testAdmissionWaitCancellationRemovesWaiter`
#[test]
fn test_admission_wait_cancellation_removes_waiter() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::cpu(), quiet().baseline_override(1024))?.restoring(0);
    let policy = Custom::capped(100 * MIB).named("capped");
    let active = rig.ticket(&policy, 100 * MIB);
    let blocked = rig.ticket(&policy, 1);
    let events = rig.manager.subscribe(100);
    let held = active.acquire()?;
    let token = CancelToken::new();
    let waiting = rig.queued_with(&blocked, Wait::new().cancel(&token));
    token.cancel();
    let error = waiting.result().expect_err("no guard comes out of it");
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    let cancelled = next(&events, |kind| *kind == EventKind::AdmissionCancelled);
    assert_eq!(cancelled.ticket, Some(blocked.id()));
    drop(held);
    let told = kinds(&events);
    assert!(!told.contains(&EventKind::TicketStarted), "{told:?}");
    // There the process would end if a waiter were left.
    rig.manager
        .configure(|config| config.baseline_override(2048))?;
    rig.finish()
}
