//! mlxrs, `mlxrs/tests/memory_wired.rs`.
//!
//! Not ported: the two that test a measurement's fields and an unfinished `tune`.

use crate::context;
use crate::kit::{GIB, Pending, Rig, quiet};
use mlx_wired::ffi::{RecordingBackend, Support};
use mlx_wired::{BudgetPolicy, Error, FixedPolicy, PeakPolicy, Policy, PolicyId, Sizes, SumPolicy};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;

// Policies.

#[test]
fn wired_sum_policy_clamps_to_cap() -> Result<(), Error> {
    crate::a_sum_is_capped()
}

#[test]
fn wired_sum_policy_below_cap() -> Result<(), Error> {
    let (policy, context) = (SumPolicy::capped(1000), context(100)?);
    let live = Sizes::of(&[75, 50]);
    assert_eq!(policy.limit(&context, &live), 225);
    assert!(policy.can_admit(&context, &live, 700));
    Ok(())
}

#[test]
fn wired_sum_policy_empty_active_returns_baseline() -> Result<(), Error> {
    let limit = SumPolicy::capped(500).limit(&context(100)?, &Sizes::EMPTY);
    assert_eq!(limit, 100);
    Ok(())
}

/// There without a recommendation nothing clamps; here the device's budget does, on every device.
#[test]
fn wired_sum_policy_no_cap_clamps_to_recommended_if_available() -> Result<(), Error> {
    let (policy, context) = (SumPolicy::new(), context(100)?);
    let recommended = context.budget.expect("Metal recommends");
    assert_eq!(policy.limit(&context, &Sizes::of(&[75, 50])), 225);
    let over = [recommended];
    assert_eq!(policy.limit(&context, &Sizes::of(&over)), recommended);
    Ok(())
}

#[test]
fn wired_max_policy_max_active_or_baseline() -> Result<(), Error> {
    crate::a_peak_is_the_largest_or_the_baseline()
}

#[test]
fn wired_max_policy_empty_active_returns_baseline() -> Result<(), Error> {
    assert_eq!(PeakPolicy.limit(&context(100)?, &Sizes::EMPTY), 100);
    Ok(())
}

#[test]
fn wired_max_policy_admits_unconditionally() -> Result<(), Error> {
    assert!(PeakPolicy.can_admit(&context(100)?, &Sizes::EMPTY, u64::MAX / 2));
    assert!(!PeakPolicy.can_refuse());
    Ok(())
}

#[test]
fn wired_fixed_policy_returns_limit() -> Result<(), Error> {
    crate::a_fixed_limit_ignores_sizes()
}

#[test]
fn wired_fixed_policy_admits_unconditionally() -> Result<(), Error> {
    let policy = FixedPolicy::new(100);
    assert!(policy.can_admit(&context(0)?, &Sizes::EMPTY, u64::MAX));
    assert!(!policy.can_refuse());
    Ok(())
}

#[test]
fn wired_budget_policy_identity_and_cap_behavior() -> Result<(), Error> {
    let policy = |id, base, cap| {
        let policy = BudgetPolicy::new(base).with_cap(cap);
        policy.with_id(PolicyId::named(id))
    };
    let first = policy("shared", 100, 300);
    assert_eq!(first.id(), policy("shared", 999, 999).id());
    assert_ne!(first.id(), policy("other", 100, 300).id());
    crate::a_budget_has_a_base_and_a_cap(&first)
}

#[test]
fn wired_budget_policy_auto_id_is_unique() {
    let (a, b) = (BudgetPolicy::new(100), BudgetPolicy::new(100));
    assert_ne!(a, b);
    assert_ne!(a.id(), b.id());
    // There a string of the same letters would be the same id.
    assert_ne!(a.id(), PolicyId::named("auto-0"));
}

#[test]
fn wired_budget_policy_hash_matches_eq() {
    let policy = |base| BudgetPolicy::new(base).with_id(PolicyId::named("hash"));
    let ids: HashSet<PolicyId> = [policy(100).id(), policy(999).id()].into();
    assert_eq!(ids.len(), 1);
    // The policies are values: equal if all of them is.
    let policies: HashSet<BudgetPolicy> = [policy(100), policy(100), policy(999)].into();
    assert_eq!(policies.len(), 2);
}

// The guard, here `Manager::wire_max`.

const RECOMMENDED: u64 = 48 * GIB;
const BEFORE: u64 = RECOMMENDED / 2;

fn rig() -> Result<Rig, Error> {
    Rig::on(RecordingBackend::metal().initial_limit(BEFORE), quiet())
}

