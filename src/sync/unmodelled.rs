//! Primitives that are the normal ones in every build, also under loom and shuttle.
//!
//! Under ThreadSanitizer (`--cfg tsan`, see `scripts/thread-sanitizer`) the mutex is parking_lot's: the slow path of the
//! standard library's comes compiled, without the instructions by which the sanitizer would see what it orders.

pub(crate) use chosen::MutexGuard;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};

#[cfg(tsan)]
use parking_lot as chosen;
#[cfg(not(tsan))]
use std::sync as chosen;

/// A mutex without poisoning: no code of a user ever runs while one of the coordinator's is held,
/// except [`Group::judge`](crate::manager::state::group::Group), which protects no data.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(chosen::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(chosen::Mutex::new(value))
    }

    #[cfg(not(tsan))]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(jitter)]
        super::jitter::delay_at_random();
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(tsan)]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }
}
