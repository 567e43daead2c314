//! What a pair is compared with.

use crate::crew::Subject;
use crossbeam::utils::CachePadded;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// BASE: one `fetch_add` and one `fetch_sub`.
pub(crate) fn base() -> Subject {
    let word = CachePadded::new(AtomicU64::new(0));
    Subject::new("base", move |pairs| {
        for _ in 0..pairs {
            word.fetch_add(1, Ordering::AcqRel);
            black_box(());
            word.fetch_sub(1, Ordering::AcqRel);
        }
    })
}

/// Everything in the notes that does the same work with less to offer.
pub(crate) fn all() -> Vec<Subject> {
    vec![std_mutex(), mlxrs(), tokio_semaphore(), async_lock()]
}

/// A count under a mutex of the standard library: locked to acquire, locked to release.
fn std_mutex() -> Subject {
    let count = CachePadded::new(Mutex::new(0_u64));
    let change = |count: &Mutex<u64>, by: u64| {
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.wrapping_add(by);
    };
    Subject::new("std Mutex", move |pairs| {
        for _ in 0..pairs {
            change(&count, 1);
            black_box(());
            change(&count, 1_u64.wrapping_neg());
        }
    })
}

/// mlxrs's guard, without its calls of MLX: a reference count behind a mutex that does not poison.
fn mlxrs() -> Subject {
    struct State {
        #[expect(
            dead_code,
            reason = "it is restored by the last guard, which is never dropped"
        )]
        prior: u64,
        references: u64,
    }

    type Shared = CachePadded<Mutex<Option<State>>>;

    struct WiredLimitGuard<'a>(&'a Shared);

    fn install(state: &Shared) -> Option<WiredLimitGuard<'_>> {
        let mut locked = state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *locked {
            Some(state) => state.references += 1,
            empty => {
                *empty = Some(State {
                    prior: 0,
                    references: 1,
                });
            }
        }
        Some(WiredLimitGuard(state))
    }

    impl Drop for WiredLimitGuard<'_> {
        fn drop(&mut self) {
            let mut locked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(state) = &mut *locked {
                state.references -= 1;
                if state.references == 0 {
                    *locked = None;
                }
            }
        }
    }

    let state: Shared = CachePadded::new(Mutex::new(None));
    // "No limit change": another guard lives.
    std::mem::forget(install(&state));
    Subject::new("mlxrs", move |pairs| {
        for _ in 0..pairs {
            let guard = install(&state);
            black_box(());
            drop(guard);
        }
    })
}

fn tokio_semaphore() -> Subject {
    let semaphore = Arc::new(tokio::sync::Semaphore::new(1 << 30));
    Subject::new("tokio", move |pairs| {
        for _ in 0..pairs {
            let permit = semaphore.try_acquire_many(16);
            black_box(());
            drop(permit);
        }
    })
}

fn async_lock() -> Subject {
    let semaphore = Arc::new(async_lock::Semaphore::new(1 << 30));
    Subject::new("async-lock", move |pairs| {
        for _ in 0..pairs {
            let permit = semaphore.try_acquire();
            black_box(());
            drop(permit);
        }
    })
}
