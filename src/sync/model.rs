//! The primitives of the models: loom's or shuttle's.

#[cfg(loom)]
use loom as model;
#[cfg(all(shuttle, not(loom)))]
use shuttle as model;

use super::Arc;
pub(crate) use model::sync::MutexGuard;
pub(crate) use model::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
pub(crate) use model::thread::{Thread, ThreadId, current as current_thread};
#[cfg(not(loom))]
pub(crate) use model::thread_local;
use std::io;
use std::ops::Deref;
use std::sync::PoisonError;
use std::time::Instant;

/// Loom's knows no `const` initialisers.
#[cfg(loom)]
macro_rules! local_of_a_model {
    () => {};
    ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr }; $($rest:tt)*) => {
        loom::thread_local! { $(#[$attribute])* static $name: $type = $init; }
        $crate::sync::thread_local! { $($rest)* }
    };
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $init:expr; $($rest:tt)*) => {
        loom::thread_local! { $(#[$attribute])* static $name: $type = $init; }
        $crate::sync::thread_local! { $($rest)* }
    };
}
#[cfg(loom)]
pub(crate) use local_of_a_model as thread_local;

/// The models' own stacks are too small for a session with a policy's code in it.
const STACK: usize = 1 << 16;

/// Starts a thread that is never joined.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    model::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(f)
        .map(drop)
}

/// As [`super::unmodelled::Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(model::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(model::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A word that threads sleep on. Sleeping and waking take a lock, as the kernel does.
#[derive(Debug)]
pub(crate) struct Futex {
    word: AtomicU32,
    sleepers: Mutex<()>,
    changed: model::sync::Condvar,
}

impl Futex {
    pub(crate) fn new(value: u32) -> Self {
        Self {
            word: AtomicU32::new(value),
            sleepers: Mutex::new(()),
            changed: model::sync::Condvar::new(),
        }
    }
}

impl Deref for Futex {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}

/// Sleeps once if `word` holds `value`.
pub(crate) fn wait(word: &Futex, value: u32) {
    let sleepers = word.sleepers.lock();
    // The kernel reads the newest value; only a read-modify-write is sure to do so in loom.
    if word.word.fetch_add(0, Ordering::Relaxed) == value {
        drop(word.changed.wait(sleepers));
    }
}

/// Wakes every thread that sleeps in [`wait`] on `word`.
pub(crate) fn wake_all(word: &Futex) {
    let _sleepers = word.sleepers.lock();
    word.changed.notify_all();
}

/// As crossbeam's, without time: the models race a cancellation against a grant instead.
#[derive(Debug)]
pub(crate) struct Parker(Unparker);

#[derive(Debug, Clone)]
pub(crate) struct Unparker(Arc<Token>);

#[derive(Debug)]
struct Token {
    given: Mutex<bool>,
    changed: model::sync::Condvar,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self(Unparker(Arc::new(Token {
            given: Mutex::new(false),
            changed: model::sync::Condvar::new(),
        })))
    }

    pub(crate) fn unparker(&self) -> &Unparker {
        &self.0
    }

    pub(crate) fn park(&self) {
        let token = &*self.0.0;
        let mut given = token.given.lock();
        while !*given {
            given = token
                .changed
                .wait(given)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *given = false;
    }

    /// Never times out.
    pub(crate) fn park_deadline(&self, _deadline: Instant) {
        self.park();
    }
}

impl Unparker {
    pub(crate) fn unpark(&self) {
        *self.0.given.lock() = true;
        self.0.changed.notify_one();
    }
}

/// The calling thread's id.
pub(crate) fn thread_id() -> ThreadId {
    current_thread().id()
}
