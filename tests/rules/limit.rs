//! R2 to R6: which limit, when it is there, and at what cost.

use crate::kit::{GIB, Pending, Rig, acquiring, eager, kinds, quiet, until, until_started};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Error, EventKind, FixedPolicy, MaxPolicy, PeakPolicy, PolicyId, SumPolicy,
};
use std::thread;

#[test]
fn r2_the_built_in_policies_call_for_their_limits() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(100), eager())?;
    let manager = &rig.manager;
    let budget = BudgetPolicy::new(1000).with_cap(1125);
    let cases = [
        (manager.ticket(&SumPolicy::uncapped(), 10), [110, 120]),
        (manager.ticket(&SumPolicy::capped(115), 10), [110, 115]),
        (manager.ticket(&MaxPolicy::new(), 10), [110, 110]),
        (manager.ticket(&PeakPolicy, 150), [150, 150]),
        (manager.ticket(&PeakPolicy, 50), [100, 100]),
        (manager.ticket(&FixedPolicy::new(70), 10), [70, 70]),
        (manager.ticket(&budget, 10), [1110, 1120]),
    ];
    for (ticket, expected) in cases {
        let first = ticket.acquire()?;
        assert_eq!(rig.limit(), expected[0], "{ticket:?}");
        let second = ticket.acquire()?;
        assert_eq!(rig.limit(), expected[1], "{ticket:?}");
        drop((first, second));
        assert_eq!(rig.limit(), 100, "{ticket:?}");
    }
    rig.finish()
}

#[test]
fn r2_the_limit_is_the_maximum_over_the_groups() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let sum = rig.ticket(&SumPolicy::uncapped(), 30);
    let max = rig.ticket(&MaxPolicy::new(), 50);
    let fixed = rig.ticket(&FixedPolicy::new(40), 1);
    let small = sum.acquire()?;
    let large = max.acquire()?;
    assert_eq!(rig.limit(), 50);
    let constant = fixed.acquire()?;
    let second = sum.acquire()?;
    assert_eq!(rig.limit(), 60);
    drop(small);
    assert_eq!(rig.limit(), 50);
    drop(large);
    assert_eq!(rig.limit(), 40);
    drop(constant);
    assert_eq!(rig.limit(), 30);
    drop(second);
    rig.finish()
}

#[test]
fn r2_reservations_size_the_limit_and_do_not_hold_it_up() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let policy = SumPolicy::uncapped();
    let weights = rig.ticket(&policy, 100).reservation();
    let step = rig.ticket(&policy, 10);
    let weights = weights.acquire()?;
    assert_eq!(rig.calls(), 0, "not wired while idle");
    let step = step.acquire()?;
    assert_eq!(rig.limit(), 110);
    drop(step);
    assert_eq!(rig.limit(), 0);
    drop(weights);
    rig.finish()
}

#[test]
fn r2_a_reservation_that_comes_during_work_raises_the_limit() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let policy = SumPolicy::uncapped();
    let step = rig.ticket(&policy, 10);
    let weights = rig.ticket(&policy, 100).reservation();
    let step = step.acquire()?;
    let weights = weights.acquire()?;
    assert_eq!(rig.limit(), 110);
    drop(step);
    assert_eq!(rig.limit(), 0);
    drop(weights);
    rig.finish()
}

#[test]
fn r2_a_resident_holds_the_limit_up_by_itself() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let policy = SumPolicy::uncapped();
    let model = rig.ticket(&policy, 100).resident();
    let step = rig.ticket(&policy, 10);
    let model = model.acquire()?;
    assert_eq!(rig.limit(), 100);
    drop(step.acquire()?);
    assert_eq!(rig.limit(), 100);
    drop(model);
    rig.finish()
}

