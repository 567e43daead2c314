//! The recording backend: it behaves like Metal, and each breach of the rules is noticed.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use mlx_wired::ffi::{
    Backend, Device, DeviceKind, MLX_WIRED_LIMIT, MemoryCounters, Outcome, RecordingBackend,
    Support,
};

const GIB: u64 = 1 << 30;

/// What a panic says.
fn panic_message(f: impl FnOnce()) -> String {
    let payload = panic::catch_unwind(AssertUnwindSafe(f)).expect_err("it does not panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast::<&str>().map(|s| (*s).to_owned()).unwrap(),
    }
}

fn only_violation(backend: &RecordingBackend) -> String {
    let violations = backend.violations();
    assert_eq!(violations.len(), 1, "{violations:?}");
    let message = panic_message(|| backend.assert_rules());
    assert!(message.contains(&violations[0]), "{message}");
    violations.into_iter().next().unwrap()
}

#[test]
fn the_setter_returns_the_previous_limit() {
    let backend = RecordingBackend::metal().initial_limit(3 * GIB).build();
    assert_eq!(backend.set_wired_limit(4 * GIB), Ok(3 * GIB));
    assert_eq!(backend.set_wired_limit(0), Ok(4 * GIB));
    assert_eq!(backend.set_wired_limit(48 * GIB), Ok(0));
    assert_eq!(backend.current_limit(), 48 * GIB);

    let calls = backend.calls();
    assert_eq!(backend.call_count(), calls.len());
    let seen: Vec<_> = calls.iter().map(|c| (c.previous, c.requested)).collect();
    assert_eq!(seen, [(3 * GIB, 4 * GIB), (4 * GIB, 0), (0, 48 * GIB)]);
    for call in calls {
        assert_eq!(call.outcome, Outcome::Applied);
        assert_eq!(call.thread, thread::current().id());
    }
    backend.assert_rules();
}

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
fn an_old_system_keeps_the_number_and_wires_nothing() {
    let backend = RecordingBackend::metal()
        .support(Support::SystemTooOld)
        .build();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    assert_eq!(backend.current_limit(), GIB);
    assert!(only_violation(&backend).contains("macOS 15"));
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
fn somebody_else_sets_the_limit() {
    let backend = RecordingBackend::metal().build();
    assert_eq!(backend.set_wired_limit(4 * GIB), Ok(0));
    assert_eq!(backend.foreign_set(7 * GIB), 4 * GIB);
    assert_eq!(backend.current_limit(), 7 * GIB);
    assert_eq!(backend.set_wired_limit(5 * GIB), Ok(7 * GIB));
    assert_eq!(backend.call_count(), 2);
    backend.assert_rules();
}

#[test]
fn calls_fail_by_number_by_count_by_switch_and_by_condition() {
    let backend = RecordingBackend::metal()
        .fail_call(2)
        .fail_when(|limit, previous| limit == 9 * GIB && previous == GIB)
        .build();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    let error = backend.set_wired_limit(2 * GIB).unwrap_err();
    assert!(error.call.contains("set_wired_limit(2147483648)"));
    assert!(error.code.is_some());
    assert!(backend.set_wired_limit(9 * GIB).is_err());
    assert_eq!(backend.set_wired_limit(8 * GIB), Ok(GIB));
    assert_eq!(backend.set_wired_limit(9 * GIB), Ok(8 * GIB));

    backend.fail_next(2);
    assert!(backend.set_wired_limit(0).is_err());
    assert!(backend.set_wired_limit(0).is_err());
    assert_eq!(backend.set_wired_limit(0), Ok(9 * GIB));

    backend.set_failing(true);
    assert!(backend.set_wired_limit(GIB).is_err());
    assert_eq!(backend.current_limit(), 0);
    backend.set_failing(false);
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));

    let failed = backend
        .calls()
        .iter()
        .filter(|c| c.outcome == Outcome::Failed)
        .count();
    assert_eq!(failed, 5);
    backend.assert_rules();
}

