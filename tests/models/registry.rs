//! Functions that are removed while they may run: `src/memory/reactions/registry.rs`, the file itself, on the checkers' locks.
//!
//! One thread calls, as the monitor of pressure does, or two, as cleanups do; another removes. A function must not run after its removal has returned, and
//! what it captured must be gone then. A lost wake-up is a deadlock.

use super::check::{Size, explore, spawn};
use library::Registry;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the file locks and waits with.
mod primitives {
    #[cfg(loom)]
    use loom as model;
    pub(super) use model::sync::{Condvar, Mutex, MutexGuard};
    pub(super) use model::thread::ThreadId;
    #[cfg(not(loom))]
    use shuttle as model;

    pub(super) fn this_thread() -> ThreadId {
        model::thread::current().id()
    }
}

#[allow(dead_code, reason = "the models use a part")]
#[path = "../../src/memory/reactions/registry.rs"]
mod library;

type Call = dyn Fn() + Send + Sync;

/// What one function saw.
#[derive(Default)]
struct Seen {
    /// 1 once its removal has returned.
    removed: AtomicU64,
    /// 1 while it runs.
    running: AtomicU64,
    calls: AtomicU64,
}

impl Seen {
    fn call(&self) {
        assert_eq!(
            self.removed.load(Ordering::SeqCst),
            0,
            "called after it was removed"
        );
        self.running.store(1, Ordering::SeqCst);
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.running.store(0, Ordering::SeqCst);
    }

    /// After the removal.
    fn end(&self) {
        assert_eq!(
            self.running.load(Ordering::SeqCst),
            0,
            "still running after it was removed"
        );
        self.removed.store(1, Ordering::SeqCst);
    }
}

fn function(seen: &Arc<Seen>) -> Arc<Call> {
    let seen = seen.clone();
    Arc::new(move || seen.call())
}

#[test]
fn removal_against_a_call() {
    explore(Size::Small, || {
        let (registry, seen) = (Arc::new(Registry::<Call>::new()), Arc::new(Seen::default()));
        let number = registry.add(function(&seen));
        let calls = registry.clone();
        let monitor = spawn(move || calls.call_each(|f| f()));
        registry.remove(number);
        seen.end();
        assert_eq!(Arc::strong_count(&seen), 1, "what it captured is gone");
        assert_eq!(monitor.join(), 0, "none panicked");
        assert!(registry.is_empty());
    });
}

/// The first is removed while the second may run, and the other way round.
#[test]
fn removal_of_one_against_calls_of_two() {
    for which in 0..2 {
        explore(Size::Two, move || {
            let registry = Arc::new(Registry::<Call>::new());
            let seen = [Arc::new(Seen::default()), Arc::new(Seen::default())];
            let numbers = seen.each_ref().map(|seen| registry.add(function(seen)));
            let calls = registry.clone();
            let monitor = spawn(move || calls.call_each(|f| f()));
            registry.remove(numbers[which]);
            seen[which].end();
            assert_eq!(monitor.join(), 0, "none panicked");
            assert_eq!(
                seen[1 - which].calls.load(Ordering::SeqCst),
                1,
                "the other is called once"
            );
        });
    }
}

/// Two threads remove while a third calls: both wait, both are woken.
#[test]
fn two_removals_against_calls() {
    explore(Size::Three, || {
        let registry = Arc::new(Registry::<Call>::new());
        let seen = [Arc::new(Seen::default()), Arc::new(Seen::default())];
        let numbers = seen.each_ref().map(|seen| registry.add(function(seen)));
        let calls = registry.clone();
        let monitor = spawn(move || calls.call_each(|f| f()));
        let (removes, other) = (registry.clone(), seen[1].clone());
        let remover = spawn(move || {
            removes.remove(numbers[1]);
            other.end();
        });
        registry.remove(numbers[0]);
        seen[0].end();
        remover.join();
        assert_eq!(monitor.join(), 0, "none panicked");
        assert!(registry.is_empty());
    });
}

/// Two threads call the same function while a third removes it: it waits for both.
#[test]
fn removal_against_two_calls_at_once() {
    explore(Size::Three, || {
        let registry = Arc::new(Registry::<Call>::new());
        let (runs, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (begins, ends) = (runs.clone(), ended.clone());
        let number = registry.add(Arc::new(move || {
            begins.fetch_add(1, Ordering::SeqCst);
            ends.fetch_add(1, Ordering::SeqCst);
        }));
        let callers = [(); 2].map(|()| {
            let calls = registry.clone();
            spawn(move || calls.call_each(|f| f()))
        });
        registry.remove(number);
        // What runs after that does not count: nothing does.
        let after = (runs.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
        assert_eq!(after.0, after.1, "still running after it was removed");
        assert_eq!(Arc::strong_count(&runs), 1, "what it captured is gone");
        for caller in callers {
            assert_eq!(caller.join(), 0, "none panicked");
        }
        assert_eq!(runs.load(Ordering::SeqCst), after.0);
        assert!(!registry.is_inside());
    });
}

/// A function that removes itself does not wait, while another thread removes it, too, and does.
#[test]
fn a_function_removes_itself_against_another_removal() {
    explore(Size::Two, || {
        let registry = Arc::new(Registry::<Call>::new());
        let seen = Arc::new(Seen::default());
        // The number is 0: none was registered before.
        let (inner, sees) = (Arc::downgrade(&registry), seen.clone());
        let number = registry.add(Arc::new(move || {
            sees.call();
            if let Some(registry) = inner.upgrade() {
                registry.remove(0);
            }
        }));
        assert_eq!(number, 0);
        let calls = registry.clone();
        let monitor = spawn(move || {
            calls.call_each(|f| f());
            calls.call_each(|f| f())
        });
        registry.remove(number);
        seen.end();
        assert_eq!(monitor.join(), 0, "none panicked");
        assert!(seen.calls.load(Ordering::SeqCst) <= 1);
    });
}

/// One that is registered while others are called is called then or the next time, and never twice.
#[test]
fn a_registration_against_calls() {
    explore(Size::Two, || {
        let registry = Arc::new(Registry::<Call>::new());
        let order = Arc::new(Mutex::new(Vec::new()));
        let named = |name: u64| -> Arc<Call> {
            let order = order.clone();
            Arc::new(move || {
                order
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(name)
            })
        };
        registry.add(named(1));
        let calls = registry.clone();
        let monitor = spawn(move || calls.call_each(|f| f()));
        registry.add(named(2));
        monitor.join();
        let order = order.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(matches!(order[..], [1] | [1, 2]), "{order:?}");
    });
}
