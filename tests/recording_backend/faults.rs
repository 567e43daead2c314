//! Calls fail, panic and wait as the test says.

use super::{GIB, panic_message};
use mlx_wired::ffi::{Backend, Outcome, RecordingBackend};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

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
        // In here, so that a failure opens it.
        let gate = gate;
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
        // In here, so that a failure opens it.
        let gate = gate;
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
