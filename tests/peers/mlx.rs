//! MLX, `python/tests/test_memory.py`.
//!
//! `test_memory_info` and `test_active_memory_count` are about MLX's counters: `tests/ffi_mlx.rs` has them, since they
//! need MLX. `test_array_buffer_size` and `tests/residency_tests.cpp` test what is inside MLX.

use crate::kit::{Rig, quiet};
use mlx_wired::ffi::{Backend, RecordingBackend};
use mlx_wired::{Error, EventKind, FixedPolicy};

/// `test_wired_memory`, below us: the setter answers with the limit before, and refuses more than the recommended size.
#[test]
fn test_wired_memory() {
    let backend = RecordingBackend::metal().build();
    let recommended = backend.device().max_recommended_working_set_size;
    let recommended = recommended.expect("Metal recommends");
    assert_eq!(backend.set_wired_limit(1000), Ok(0));
    assert_eq!(backend.set_wired_limit(0), Ok(1000));
    backend
        .set_wired_limit(recommended + 10)
        .expect_err("above the recommended size");
    assert_eq!(backend.current_limit(), 0, "nothing has changed");
    assert_eq!(
        backend.violations().len(),
        1,
        "a manager must never ask for it"
    );
}

/// `test_wired_memory`, above us: the same demand is clamped, and says so.
#[test]
fn test_wired_memory_is_clamped_by_the_manager() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let recommended = rig.manager.ceiling().expect("Metal recommends");
    let events = rig.manager.subscribe(100);
    let policy = FixedPolicy::new(recommended + 10);
    let guard = rig.ticket(&policy, 1).acquire_owned()?;
    assert_eq!(rig.requested(), [recommended]);
    assert_eq!(
        (guard.wanted(), guard.applied()),
        (recommended + 10, recommended)
    );
    assert!(guard.is_clamped() && guard.is_wired());
    let clamped = EventKind::LimitClamped {
        ceiling: recommended,
    };
    assert!(events.drain().any(|event| event.kind == clamped));
    drop(guard);
    rig.finish()
}
