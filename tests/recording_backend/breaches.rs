//! Each breach of the rules is noticed.

use super::{GIB, only_violation};
use mlx_wired::ffi::{Backend, Outcome, RecordingBackend, Support};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_limit_above_the_ceiling_fails_as_on_metal_and_is_a_breach() {
    let backend = RecordingBackend::metal().recommended(48 * GIB).build();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    let error = backend.set_wired_limit(48 * GIB + 1).unwrap_err();
    assert_eq!(error.code, Some(1));
    assert!(error.message.unwrap().contains("maximum working set size"));
    assert_eq!(backend.current_limit(), GIB);
    assert_eq!(backend.calls()[1].outcome, Outcome::Failed);
    let violation = only_violation(&backend);
    assert!(violation.contains("above the ceiling"), "{violation}");
    assert!(violation.contains("call 2"), "{violation}");
}

#[test]
fn the_memory_size_is_a_ceiling_too() {
    let backend = RecordingBackend::metal()
        .recommended(64 * GIB)
        .memory_size(64 * GIB)
        .build();
    assert_eq!(backend.set_wired_limit(64 * GIB - 1), Ok(0));
    backend.assert_rules();
    // MLX itself would accept it.
    assert_eq!(backend.set_wired_limit(64 * GIB), Ok(64 * GIB - 1));
    assert!(only_violation(&backend).contains("above the ceiling"));
}

#[test]
fn a_stricter_ceiling_bounds_demands_but_not_what_others_had_set() {
    let backend = RecordingBackend::metal()
        .initial_limit(20 * GIB)
        .expect_ceiling(10 * GIB)
        .build();
    assert_eq!(backend.set_wired_limit(10 * GIB), Ok(20 * GIB));
    // Somebody else's limit is set back.
    assert_eq!(backend.set_wired_limit(20 * GIB), Ok(10 * GIB));
    backend.assert_rules();
    assert_eq!(backend.set_wired_limit(20 * GIB + 1), Ok(20 * GIB));
    assert!(only_violation(&backend).contains("above the ceiling"));
}

#[test]
fn concurrent_calls_are_a_breach() {
    let backend = RecordingBackend::metal().build();
    let gate = backend.gate();
    thread::scope(|s| {
        // In here, so that a failure opens it.
        let gate = gate;
        s.spawn(|| backend.set_wired_limit(GIB));
        gate.wait_entered(1);
        backend.assert_rules();
        assert_eq!(backend.calls()[0].outcome, Outcome::InFlight);

        s.spawn(|| backend.set_wired_limit(2 * GIB));
        gate.wait_entered(2);
        assert_eq!(gate.entered(), 2);
        gate.open();
    });
    let violation = only_violation(&backend);
    assert!(violation.contains("in flight"), "{violation}");
    assert_eq!(backend.call_count(), 2);
}

#[test]
fn a_call_with_a_cost_is_in_flight_meanwhile() {
    let backend = RecordingBackend::metal()
        .cost(Duration::from_millis(20))
        .build();
    let start = Instant::now();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(20));
    backend.set_cost(Duration::ZERO);
    assert_eq!(backend.set_wired_limit(0), Ok(GIB));
    backend.assert_rules();
}

#[test]
fn calls_one_after_another_from_many_threads_are_none() {
    let backend = RecordingBackend::metal().build();
    for n in 0..8 {
        thread::scope(|s| {
            s.spawn(|| backend.set_wired_limit(n * GIB).unwrap());
        });
    }
    assert_eq!(backend.call_count(), 8);
    backend.assert_rules();
}

#[test]
fn a_burst_is_held_together() {
    const THREADS: usize = 16;
    let backend = RecordingBackend::metal().build();
    let gate = backend.gate();
    let start = Barrier::new(THREADS);
    thread::scope(|s| {
        // In here, so that a failure opens it.
        let gate = gate;
        for n in 0..THREADS as u64 {
            let (backend, start) = (&backend, &start);
            s.spawn(move || {
                start.wait();
                backend.set_wired_limit(n).unwrap();
            });
        }
        gate.wait_entered(THREADS);
        assert_eq!(backend.current_limit(), 0);
        gate.open();
    });
    // All but the first began beside others.
    assert_eq!(backend.violations().len(), THREADS - 1);
    let mut requested: Vec<_> = backend.calls().iter().map(|c| c.requested).collect();
    requested.sort_unstable();
    assert!(requested.into_iter().eq(0..THREADS as u64));
}

#[test]
fn a_call_to_a_device_without_wired_memory_is_a_breach() {
    for (backend, support) in [
        (RecordingBackend::cuda().build(), Support::NoWiredMemory),
        (RecordingBackend::cpu().build(), Support::NoWiredMemory),
    ] {
        assert_eq!(backend.device().support, support);
        // Like MLX: it succeeds, does nothing, and answers 0.
        assert_eq!(backend.set_wired_limit(GIB), Ok(0));
        assert_eq!(backend.set_wired_limit(0), Ok(0));
        assert_eq!(backend.current_limit(), 0);
        assert_eq!(backend.calls()[0].outcome, Outcome::Ignored);
        assert_eq!(backend.violations().len(), 2);
        assert!(backend.violations()[1].contains("no wired memory"));
    }
}

#[test]
fn forbidden_calls_are_a_breach() {
    let backend = RecordingBackend::metal().build();
    backend.forbid_calls();
    assert_eq!(backend.set_wired_limit(0), Ok(0));
    assert!(only_violation(&backend).contains("forbidden"));
    backend.allow_calls();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    assert_eq!(backend.violations().len(), 1);
}

#[test]
fn needless_calls_are_counted() {
    let backend = RecordingBackend::metal().initial_limit(GIB).build();
    // Nobody can know what is in force before the first call.
    assert_eq!(backend.set_wired_limit(GIB), Ok(GIB));
    assert_eq!(backend.redundant_calls(), 0);
    assert_eq!(backend.set_wired_limit(GIB), Ok(GIB));
    assert_eq!(backend.redundant_calls(), 1);
    // Nor after somebody else's.
    assert_eq!(backend.foreign_set(2 * GIB), GIB);
    assert_eq!(backend.set_wired_limit(2 * GIB), Ok(2 * GIB));
    assert_eq!(backend.redundant_calls(), 1);
    // A call that failed changed nothing.
    backend.fail_next(1);
    assert!(backend.set_wired_limit(2 * GIB).is_err());
    assert_eq!(backend.redundant_calls(), 1);
    backend.assert_rules();
}

#[test]
fn it_can_be_dropped_with_breaches() {
    let backend = RecordingBackend::cpu().build();
    assert_eq!(backend.set_wired_limit(1), Ok(0));
    assert!(!backend.violations().is_empty());
    drop(backend);
}
