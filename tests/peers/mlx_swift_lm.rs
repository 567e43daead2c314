//! mlx-swift-lm, `WiredMemoryPolicyTests.swift` and `WiredMemoryIntegrationTests.swift`.
//!
//! Where an original generates text, a closure stands for the model. Not ported: what tests the generation itself
//! (`testConcurrentInferencesDefaultWiredMemory`, which takes no ticket) or measures a model
//! (`testMeasurementBudgetNotBelowPeak`).

use crate::kit::{Custom, MIB, Pending, Rig, kinds, next, quiet};
use crate::{double, sum};
use mlx_wired::{BudgetPolicy, Error, Event, EventKind, Policy, PolicyId, SumPolicy};
use std::sync::mpsc;

/// `testWiredSumPolicyCapAffectsLimitAndAdmission`
#[test]
fn test_wired_sum_policy_cap_affects_limit_and_admission() -> Result<(), Error> {
    crate::a_sum_is_capped()
}

/// `testWiredMaxPolicyReturnsLargestDemandOrBaseline`
#[test]
fn test_wired_max_policy_returns_largest_demand_or_baseline() -> Result<(), Error> {
    crate::a_peak_is_the_largest_or_the_baseline()
}

/// `testWiredFixedPolicyIgnoresActiveSizes`
#[test]
fn test_wired_fixed_policy_ignores_active_sizes() -> Result<(), Error> {
    crate::a_fixed_limit_ignores_sizes()
}

/// `testWiredBudgetPolicyIdentityAndCapBehavior`
#[test]
fn test_wired_budget_policy_identity_and_cap_behavior() -> Result<(), Error> {
    let id = PolicyId::unique();
    let policy = |base, cap| BudgetPolicy::new(base).with_cap(cap).with_id(id.clone());
    let (first, second) = (policy(100, 300), policy(999, 999));
    assert_eq!(first.id(), second.id());
    assert_ne!(first.id(), BudgetPolicy::new(100).with_cap(300).id());
    // There they are equal values too, which hides that they differ.
    assert_ne!(first, second);
    crate::a_budget_has_a_base_and_a_cap(&first)
}

/// `testWiredMemoryPolicyStackingAndCustomPolicies`, with the library's own sum.
#[test]
fn test_wired_memory_policy_stacking_and_custom_policies() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let sum = rig.ticket(&SumPolicy::new(), 64 * MIB);
    let custom = rig.ticket(&double(), 96 * MIB);
    let (first, second) = (sum.acquire()?, sum.acquire()?);
    let third = custom.acquire()?;
    assert_eq!(rig.requested(), [64, 128, 192].map(|limit| limit * MIB));
    drop((third, second, first));
    rig.finish()
}

/// `testGenerateEmitsTicketLifecycleEvents`
#[test]
fn test_generate_emits_ticket_lifecycle_events() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::new(), 64 * MIB);
    let limit = ticket.with(|_| rig.limit())?;
    assert_eq!(limit, 64 * MIB, "raised while it works");
    let told: Vec<Event> = events.drain().collect();
    for kind in [EventKind::TicketStarted, EventKind::TicketEnded] {
        let of_ticket = told
            .iter()
            .filter(|event| event.kind == kind && event.ticket == Some(ticket.id()));
        assert_eq!(of_ticket.count(), 1, "{kind:?}");
    }
    rig.finish()
}

/// `testAdmissionGatingSerializesInference`
#[test]
fn test_admission_gating_serializes_inference() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    // One guard of 64 MiB at a time.
    let single = Custom::capped(64 * MIB).named("single");
    let tickets = [64 * MIB; 2].map(|size| rig.ticket(&single, size));
    let (finish, finished) = mpsc::channel();
    let first = tickets[0].clone();
    let inference = Pending::spawn(move || {
        let held = first.acquire()?;
        finished.recv().expect("the test says when");
        drop(held);
        Ok::<_, Error>(())
    });
    let started = next(&events, |kind| *kind == EventKind::TicketStarted);
    assert_eq!(started.ticket, Some(tickets[0].id()));
    let second = rig.queued(&tickets[1]);
    let waits = next(&events, |kind| *kind == EventKind::AdmissionWait);
    assert_eq!(waits.ticket, Some(tickets[1].id()));
    second.assert_pending();
    finish.send(()).expect("it works");
    inference.result()?;
    drop(second.result()?);
    let told = kinds(&events);
    let position = |kind| told.iter().position(|other| *other == kind);
    assert!(
        position(EventKind::TicketEnded) < position(EventKind::TicketStarted),
        "{told:?}"
    );
    rig.finish()
}

/// `testSharedWeightsAcrossPoliciesUsesMaxNotSum`
#[test]
fn test_shared_weights_across_policies_uses_max_not_sum() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = |name| {
        let weights = 256 * MIB;
        sum(name).limits(move |context, live| context.baseline + weights + live.sum)
    };
    let embed = rig.ticket(&policy("embedding"), 64 * MIB);
    let chat = rig.ticket(&policy("chat"), 192 * MIB);
    let held = (embed.acquire()?, chat.acquire()?);
    assert_eq!(rig.requested(), [320, 448].map(|limit| limit * MIB));
    drop(held);
    rig.finish()
}