#[test]
fn r2_the_newest_policy_of_an_id_speaks_even_after_its_guard_has_gone() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let id = PolicyId::named("one group");
    let plain = BudgetPolicy::new(0).with_id(id.clone());
    let padded = BudgetPolicy::new(100).with_id(id);
    let plain = rig.ticket(&plain, 10);
    let padded = rig.ticket(&padded, 10);
    let first = plain.acquire()?;
    assert_eq!(rig.limit(), 10);
    let second = padded.acquire()?;
    assert_eq!(rig.limit(), 120);
    drop(second);
    assert_eq!(rig.limit(), 110);
    drop(first);
    let again = plain.acquire()?;
    assert_eq!(rig.limit(), 10, "the group was empty between");
    drop(again);
    rig.finish()
}

#[test]
fn r3_every_acquire_returns_with_its_demand_covered() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let policies = (SumPolicy::uncapped(), MaxPolicy::new());
    thread::scope(|scope| {
        let (rig, policies) = (&rig, &policies);
        let worker = |n: u64| {
            scope.spawn(move || -> Result<(), Error> {
                let sum = rig.ticket(&policies.0, n * 1000);
                let max = rig.ticket(&policies.1, n * 1500);
                for _ in 0..300 {
                    let own = sum.acquire()?;
                    // R4: until the release begins, whatever the others do.
                    assert!(rig.limit() >= n * 1000);
                    let large = max.acquire()?;
                    assert!(rig.limit() >= n * 1500);
                    drop(own);
                    assert!(rig.limit() >= n * 1500);
                    drop(large);
                }
                Ok(())
            })
        };
        let workers = [1, 2, 3, 4].map(worker);
        for worker in workers {
            worker.join().expect("no assertion failed")?;
        }
        Ok(())
    })?;
    rig.finish()
}

#[test]
fn r4_a_demand_that_comes_while_the_limit_is_lowered_is_covered_before_it_returns()
-> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let keep = ticket.acquire()?;
    let go = ticket.acquire_owned()?;
    let gate = rig.backend.gate();
    let releasing = Pending::spawn(move || drop(go));
    gate.wait_entered(1);
    let coming = acquiring(&ticket);
    gate.pass(1);
    gate.wait_entered(2);
    assert_eq!(rig.limit(), GIB, "the one that stayed is covered");
    coming.assert_pending();
    gate.open();
    let back = coming.result()?;
    assert_eq!(rig.limit(), 2 * GIB);
    releasing.result();
    drop((keep, back));
    rig.finish()
}

#[test]
fn r4_an_acquire_during_the_restoring_call_waits_for_its_own_raise() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let guard = ticket.acquire_owned()?;
    let gate = rig.backend.gate();
    let releasing = Pending::spawn(move || drop(guard));
    gate.wait_entered(1);
    let coming = acquiring(&ticket);
    gate.pass(1);
    // The restoring call has gone through; the raise is at the gate.
    gate.wait_entered(2);
    coming.assert_pending();
    assert_eq!(rig.limit(), 0);
    gate.open();
    let guard = coming.result()?;
    assert_eq!(rig.limit(), GIB);
    releasing.result();
    drop(guard);
    rig.finish()
}

#[test]
fn r5_many_acquires_before_the_first_call_returns_cost_two_calls() -> Result<(), Error> {
    const THREADS: usize = 16;
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(10_000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    let others: Vec<_> = (1..THREADS).map(|_| acquiring(&ticket)).collect();
    // Each has added its demand.
    until_started(&events, THREADS);
    gate.open();
    let mut guards = vec![first.result()?];
    for other in others {
        guards.push(other.result()?);
    }
    assert_eq!(rig.requested(), [10, 10 * THREADS as u64]);
    drop(guards);
    rig.finish()
}

#[test]
fn r5_a_burst_of_releases_costs_two_calls() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let mut guards = Vec::new();
    for _ in 0..16 {
        guards.push(ticket.acquire_owned()?);
    }
    let before = rig.calls();
    let gate = rig.backend.gate();
    let one = guards.pop();
    let first = Pending::spawn(move || drop(one));
    gate.wait_entered(1);
    // None of them waits for the call in flight.
    drop(guards);
    gate.open();
    first.result();
    assert_eq!(rig.requested()[before..], [150, 0]);
    rig.finish()
}