/// There `None` says that there is no wired memory; here there is always a guard, which says that it wires nothing.
#[test]
fn wired_limit_guard_install_succeeds_or_returns_none() -> Result<(), Error> {
    let unsupported = RecordingBackend::metal().support(Support::SystemTooOld);
    for (device, wired) in [
        (RecordingBackend::metal(), true),
        (RecordingBackend::cpu(), false),
        (RecordingBackend::cuda(), false),
        (unsupported, false),
    ] {
        let rig = Rig::on(device, quiet())?;
        assert_eq!(rig.manager.wire_max(0)?.is_wired(), wired);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn wired_limit_guard_drop_restores_old_limit() -> Result<(), Error> {
    let rig = rig()?;
    let guard = rig.manager.wire_max(0)?;
    assert_eq!(rig.limit(), RECOMMENDED);
    drop(guard);
    assert_eq!(rig.limit(), BEFORE);
    rig.finish()
}

#[test]
fn concurrent_install_drop_restores_correct_old_limit_per_owner() -> Result<(), Error> {
    let rig = rig()?;
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..32 {
                    let guard = rig.manager.wire_max(0).expect("a guard each time");
                    assert!(guard.is_wired());
                    assert_eq!(rig.limit(), RECOMMENDED);
                }
            });
        }
    });
    assert_eq!(rig.limit(), BEFORE);
    rig.finish()
}

#[test]
fn sequential_install_then_install_then_drop_first_still_protects_second_guard() -> Result<(), Error>
{
    let rig = rig()?;
    let first = rig.manager.wire_max(0)?;
    let second = rig.manager.wire_max(0)?;
    drop(first);
    assert_eq!(rig.limit(), RECOMMENDED);
    assert!(second.is_wired());
    drop(second);
    assert_eq!(rig.limit(), BEFORE);
    rig.finish()
}

#[test]
fn scoped_threads_t1_drop_first_does_not_revoke_t2_protection() -> Result<(), Error> {
    let rig = rig()?;
    let [both, one] = [(); 2].map(|()| Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let guard = rig.manager.wire_max(0).expect("a guard");
            both.wait();
            drop(guard);
            one.wait();
        });
        scope.spawn(|| {
            let guard = rig.manager.wire_max(0).expect("a guard");
            both.wait();
            one.wait();
            assert_eq!(rig.limit(), RECOMMENDED);
            assert!(guard.is_wired());
        });
    });
    assert_eq!(rig.limit(), BEFORE);
    rig.finish()
}

#[test]
fn concurrent_install_returns_some_guard_not_none_when_already_installed() -> Result<(), Error> {
    let rig = rig()?;
    let first = rig.manager.wire_max(0)?;
    let manager = rig.manager.clone();
    let second = Pending::spawn(move || manager.wire_max(0)).result()?;
    assert!(second.is_wired());
    drop(second);
    drop(first);
    assert_eq!(rig.limit(), BEFORE);
    rig.finish()
}

#[test]
fn refcounted_guard_drop_does_not_restore_until_last_drop() -> Result<(), Error> {
    let rig = rig()?;
    let (a, b) = (rig.manager.wire_max(0)?, rig.manager.wire_max(0)?);
    drop(a);
    assert_eq!(rig.limit(), RECOMMENDED);
    drop(b);
    assert_eq!(rig.limit(), BEFORE);
    assert_eq!(rig.calls(), 2);
    rig.finish()
}

/// There the thread's streams are gone; here the synchronisation fails, then panics.
#[test]
fn wired_limit_guard_drop_after_stream_cleanup_does_not_panic_and_still_restores()
-> Result<(), Error> {
    let rig = rig()?;
    rig.backend.fail_synchronize(true);
    drop(rig.manager.wire_max(0)?);
    assert_eq!(rig.limit(), BEFORE);
    rig.backend.panic_synchronize(true);
    drop(rig.manager.wire_max(0)?);
    assert_eq!(rig.limit(), BEFORE);
    assert_eq!(rig.backend.synchronizations().len(), 2);
    rig.finish()
}

#[test]
fn wired_limit_guard_drop_during_panic_does_not_double_panic() -> Result<(), Error> {
    let rig = rig()?;
    rig.backend.panic_synchronize(true);
    let scope = AssertUnwindSafe(|| {
        let _guard = rig.manager.wire_max(0).expect("a guard");
        panic!("with a live guard");
    });
    let payload = catch_unwind(scope).expect_err("it panics");
    assert_eq!(payload.downcast_ref(), Some(&"with a live guard"));
    assert_eq!(rig.limit(), BEFORE);
    rig.finish()
}

// The recommendation.

#[test]
fn recommended_working_set_bytes_returns_ok() {
    // A machine without MLX is asked too, and does not fail.
    let recommended = mlx_wired::ffi::device().max_recommended_working_set_size;
    assert!(recommended.is_none_or(|bytes| bytes > 0));
}

#[test]
fn recommended_working_set_bytes_returns_some_on_metal() -> Result<(), Error> {
    let rig = rig()?;
    let recommended = rig.manager.device().max_recommended_working_set_size;
    assert_eq!(recommended, Some(RECOMMENDED));
    assert_eq!(rig.manager.ceiling(), Some(RECOMMENDED));
    if cfg!(target_os = "macos") {
        let device = mlx_wired::ffi::device();
        assert!(device.max_recommended_working_set_size > Some(0));
    }
    Ok(())
}
