//! The limits of a run, which come back however it ends.

use crate::kit::{GIB, MIB, on};
use mlx_wired::ffi::{Backend, MemorySetting, Outcome, RecordingBackend, RecordingBuilder};
use mlx_wired::train::{Error, Limit, Run, RunLimit};
use mlx_wired::{Kind, Manager, SumPolicy, WireMode};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// What was in force before a run.
const WIRED: u64 = GIB;
const MEMORY: u64 = 48 * GIB;
const CACHE: u64 = 32 * MIB;

fn metal() -> RecordingBuilder {
    RecordingBackend::metal().initial_limit(WIRED)
}

/// All three limits set.
fn start(manager: &Manager) -> Run {
    let run = Run::builder().manager(manager);
    let run = run
        .memory_limit(Limit::Fixed(40 * GIB))
        .cache_limit(Limit::Fixed(GIB));
    run.start().expect("nothing is in the way")
}

/// The wired, the memory and the cache limit.
fn limits(backend: &RecordingBackend) -> (u64, u64, u64) {
    let memory = backend.memory().unwrap().memory_limit;
    (backend.current_limit(), memory, backend.cache_limit())
}

#[test]
fn all_three_limits_are_set_once_and_come_back_with_success() {
    let (manager, backend) = on(metal());
    let run = start(&manager);
    assert_eq!(limits(&backend), (48 * GIB, 40 * GIB, GIB));
    for _ in 0..100 {
        run.step(|| Ok::<(), Error>(())).unwrap();
        // Validation, and a checkpoint: the limits stay.
        assert_eq!(limits(&backend), (48 * GIB, 40 * GIB, GIB));
    }
    assert_eq!(run.finish().unwrap().steps, 100);
    assert_eq!(limits(&backend), (WIRED, MEMORY, CACHE));
    assert_eq!(backend.call_count(), 2);
    assert_eq!(backend.memory_calls().len(), 4);
    backend.assert_rules();
    backend.assert_baseline(WIRED);
}

#[test]
fn all_three_limits_come_back_with_an_error() {
    let (manager, backend) = on(metal());
    let train = || -> Result<(), Box<dyn std::error::Error>> {
        let run = start(&manager);
        run.step(|| Err::<(), _>("the loss is no number"))?;
        run.finish()?;
        Ok(())
    };
    assert_eq!(train().unwrap_err().to_string(), "the loss is no number");
    assert_eq!(limits(&backend), (WIRED, MEMORY, CACHE));
    backend.assert_baseline(WIRED);
}

#[test]
fn all_three_limits_come_back_with_a_panic() {
    let (manager, backend) = on(metal());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let run = start(&manager);
        let _step = run.step(|| -> Result<(), Error> { panic!("in a step") });
    }));
    assert!(panicked.is_err());
    assert_eq!(limits(&backend), (WIRED, MEMORY, CACHE));
    backend.assert_baseline(WIRED);
    // And the next run may begin.
    start(&manager).finish().unwrap();
}

