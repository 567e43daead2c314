//! What is given back.

use super::Stage;
use crate::kit::{MIB, until};
use mlx_wired::Manager;
use mlx_wired::ffi::{
    Backend, BackendError, Device, MemoryCounters, MemorySetting, RecordingBackend,
};
use mlx_wired::memory::Error;
use mlx_wired::memory::monitor::Monitor;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

#[test]
fn functions_are_called_before_the_cache_is_freed() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    stage.active(10 * MIB);
    stage.cache(6 * MIB);
    let backend = stage.backend.clone();
    // Arrays that are dropped go into the cache.
    let _drops = monitor.on_cleanup(move || {
        backend.update_memory(|counters| {
            counters.active -= 4 * MIB;
            counters.cache += 4 * MIB;
        });
        4 * MIB
    });
    let cleaned = monitor.force_cleanup().expect("it can be freed");
    assert_eq!((cleaned.cache, cleaned.functions), (10 * MIB, 4 * MIB));
    assert_eq!(monitor.read().expect("it can be read").cache, 0);

    let seen = monitor.statistics().expect("it is no child");
    assert_eq!((seen.cleanups, seen.cleaned), (1, cleaned));
}

#[test]
fn a_function_goes_with_its_handle() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let calls = Arc::new(AtomicU32::new(0));
    let counts = |calls: &Arc<AtomicU32>| {
        let calls = calls.clone();
        move || u64::from(calls.fetch_add(1, Ordering::Relaxed))
    };
    let handle = monitor.on_cleanup(counts(&calls));
    let _stays = monitor.on_cleanup(counts(&calls));
    monitor.force_cleanup().expect("it can be freed");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    drop(handle);
    monitor.force_cleanup().expect("it can be freed");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[test]
fn a_function_may_use_the_monitor_and_take_itself_off() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = Arc::new(stage.monitor().start().expect("it starts"));
    let handle = Arc::new(Mutex::new(None));
    let uses = (Arc::downgrade(&monitor), handle.clone());
    let function = monitor.on_cleanup(move || {
        let monitor = uses.0.upgrade().expect("it is in use");
        drop(uses.1.lock().expect("no thread panics").take());
        monitor.read().expect("it can be read").active
    });
    *handle.lock().expect("no thread panics") = Some(function);
    stage.active(3);
    assert_eq!(
        monitor.force_cleanup().expect("it can be freed").functions,
        3
    );
    assert_eq!(
        monitor.force_cleanup().expect("it can be freed").functions,
        0
    );
}

#[test]
fn a_panic_is_counted_and_the_rest_is_done() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    stage.cache(8);
    let _panics = monitor.on_cleanup(|| panic!("as the test asked"));
    let _works = monitor.on_cleanup(|| u64::MAX);
    let _too = monitor.on_cleanup(|| u64::MAX);
    let cleaned = monitor.force_cleanup().expect("it can be freed");
    assert_eq!((cleaned.panics, cleaned.cache), (1, 8));
    assert_eq!(cleaned.functions, u64::MAX);
}

#[test]
fn what_mlx_refuses_is_an_error_and_the_functions_count() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    let _works = monitor.on_cleanup(|| 5);
    stage.backend.fail_setting(MemorySetting::Cache, true);
    let error = monitor.force_cleanup().expect_err("MLX refuses");
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
    stage.backend.fail_setting(MemorySetting::Cache, false);
    stage.backend.panic_setting(MemorySetting::Cache, true);
    monitor.force_cleanup().expect_err("it panics");
    let seen = monitor.statistics().expect("it is no child");
    assert_eq!((seen.cleanups, seen.cleaned.functions), (2, 10));
}

/// Work on another thread fills the cache again, before it is looked at.
#[derive(Debug)]
struct Refills(Arc<RecordingBackend>);

impl Backend for Refills {
    fn device(&self) -> Device {
        self.0.device()
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        self.0.set_wired_limit(bytes)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        self.0.synchronize()
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        self.0.memory()
    }

    fn clear_cache(&self) -> Result<(), BackendError> {
        self.0.update_memory(|counters| counters.cache = 30);
        Ok(())
    }
}

#[test]
fn what_is_in_the_cache_afterwards_was_not_given_back() {
    let backend = RecordingBackend::cpu().build();
    let manager = Manager::builder().backend(Refills(backend.clone())).build();
    let manager = manager.expect("it is built");
    let monitor = Monitor::builder().manager(&manager).start();
    let monitor = monitor.expect("it starts");
    for (before, freed) in [(100, 70), (10, 0)] {
        backend.update_memory(|counters| counters.cache = before);
        let cleaned = monitor.force_cleanup().expect("it can be freed");
        assert_eq!(cleaned.cache, freed);
    }
}

/// As with functions that pressure calls: what is freed after the handle is not in use.
#[test]
fn a_function_that_was_taken_off_is_not_called_by_a_cleanup_that_goes_on() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let (entered, is_in) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let _first = monitor.on_cleanup(move || {
        entered.send(()).expect("the test waits");
        let may_go = may_go.lock().expect("no thread panics");
        may_go.recv().expect("the test goes on");
        1
    });
    let second = monitor.on_cleanup(|| 10);
    thread::scope(|scope| {
        let cleans = scope.spawn(|| monitor.force_cleanup());
        is_in.recv().expect("it is called");
        drop(second);
        go_on.send(()).expect("the function waits");
        let cleaned = cleans.join().expect("it ends").expect("it can be freed");
        assert_eq!(cleaned.functions, 1);
    });
}

/// And one that is running has ended when its handle is gone, with several threads that clean up.
#[test]
fn to_take_a_function_off_waits_for_all_of_its_calls() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let (entered, is_in) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel::<()>();
    let (may_go, ended) = (Mutex::new(may_go), Arc::new(AtomicU32::new(0)));
    let ends = ended.clone();
    let handle = monitor.on_cleanup(move || {
        entered.send(()).expect("the test waits");
        let goes = may_go.lock().expect("no thread panics").recv();
        goes.expect("the test goes on");
        ends.fetch_add(1, Ordering::SeqCst);
        1
    });
    thread::scope(|scope| {
        // In here, so that a failure ends what waits for it.
        let go_on = go_on;
        let cleans = [(); 2].map(|()| scope.spawn(|| monitor.force_cleanup()));
        for _ in 0..2 {
            is_in.recv().expect("it is called");
        }
        let removes = scope.spawn(|| {
            drop(handle);
            ended.load(Ordering::SeqCst)
        });
        go_on.send(()).expect("a function waits");
        until("one ends", || ended.load(Ordering::SeqCst) == 1);
        assert!(!removes.is_finished());
        go_on.send(()).expect("a function waits");
        assert_eq!(removes.join().expect("nothing panics"), 2);
        for cleans in cleans {
            cleans.join().expect("it ends").expect("it can be freed");
        }
    });
}

/// It would begin anew for ever.
#[test]
fn a_function_that_forces_a_cleanup_frees_the_cache_alone() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = Arc::new(stage.monitor().start().expect("it starts"));
    stage.cache(7);
    let inner = Arc::downgrade(&monitor);
    let _forces = monitor.on_cleanup(move || {
        let monitor = inner.upgrade().expect("it is in use");
        let cleaned = monitor.force_cleanup().expect("it can be freed");
        assert_eq!(cleaned.functions, 0);
        cleaned.cache
    });
    let cleaned = monitor.force_cleanup().expect("it can be freed");
    assert_eq!(
        (cleaned.functions, cleaned.cache, cleaned.panics),
        (7, 0, 0)
    );
}
