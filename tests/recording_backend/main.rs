//! The recording backend: it behaves like Metal, and each breach of the rules is noticed.

mod breaches;
mod device;
mod faults;
mod memory;

use mlx_wired::ffi::RecordingBackend;
use std::panic::{self, AssertUnwindSafe};

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