/// The limits that an error names.
fn named(error: &Error) -> Vec<RunLimit> {
    match error {
        Error::NotRestored { failed } => failed.iter().map(|limit| limit.limit).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_comes_back_whatever_becomes_of_the_others() {
    for panics in [false, true] {
        for fails in [MemorySetting::MemoryLimit, MemorySetting::CacheLimit] {
            let (manager, backend) = on(metal());
            let run = start(&manager);
            if panics {
                backend.panic_setting(fails, true);
            } else {
                backend.fail_setting(fails, true);
            }
            let error = run.finish().unwrap_err();
            let (memory, cache, name) = match fails {
                MemorySetting::MemoryLimit => (40 * GIB, CACHE, RunLimit::Memory),
                _ => (MEMORY, GIB, RunLimit::Cache),
            };
            assert_eq!(limits(&backend), (WIRED, memory, cache), "{error}");
            assert_eq!(named(&error), [name]);
            assert!(error.to_string().contains(&name.to_string()), "{error}");
        }

        // The wired one alone, which the manager sets.
        let (manager, backend) = on(metal());
        let run = start(&manager);
        if panics {
            backend.panic_next(1);
        } else {
            backend.fail_next(1);
        }
        let error = run.finish().unwrap_err();
        assert_eq!(limits(&backend), (48 * GIB, MEMORY, CACHE), "{error}");
        assert_eq!(named(&error), [RunLimit::Wired]);
        // It is owed, and comes back later.
        drop(
            manager
                .ticket(&SumPolicy::new(), MIB)
                .acquire_owned()
                .unwrap(),
        );
        backend.assert_baseline(WIRED);
    }
}

#[test]
fn all_that_did_not_come_back_are_told_together() {
    let (manager, backend) = on(metal());
    let run = start(&manager);
    backend.fail_setting(MemorySetting::MemoryLimit, true);
    backend.fail_setting(MemorySetting::CacheLimit, true);
    backend.fail_next(1);
    let error = run.finish().unwrap_err();
    assert_eq!(
        named(&error),
        [RunLimit::Memory, RunLimit::Cache, RunLimit::Wired]
    );
    assert!(std::error::Error::source(&error).is_some());
    let memory = format!("the memory limit, which was {MEMORY} bytes");
    assert!(error.to_string().starts_with(&memory), "{error}");
}

#[test]
fn a_run_that_is_dropped_tells_its_listener() {
    let (manager, backend) = on(metal());
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = told.clone();
    let run = Run::builder()
        .manager(&manager)
        .cache_limit(Limit::Fixed(GIB));
    let run = run.on_not_restored(move |error| {
        listener.lock().unwrap().extend(named(error));
        panic!("which nobody sees");
    });
    let run = run.start().unwrap();
    backend.fail_setting(MemorySetting::CacheLimit, true);
    drop(run);
    assert_eq!(*told.lock().unwrap(), [RunLimit::Cache]);
    backend.assert_baseline(WIRED);
}

#[test]
fn a_second_scope_is_refused() {
    let (manager, backend) = on(metal());
    let run = start(&manager);
    let before = (backend.call_count(), backend.memory_calls().len());
    let second = Run::builder().manager(&manager).start();
    match &second {
        Err(error @ Error::RunInProgress { place }) => {
            assert!(place.file().ends_with("scope.rs"));
            assert!(error.to_string().contains("scope.rs"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((backend.call_count(), backend.memory_calls().len()), before);
    // Another backend's limits are others.
    let (other, _backend) = on(metal());
    start(&other).finish().unwrap();
    run.finish().unwrap();
    start(&manager).finish().unwrap();
}

#[test]
fn a_start_that_fails_leaves_everything_as_it_was() {
    for fails in [MemorySetting::MemoryLimit, MemorySetting::CacheLimit] {
        let (manager, backend) = on(metal());
        backend.fail_setting(fails, true);
        let run = Run::builder()
            .manager(&manager)
            .memory_limit(Limit::Fixed(40 * GIB));
        assert!(matches!(run.start(), Err(Error::Backend(_))));
        assert_eq!(limits(&backend), (WIRED, MEMORY, CACHE));
        backend.assert_baseline(WIRED);
        backend.fail_setting(fails, false);
        start(&manager).finish().unwrap();
    }
    let (manager, backend) = on(metal());
    backend.fail_next(1);
    let refused = Run::builder().manager(&manager).start();
    assert!(matches!(refused, Err(Error::Coordinator(_))), "{refused:?}");
    assert_eq!(limits(&backend), (WIRED, MEMORY, CACHE));
}

#[test]
fn no_wire_touches_no_wired_limit() {
    let (manager, backend) = on(metal());
    backend.forbid_calls();
    let run = Run::builder().manager(&manager).no_wire();
    let weights = manager.ticket(&SumPolicy::new(), 4 * GIB).resident();
    let run = run.ticket(weights).start().unwrap();
    let holders = manager.holders();
    assert_eq!(
        (holders[0].bytes, holders[0].kind),
        (4 * GIB, Kind::Reservation)
    );
    run.finish().unwrap();
    backend.assert_rules();

    let (manager, backend) = on(metal());
    backend.forbid_calls();
    manager
        .configure(|config| config.mode(WireMode::Never))
        .unwrap();
    start(&manager).finish().unwrap();
    backend.assert_rules();
}

#[test]
fn the_ticket_is_held_from_start_to_end() {
    let (manager, backend) = on(metal());
    let policy = SumPolicy::new();
    let weights = manager.ticket(&policy, 4 * GIB).resident().room_for(GIB);
    let run = Run::builder()
        .manager(&manager)
        .ticket(weights)
        .start()
        .unwrap();
    assert_eq!(backend.current_limit(), WIRED + 4 * GIB);
    let ticket = manager.ticket(&policy, GIB);
    for _ in 0..3 {
        run.step(|| ticket.acquire().map(drop)).unwrap();
    }
    assert_eq!(manager.holders().len(), 1);
    run.finish().unwrap();
    assert!(manager.holders().is_empty());
    backend.assert_baseline(WIRED);
}

#[test]
fn on_cuda_mlx_may_use_the_budget_less_a_twentieth() {
    let (manager, backend) = on(RecordingBackend::cuda());
    let budget = manager.budget().unwrap();
    let before = backend.memory().unwrap().memory_limit;
    let run = Run::builder().manager(&manager).start().unwrap();
    assert_eq!(backend.memory().unwrap().memory_limit, budget - budget / 20);
    run.finish().unwrap();
    assert_eq!(backend.memory().unwrap().memory_limit, before);

    // Of the caller's budget, and not at all.
    let run = Run::builder()
        .manager(&manager)
        .budget(20 * GIB)
        .start()
        .unwrap();
    assert_eq!(backend.memory().unwrap().memory_limit, 19 * GIB);
    run.finish().unwrap();
    let run = Run::builder()
        .manager(&manager)
        .memory_limit(Limit::Keep)
        .start()
        .unwrap();
    assert_eq!(backend.memory().unwrap().memory_limit, before);
    run.finish().unwrap();
    assert!(
        backend
            .calls()
            .iter()
            .all(|call| call.outcome == Outcome::Applied)
    );
    assert_eq!(backend.call_count(), 0, "nothing is wired there");
}

#[test]
fn a_kept_cache_limit_is_learned_and_not_set_at_the_end() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = Run::builder()
        .manager(&manager)
        .cache_limit(Limit::Keep)
        .start()
        .unwrap();
    assert_eq!(backend.cache_limit(), CACHE);
    backend.set_cache_limit(7).unwrap();
    run.finish().unwrap();
    assert_eq!(backend.cache_limit(), 7, "the program's own");
}

#[test]
fn steps_have_their_room_beside_a_run_that_wires_all_there_is() {
    let (manager, backend) = on(metal());
    for budget in [None, Some(16 * GIB)] {
        manager.configure(|config| config.budget(budget)).unwrap();
        let run = Run::builder().manager(&manager).start().unwrap();
        assert_eq!(backend.current_limit(), 48 * GIB);
        let ticket = manager.ticket(&SumPolicy::new(), 15 * GIB);
        let guard = ticket.try_acquire().unwrap();
        run.step(|| Ok::<(), Error>(())).unwrap();
        drop(guard);
        run.finish().unwrap();
        backend.assert_baseline(WIRED);
    }
}
