//! The peers' own tests, ported by what they show and named after their originals.
//!
//! The originals need a Mac with a GPU, or a model; these run on the recording backend with a fake clock.

#[path = "../kit/mod.rs"]
mod kit;
mod mlx;
mod mlx_swift;
mod mlx_swift_lm;
mod mlxrs;

use kit::{Custom, Rig, quiet};
use mlx_wired::{
    BudgetPolicy, Context, Error, EventKind, FixedPolicy, PeakPolicy, Policy, Sizes, SumPolicy,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A sum under a name of its own: what the originals define in each test.
fn sum(name: &str) -> Custom {
    Custom::new().named(name)
}

/// Twice its sum.
fn double() -> Custom {
    sum("double").limits(|context, live| context.baseline + 2 * live.sum)
}

/// What a policy is told on Metal with 48 GiB recommended when the baseline is `baseline`: the originals call policies
/// with numbers of their own.
fn context(baseline: u64) -> Result<Context, Error> {
    let rig = Rig::new(quiet().baseline_override(baseline))?;
    let told = Arc::new(Mutex::new(None));
    let tell = told.clone();
    let probe = Custom::new().admits(move |context, _, _| {
        *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.clone());
        true
    });
    drop(rig.ticket(&probe, 1).acquire()?);
    let context = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(context.expect("the policy is asked"))
}

fn is_failure(kind: &EventKind) -> bool {
    matches!(kind, EventKind::LimitApplyFailed(_))
}

// What both mlx-swift-lm and mlxrs test of their policies.

fn a_sum_is_capped() -> Result<(), Error> {
    let (policy, context) = (SumPolicy::capped(200), context(100)?);
    assert_eq!(policy.limit(&context, &Sizes::of(&[100, 50])), 200);
    assert!(policy.can_admit(&context, &Sizes::of(&[50]), 50));
    assert!(!policy.can_admit(&context, &Sizes::of(&[50]), 51));
    Ok(())
}

fn a_peak_is_the_largest_or_the_baseline() -> Result<(), Error> {
    let live = Sizes::of(&[150, 60, 20]);
    assert_eq!(PeakPolicy.limit(&context(100)?, &live), 150);
    assert_eq!(PeakPolicy.limit(&context(200)?, &live), 200);
    Ok(())
}

fn a_fixed_limit_ignores_sizes() -> Result<(), Error> {
    let policy = FixedPolicy::new(123);
    assert_eq!(policy.limit(&context(0)?, &Sizes::EMPTY), 123);
    assert_eq!(policy.limit(&context(500)?, &Sizes::of(&[3, 2, 1])), 123);
    Ok(())
}

/// Of one with a base of 100 and a cap of 300.
fn a_budget_has_a_base_and_a_cap(policy: &BudgetPolicy) -> Result<(), Error> {
    let (context, live) = (context(50)?, Sizes::of(&[75]));
    assert_eq!(policy.limit(&context, &live), 225);
    assert!(policy.can_admit(&context, &live, 75));
    assert!(!policy.can_admit(&context, &live, 76));
    Ok(())
}
