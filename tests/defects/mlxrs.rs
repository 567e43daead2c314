//! mlxrs's.

use crate::kit::{GIB, Rig, again, is_again, quiet};
use mlx_wired::ffi::{Backend, RecordingBackend};
use mlx_wired::{Error, EventKind, Policy, PolicyId, Sizes, SumPolicy};
use std::sync::Arc;
use std::sync::Mutex;

/// A guard that was forgotten keeps its demand; there nobody can see it.
#[test]
fn a_forgotten_guard_is_listed_with_its_place() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 3 * GIB);
    let line = line!() + 1;
    std::mem::forget(ticket.label("forgotten").acquire_owned()?);
    let holders = rig.manager.holders();
    assert_eq!(holders.len(), 1);
    assert_eq!((holders[0].bytes, holders[0].place.line()), (3 * GIB, line));
    assert_eq!(holders[0].label.as_deref(), Some("forgotten"));
    Ok(())
}

/// Sums of sizes are unchecked there: they panic in debug builds, and wrap in release builds, where what cannot fit is
/// admitted.
#[test]
fn sums_of_sizes_saturate_and_refuse() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let sizes = [u64::MAX, u64::MAX, 7];
    let live = Sizes::of(&sizes);
    assert_eq!(live.sum, u64::MAX);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let probe = crate::kit::Custom::new().admits(move |context, _, _| {
        let (policy, live) = (SumPolicy::capped(200), Sizes::of(&[u64::MAX, u64::MAX, 7]));
        let answers = (
            policy.can_admit(context, &live, 1),
            policy.limit(context, &live),
        );
        tell.lock().expect("nobody panics").push(answers);
        true
    });
    drop(rig.ticket(&probe, 1).acquire()?);
    assert_eq!(
        told.lock().expect("nobody panics").first(),
        Some(&(false, 200))
    );
    // A capped policy without room refuses what would wrap.
    let ticket = rig.ticket(&SumPolicy::capped(u64::MAX - 1), u64::MAX);
    ticket.try_acquire().expect_err("above its cap");
    rig.finish()
}

/// Every policy but one has the id "" there, and ids that are made share their names with users'.
#[test]
fn ids_of_different_kinds_never_meet() {
    let ids = [
        SumPolicy::new().id(),
        mlx_wired::MaxPolicy::new().id(),
        mlx_wired::PeakPolicy.id(),
        mlx_wired::FixedPolicy::new(0).id(),
        mlx_wired::BudgetPolicy::new(0).id(),
        PolicyId::named(""),
        PolicyId::named("auto-0"),
        PolicyId::of(&String::new()),
        PolicyId::unique(),
    ];
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "{id:?}");
    }
}

/// MLX resets its record of the peak to 0, below what is active.
#[test]
fn the_peak_is_never_below_what_is_active() {
    let backend = RecordingBackend::metal().build();
    for (recorded, active, peak) in [(0, 5, 5), (9, 5, 9), (5, 5, 5)] {
        backend.update_memory(|counters| {
            counters.recorded_peak = recorded;
            counters.active = active;
        });
        let counters = backend.memory().expect("the counters can be read");
        assert_eq!(counters.peak(), peak);
    }
}

/// There, a model near the ceiling prints a warning each time.
#[test]
fn a_model_near_the_ceiling_prints_nothing() -> Result<(), Error> {
    if is_again() {
        let rig = Rig::new(quiet())?;
        let events = rig.manager.subscribe(100);
        drop(rig.manager.wire_max(47 * GIB)?);
        let warned = |kind: &EventKind| matches!(kind, EventKind::ModelNearCeiling { .. });
        assert!(events.drain().any(|event| warned(&event.kind)));
        return rig.finish();
    }
    let test = "mlxrs::a_model_near_the_ceiling_prints_nothing";
    let (printed, errors) = again(test, &[]);
    assert_eq!(errors, "");
    let test_line = format!("test {test} ... ok");
    let harness = |line: &str| {
        line.is_empty() || line.starts_with("running 1 test") || line.starts_with("test result")
    };
    for line in printed.lines() {
        assert!(line == test_line || harness(line), "{line}");
    }
    Ok(())
}