#[test]
fn r5_nothing_is_set_that_is_set_already() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(10), 1);
    let first = ticket.acquire()?;
    for _ in 0..10 {
        drop(ticket.acquire()?);
    }
    rig.manager.poke()?;
    rig.manager.maintain();
    assert_eq!(rig.requested(), [10]);
    drop(first);
    rig.finish()
}

#[test]
fn r5_a_hand_over_neither_lowers_nor_raises() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    drop(guard);
    let next = waiting.result()?;
    assert_eq!(rig.requested(), [10]);
    drop(next);
    rig.finish()
}

#[test]
fn r6_the_baseline_is_what_mlx_answered_and_comes_back_exactly() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(77), quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    assert_eq!(rig.requested(), [10, 87, 77]);
    drop(ticket.acquire()?);
    assert_eq!(rig.requested()[3..], [87, 77], "now it is known");
    rig.finish()
}

#[test]
fn r6_an_answer_that_changes_nothing_costs_no_second_call() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(77), quiet())?;
    drop(rig.ticket(&FixedPolicy::new(10), 1).acquire()?);
    assert_eq!(rig.requested(), [10, 77]);
    rig.finish()
}

/// Nobody knows whether MLX has the override.
#[test]
fn r6_under_an_override_the_first_limit_is_set_even_if_it_is_nothing() -> Result<(), Error> {
    let device = RecordingBackend::metal().initial_limit(5);
    let rig = Rig::on(device, quiet().baseline_override(7))?.restoring(7);
    let guard = rig.ticket(&FixedPolicy::new(0), 1).acquire_owned()?;
    assert_eq!(rig.requested(), [0]);
    drop(guard);
    assert_eq!(rig.requested(), [0, 7]);
    rig.finish()
}

#[test]
fn r6_an_override_takes_the_answers_place() -> Result<(), Error> {
    let rig = Rig::on(
        RecordingBackend::metal().initial_limit(77),
        quiet().baseline_override(20),
    )?
    .restoring(20);
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    assert_eq!(rig.requested(), [30, 20]);
    rig.finish()
}

#[test]
fn r6_a_foreign_change_is_reported_and_not_hidden() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let first = ticket.acquire()?;
    rig.backend.foreign_set(500);
    let second = ticket.acquire()?;
    let foreign = EventKind::ForeignLimit {
        expected: 10,
        found: 500,
    };
    assert!(kinds(&events).contains(&foreign));
    assert_eq!(rig.manager.stats().foreign_changes, 1);
    assert_eq!(rig.limit(), 20);
    drop((first, second));
    rig.finish()
}

#[test]
fn r6_a_foreign_change_between_epochs_becomes_the_baseline() -> Result<(), Error> {
    let rig = Rig::new(quiet())?.restoring(50);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    rig.backend.foreign_set(50);
    let guard = ticket.acquire()?;
    assert_eq!(rig.limit(), 60);
    drop(guard);
    assert_eq!(rig.manager.stats().foreign_changes, 1);
    rig.finish()
}

#[test]
fn r6_the_first_set_is_never_a_foreign_change() -> Result<(), Error> {
    for config in [quiet(), quiet().baseline_override(5)] {
        let rig = Rig::on(RecordingBackend::metal().initial_limit(77), config)?;
        let events = rig.manager.subscribe(1000);
        drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
        assert_eq!(rig.manager.stats().foreign_changes, 0);
        let foreign = |kind: &EventKind| matches!(kind, EventKind::ForeignLimit { .. });
        assert!(!kinds(&events).iter().any(foreign));
    }
    Ok(())
}

#[test]
fn r6_the_baseline_counts_while_it_is_being_captured() -> Result<(), Error> {
    // Two come before MLX has answered for the first time: both are covered over its answer.
    let rig = Rig::on(RecordingBackend::metal().initial_limit(77), quiet())?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    let second = acquiring(&ticket);
    until_started(&events, 2);
    gate.open();
    let guards = (first.result()?, second.result()?);
    assert_eq!(rig.limit(), 97);
    until("the shadow follows", || rig.manager.applied() == 97);
    drop(guards);
    rig.finish()
}