#[test]
fn a_call_that_panics_is_no_longer_in_flight() {
    let backend = RecordingBackend::metal()
        .panic_call(1)
        .fail_when(|limit, _| {
            assert_ne!(limit, 3 * GIB, "the condition itself panics");
            false
        })
        .build();
    let message = panic_message(|| drop(backend.set_wired_limit(GIB)));
    assert!(message.contains("call 1"), "{message}");
    assert_eq!(backend.current_limit(), 0);

    backend.panic_next(1);
    panic_message(|| drop(backend.set_wired_limit(2 * GIB)));
    panic_message(|| drop(backend.set_wired_limit(3 * GIB)));

    assert_eq!(backend.set_wired_limit(4 * GIB), Ok(0));
    let outcomes: Vec<_> = backend.calls().iter().map(|c| c.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Panicked,
            Outcome::Panicked,
            Outcome::Panicked,
            Outcome::Applied
        ]
    );
    // Nobody was in flight beside another.
    backend.assert_rules();
}

#[test]
fn a_condition_may_look_at_the_backend() {
    let slot: Arc<std::sync::OnceLock<Arc<RecordingBackend>>> = Arc::default();
    let inner = Arc::clone(&slot);
    let backend = RecordingBackend::metal()
        .fail_when(move |_, _| inner.get().is_some_and(|b| b.call_count() > 1))
        .build();
    slot.set(Arc::clone(&backend)).unwrap();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    assert!(backend.set_wired_limit(GIB).is_err());
}

#[test]
fn the_baseline_is_asserted() {
    let backend = RecordingBackend::metal().initial_limit(GIB).build();
    backend.assert_baseline(GIB);
    assert_eq!(backend.set_wired_limit(4 * GIB), Ok(GIB));
    let message = panic_message(|| backend.assert_baseline(GIB));
    assert!(message.contains("4294967296"), "{message}");
    assert_eq!(backend.set_wired_limit(GIB), Ok(4 * GIB));
    backend.assert_baseline(GIB);

    let gate = backend.gate();
    thread::scope(|s| {
        s.spawn(|| backend.set_wired_limit(GIB));
        gate.wait_entered(1);
        let message = panic_message(|| backend.assert_baseline(GIB));
        assert!(message.contains("1 calls in flight"), "{message}");
        gate.open();
    });
    backend.assert_baseline(GIB);
}

#[test]
fn a_gate_lets_calls_through_one_by_one() {
    let backend = RecordingBackend::metal().build();
    let gate = backend.gate();
    thread::scope(|s| {
        let first = s.spawn(|| backend.set_wired_limit(GIB));
        gate.wait_entered(1);
        gate.pass(1);
        assert_eq!(first.join().unwrap(), Ok(0));

        let second = s.spawn(|| backend.set_wired_limit(2 * GIB));
        gate.wait_entered(2);
        assert_eq!(backend.current_limit(), GIB);
        gate.pass(1);
        assert_eq!(second.join().unwrap(), Ok(GIB));
    });
    gate.open();
    assert_eq!(backend.set_wired_limit(0), Ok(2 * GIB));
    assert_eq!(gate.entered(), 3);
    backend.assert_rules();
}

#[test]
fn dropping_a_gate_opens_it_and_a_new_one_replaces_it() {
    let backend = RecordingBackend::metal().build();
    let old = backend.gate();
    let new = backend.gate();
    thread::scope(|s| {
        s.spawn(|| backend.set_wired_limit(GIB));
        new.wait_entered(1);
        assert_eq!(old.entered(), 0);
        drop(new);
    });
    assert_eq!(backend.current_limit(), GIB);
    drop(old);
}

#[test]
fn the_backend_can_be_read_while_calls_are_held_back() {
    let backend = RecordingBackend::metal().build();
    let gate = backend.gate();
    thread::scope(|s| {
        s.spawn(|| backend.set_wired_limit(GIB));
        gate.wait_entered(1);
        assert_eq!(backend.call_count(), 1);
        assert_eq!(backend.foreign_set(2 * GIB), 0);
        assert_eq!(backend.synchronize(), Ok(()));
        assert!(backend.memory().is_ok());
        assert!(format!("{backend:?} {gate:?}").contains("limit: 2147483648"));
        gate.open();
    });
    // What was in force when it took effect, not when it began.
    assert_eq!(backend.calls()[0].previous, 2 * GIB);
    assert_eq!(backend.current_limit(), GIB);
}

