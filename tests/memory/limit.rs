//! Several parts of a program that set the limit of MLX's cache: pressure, a training run.

use super::Stage;
use crate::kit::{MIB, on};
use mlx_wired::Manager;
use mlx_wired::PressureLevel::Normal;
use mlx_wired::ffi::{Backend, CacheLimit, MemorySetting, RecordingBackend};
use mlx_wired::memory::Subscription;
use mlx_wired::train::{Limit, Run};
use std::sync::Arc;

/// A run whose steps need 100 MiB for a while: its governor makes the limit 200 MiB at the third.
fn governed(manager: &Manager, backend: &RecordingBackend) -> Run {
    let run = Run::builder().manager(manager).start();
    let run = run.expect("nothing is in the way");
    steps(&run, backend, 3);
    run
}

fn steps(run: &Run, backend: &RecordingBackend, count: usize) {
    for _ in 0..count {
        let step = run.step(|| {
            backend.update_memory(|memory| memory.recorded_peak = memory.active + 100 * MIB);
            Ok::<(), mlx_wired::Error>(())
        });
        step.expect("it does nothing");
    }
}

/// A device, its manager, and a monitor of which MLX's cache is a reaction.
fn with_manager() -> (Arc<RecordingBackend>, Manager, Stage, Subscription) {
    let (manager, backend) = on(RecordingBackend::cpu());
    backend
        .set_cache_limit(4096 * MIB)
        .expect("no fault is armed");
    backend.update_memory(|memory| memory.cache = 400 * MIB);
    let stage = Stage::new();
    let subscription = stage.pressure.mlx_cache(&manager);
    (backend, manager, stage, subscription)
}

fn recovers(stage: &Stage) {
    for _ in 0..31 {
        stage.poll(0.1);
    }
    assert_eq!(stage.pressure.level(), Normal);
}

/// A run and the pressure begin and end in whatever order: what was there before both is back in the end, and meanwhile the
/// lower of what both want is in force.
#[test]
fn a_training_run_and_the_pressure_put_back_what_was_there_before_both() {
    // The run begins and ends under pressure.
    let (backend, manager, stage, _cache) = with_manager();
    let limit = || backend.cache_limit() / MIB;
    stage.poll(0.96);
    let run = governed(&manager, &backend);
    assert_eq!(limit(), 0, "the governor does not undo it");
    run.finish().expect("all comes back");
    assert_eq!(limit(), 0, "nor the end of the run");
    recovers(&stage);
    assert_eq!(limit(), 4096);

    // It begins under pressure, and ends after it.
    stage.poll(0.96);
    let run = governed(&manager, &backend);
    recovers(&stage);
    assert_eq!(limit(), 200, "what the governor wants");
    run.finish().expect("all comes back");
    assert_eq!(limit(), 4096);

    // It begins before, and its governor decides under pressure.
    let run = Run::builder().manager(&manager).start();
    let run = run.expect("nothing is in the way");
    stage.poll(0.86);
    steps(&run, &backend, 3);
    assert!(limit() < 200);
    recovers(&stage);
    assert_eq!(limit(), 200);
    run.finish().expect("all comes back");
    assert_eq!(limit(), 4096);

    // All of the pressure is within the run.
    let run = governed(&manager, &backend);
    stage.poll(0.96);
    assert_eq!(limit(), 0);
    recovers(&stage);
    assert_eq!(limit(), 200);
    // It ends under pressure that began within it.
    stage.poll(0.96);
    run.finish().expect("all comes back");
    recovers(&stage);
    assert_eq!(limit(), 4096);
}

/// As when there is none: the program's own stays.
#[test]
fn a_run_that_keeps_the_limit_learns_the_one_without_pressure() {
    let (backend, manager, stage, _cache) = with_manager();
    stage.poll(0.96);
    let calls = backend.memory_calls().len();
    let run = Run::builder().manager(&manager).cache_limit(Limit::Keep);
    let run = run.start().expect("nothing is in the way");
    assert_eq!(
        backend.memory_calls().len(),
        calls,
        "the low one is not lifted for that"
    );
    run.finish().expect("all comes back");
    recovers(&stage);
    assert_eq!(backend.cache_limit(), 4096 * MIB);
}

/// What MLX refuses is not said: it is not in force later either.
#[test]
fn a_say_that_is_refused_is_none() {
    let (backend, manager, _stage, _cache) = with_manager();
    let [one, other] = [(); 2].map(|()| CacheLimit::of(manager.backend()));
    one.lower_to(100).expect("no fault is armed");
    backend.fail_setting(MemorySetting::CacheLimit, true);
    other.lower_to(50).expect_err("a fault is armed");
    one.lower_to(70).expect_err("a fault is armed");
    backend.fail_setting(MemorySetting::CacheLimit, false);
    assert_eq!(one.lower_to(80), Ok(80));
    assert_eq!(one.before(), Ok(4096 * MIB));
    // One that cannot be put back is put back with the next change.
    backend.panic_setting(MemorySetting::CacheLimit, true);
    drop(one);
    backend.panic_setting(MemorySetting::CacheLimit, false);
    assert_eq!(backend.cache_limit(), 80);
    assert_eq!(other.set(90), Ok(90));
    drop(other);
    assert_eq!(backend.cache_limit(), 4096 * MIB);
}
