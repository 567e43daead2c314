//! It behaves like the device that it stands for.

use super::{GIB, only_violation, panic_message};
use mlx_wired::ffi::{
    Backend, Device, DeviceKind, MLX_WIRED_LIMIT, MemoryCounters, Outcome, RecordingBackend,
    Support,
};
use std::thread;

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
fn an_old_system_keeps_the_number_and_wires_nothing() {
    let backend = RecordingBackend::metal()
        .support(Support::SystemTooOld)
        .build();
    assert_eq!(backend.set_wired_limit(GIB), Ok(0));
    assert_eq!(backend.current_limit(), GIB);
    assert!(only_violation(&backend).contains("macOS 15"));
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
        // In here, so that a failure opens it.
        let gate = gate;
        s.spawn(|| backend.set_wired_limit(GIB));
        gate.wait_entered(1);
        let message = panic_message(|| backend.assert_baseline(GIB));
        assert!(message.contains("1 calls in flight"), "{message}");
        gate.open();
    });
    backend.assert_baseline(GIB);
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