#[test]
fn synchronizations_are_recorded_by_thread() {
    let backend = RecordingBackend::metal().build();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    assert_eq!(backend.synchronize(), Ok(()));
    assert_eq!(backend.synchronize(), Ok(()));
    let other = thread::scope(|s| {
        s.spawn(|| {
            assert_eq!(backend.synchronize(), Ok(()));
            thread::current().id()
        })
        .join()
        .unwrap()
    });
    assert_eq!(backend.synchronizations_on(thread::current().id()), 2);
    assert_eq!(backend.synchronizations_on(other), 1);
    let all = backend.synchronizations();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|s| s.limit == GIB && s.after_calls == 1));
}

#[test]
fn synchronizing_fails_panics_and_waits_when_asked() {
    let backend = RecordingBackend::metal().build();
    backend.fail_synchronize(true);
    assert!(backend.synchronize().is_err());
    backend.fail_synchronize(false);
    backend.panic_synchronize(true);
    panic_message(|| drop(backend.synchronize()));
    backend.panic_synchronize(false);
    assert_eq!(backend.synchronize(), Ok(()));
    assert_eq!(backend.synchronizations().len(), 3);

    let gate = backend.synchronize_gate();
    let done = AtomicBool::new(false);
    thread::scope(|s| {
        s.spawn(|| {
            backend.synchronize().unwrap();
            done.store(true, Ordering::SeqCst);
        });
        gate.wait_entered(1);
        assert!(!done.load(Ordering::SeqCst));
        // The setter has a gate of its own.
        assert_eq!(backend.set_wired_limit(GIB), Ok(0));
        gate.open();
    });
    assert!(done.load(Ordering::SeqCst));
}

#[test]
fn memory_counters_are_what_the_test_says() {
    let mut counters = MemoryCounters::default();
    counters.active = 5;
    let backend = RecordingBackend::cpu().memory(counters).build();
    assert_eq!(backend.memory(), Ok(counters));
    backend.update_memory(|m| m.cache = 7);
    assert_eq!(backend.memory().unwrap().cache, 7);
    assert_eq!(backend.memory().unwrap().active, 5);
    backend.fail_memory(true);
    assert!(backend.memory().is_err());
    backend.fail_memory(false);
    assert_eq!(backend.memory().unwrap().peak(), 5);

    let backend = RecordingBackend::cpu().budget(3 * GIB).build();
    assert_eq!(backend.memory().unwrap().memory_limit, 3 * GIB);
}

#[test]
fn the_presets_describe_their_devices() {
    let metal = RecordingBackend::metal().build();
    let device = metal.device();
    assert_eq!(device.kind, DeviceKind::Metal);
    assert!(device.support.is_supported());
    assert_eq!(device.max_wired_limit(), 48 * GIB);
    assert_eq!(device.memory_size, Some(64 * GIB));
    assert_eq!(device.budget, Some(48 * GIB));
    assert!(metal.synchronizes());
    assert_eq!(metal.exclusive(), None);

    let cuda = RecordingBackend::cuda().build().device();
    assert_eq!(cuda.kind, DeviceKind::Cuda);
    assert!(cuda.budget < cuda.memory_size);
    let cpu = RecordingBackend::cpu().build().device();
    assert_eq!(cpu.kind, DeviceKind::Cpu);
    assert!(!cpu.support.is_supported());

    let other = RecordingBackend::metal()
        .device(Device::new(DeviceKind::Cpu, Support::Unknown))
        .exclusive(MLX_WIRED_LIMIT)
        .synchronizes(false)
        .build();
    assert_eq!(other.device().support, Support::Unknown);
    assert_eq!(other.exclusive(), Some(MLX_WIRED_LIMIT));
    assert!(!other.synchronizes());
}

#[test]
fn a_burst_is_held_together() {
    const THREADS: usize = 16;
    let backend = RecordingBackend::metal().build();
    let gate = backend.gate();
    let start = Barrier::new(THREADS);
    thread::scope(|s| {
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
fn it_can_be_dropped_with_breaches() {
    let backend = RecordingBackend::cpu().build();
    assert_eq!(backend.set_wired_limit(1), Ok(0));
    assert!(!backend.violations().is_empty());
    drop(backend);
}
