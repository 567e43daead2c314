//! What is told of steps.

use super::work;
use crate::kit::{MIB, on};
use mlx_wired::Manager;
use mlx_wired::ffi::{
    Backend, BackendError, Device, MemoryCounters, MemorySetting, RecordingBackend,
};
use mlx_wired::train::{GrowthCause, Limit, Run, RunBuilder, StepReport};
use std::convert::Infallible;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

fn builder(manager: &Manager) -> RunBuilder {
    let run = Run::builder()
        .manager(manager)
        .outside_every(Duration::ZERO);
    run.cache_limit(Limit::Keep)
}

fn step(run: &Run, f: impl FnOnce()) -> StepReport {
    let done = run.step(|| {
        f();
        Ok::<(), Infallible>(())
    });
    let Ok(((), report)) = done;
    report
}

#[test]
fn each_steps_peak_is_its_own() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 2000 * MIB, 0);
    let run = builder(&manager).budget(4096 * MIB).start().unwrap();
    let first = step(&run, || work(&backend, 1100 * MIB, 1000 * MIB));
    assert_eq!((first.step, first.peak), (1, 3100 * MIB));
    assert_eq!(
        (first.active, first.above_start),
        (2100 * MIB, Some(1100 * MIB))
    );
    // Validation needs more; it is not in the next step's.
    work(&backend, 1500 * MIB, 1500 * MIB);
    let second = step(&run, || work(&backend, 50 * MIB, 50 * MIB));
    assert_eq!((second.step, second.peak), (2, 2150 * MIB));
    let summary = run.finish().unwrap();
    assert_eq!((summary.steps, summary.peak), (2, 3100 * MIB));
    assert_eq!(summary.peak_between, 3600 * MIB);
    let text = "2 steps, peak 3.03 GiB, 3.52 GiB between steps";
    assert_eq!(summary.to_string(), text);
}

#[test]
fn a_budget_that_moves_is_measured_again_unless_it_is_the_programs_own() {
    let (manager, backend) = on(RecordingBackend::cpu());
    backend.set_budget(4096 * MIB);
    let budgets = |run: RunBuilder| {
        let run = run.start().unwrap();
        backend.set_budget(2048 * MIB);
        let told = [(); 2].map(|()| step(&run, || {}).budget.map(|bytes| bytes / MIB));
        backend.set_budget(4096 * MIB);
        run.finish().unwrap();
        told
    };
    let each_step = builder(&manager).budget_every(Duration::ZERO);
    assert_eq!(budgets(each_step), [Some(4096), Some(2048)]);
    let seldom = builder(&manager).budget_every(Duration::MAX);
    assert_eq!(budgets(seldom), [Some(4096), Some(4096)]);
    let own = builder(&manager).budget_every(Duration::ZERO);
    assert_eq!(budgets(own.budget(1024 * MIB)), [Some(1024), Some(1024)]);
}

#[test]
fn without_closures_the_peak_is_that_since_the_last_report() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = builder(&manager).start().unwrap();
    work(&backend, 100 * MIB, 90 * MIB);
    let report = run.after_eval();
    assert_eq!(
        (report.peak, report.active, report.above_start),
        (100 * MIB, 10 * MIB, Some(100 * MIB))
    );
    let report = run.after_eval();
    assert_eq!(
        (report.peak, report.above_start),
        (10 * MIB, Some(0)),
        "a reset sets 0, not what is live"
    );
    // What was there before is freed first.
    work(&backend, 0, 8 * MIB);
    work(&backend, MIB, 0);
    assert_eq!(run.after_eval().above_start, None);
}

#[test]
fn a_report_is_a_line_in_one_unit() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 2048 * MIB, 0);
    backend.update_memory(|counters| counters.cache = 410 * MIB);
    backend.set_footprint(Some((2048 + 410 + 307) * MIB));
    let run = builder(&manager).budget(4096 * MIB).start().unwrap();
    let report = step(&run, || work(&backend, 1127 * MIB, 1127 * MIB));
    let line = "step 1  peak 3.1 of 4.0 GiB  active 2.0  cache 0.4  outside 0.3";
    assert_eq!(report.to_string(), line);
    assert_eq!(report.line().to_string(), line);

    // Nothing is known of the rest.
    backend.set_footprint(None);
    let report = step(&run, || ());
    assert_eq!(
        report.to_string(),
        "step 2  peak 2.0 of 4.0 GiB  active 2.0  cache 0.4"
    );
}

#[test]
fn steps_at_the_same_time_each_have_the_peak_of_their_time() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = builder(&manager).start().unwrap();
    let barrier = Barrier::new(2);
    let (long, short) = thread::scope(|scope| {
        let long = scope.spawn(|| {
            step(&run, || {
                barrier.wait(); // It has begun.
                barrier.wait(); // The other has ended.
                work(&backend, 40 * MIB, 40 * MIB);
            })
        });
        barrier.wait();
        let first = step(&run, || work(&backend, 70 * MIB, 70 * MIB));
        let second = step(&run, || work(&backend, 30 * MIB, 30 * MIB));
        barrier.wait();
        (long.join().unwrap(), [first, second])
    });
    assert_eq!(short.map(|report| report.peak / MIB), [70, 30]);
    assert_eq!(long.peak, 70 * MIB, "the other's is in it");
    assert_eq!(long.step, 3);
}

#[test]
fn a_step_that_fails_passes_its_error_on_and_is_not_counted() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = builder(&manager).start().unwrap();
    let failed = run.step(|| {
        work(&backend, 90 * MIB, 90 * MIB);
        Err::<(), u32>(7)
    });
    assert_eq!(failed.unwrap_err(), 7);
    let report = step(&run, || ());
    assert_eq!((report.step, report.peak), (1, 0));
}

#[test]
fn counters_that_cannot_be_read_do_not_lose_the_steps_value() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = builder(&manager).start().unwrap();
    work(&backend, 50 * MIB, 0);
    step(&run, || ());
    backend.fail_memory(true);
    let (value, report) = run.step(|| Ok::<u32, Infallible>(7)).unwrap();
    assert_eq!((value, report.counted, report.active), (7, false, 50 * MIB));
    assert!(report.to_string().ends_with("(not counted)"), "{report}");
    backend.fail_memory(false);
    assert!(step(&run, || ()).counted);
}

/// A device whose footprint cannot be asked without a panic.
#[derive(Debug)]
struct NoFootprint(std::sync::Arc<RecordingBackend>);

impl Backend for NoFootprint {
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
    fn reset_peak_memory(&self) -> Result<(), BackendError> {
        self.0.reset_peak_memory()
    }
    fn set_cache_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        self.0.set_cache_limit(bytes)
    }
    fn footprint(&self) -> Option<u64> {
        panic!("nobody knows");
    }
}

#[test]
fn a_footprint_that_panics_does_not_lose_the_steps_value() {
    let backend = NoFootprint(RecordingBackend::cpu().build());
    let manager = Manager::builder().backend(backend).build().unwrap();
    let run = builder(&manager).start().unwrap();
    let (value, report) = run.step(|| Ok::<u32, Infallible>(7)).unwrap();
    assert_eq!((value, report.outside), (7, None));
    run.finish().unwrap();
}

/// The first growth that is told in so many steps, and in which.
fn first_growth(run: &Run, steps: u64, mut f: impl FnMut(u64)) -> Option<StepReport> {
    (1..=steps)
        .map(|n| step(run, || f(n)))
        .find(|report| report.growth.is_some())
}

#[test]
fn live_arrays_that_grow_are_told_with_the_value_that_was_never_evaluated() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 1000 * MIB, 0);
    let run = builder(&manager).budget(2000 * MIB).start().unwrap();
    let report = first_growth(&run, 10, |_| {
        run.carried_is_evaluated("loss", true);
        run.carried_is_evaluated("ema", false);
        work(&backend, 105 * MIB, 100 * MIB);
    });
    let report = report.expect("within ten steps");
    let growth = report.growth.as_ref().unwrap();
    assert_eq!(growth.cause, GrowthCause::LiveArrays);
    assert_eq!(growth.bytes_per_step, 5 * MIB);
    assert_eq!(
        growth
            .suspects
            .iter()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["ema"]
    );
    assert_eq!(growth.fits, Some((2000 - 1000 - 8 * 5 - 100) / 5));
    let text = "live arrays grow 5 MiB a step since step 1; \"ema\" was never evaluated: evaluate it each step \
                (fits 172 more steps)";
    assert_eq!(growth.to_string(), text);
    assert!(report.to_string().ends_with(&format!("\n{text}")));
    assert_eq!(run.growth().as_ref(), Some(growth));

    // It is not told each step, but again when it has gone on for as long again.
    let again = first_growth(&run, 20, |_| work(&backend, 105 * MIB, 100 * MIB));
    assert_eq!(again.expect("it goes on").step, 15);
    // And it ends.
    assert!(first_growth(&run, 100, |_| work(&backend, MIB, MIB)).is_none());
    assert_eq!(run.growth(), None);
}

#[test]
fn live_arrays_that_grow_are_told_beside_needs_that_vary() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = builder(&manager).start().unwrap();
    // What MLX's CPU build was seen to need, in KiB, with batches of 64 to 127 rows: the first step the least.
    let needs = [361, 657, 499, 519, 700, 603, 479, 654, 542, 688];
    let report = first_growth(&run, 10, |n| {
        let need = needs[n as usize - 1] << 10;
        work(&backend, need + (25 << 10), need);
    });
    let growth = report.expect("within ten steps").growth.unwrap();
    assert_eq!(
        (growth.cause, growth.bytes_per_step),
        (GrowthCause::LiveArrays, 25 << 10)
    );
}

#[test]
fn memory_outside_mlx_that_grows_is_told() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 1000 * MIB, 0);
    let run = builder(&manager).start().unwrap();
    let report = first_growth(&run, 10, |n| {
        backend.set_footprint(Some((1100 + 3 * n) * MIB))
    });
    let growth = report.expect("within ten steps").growth.unwrap();
    assert_eq!(
        (growth.cause, growth.bytes_per_step),
        (GrowthCause::Outside, 3 * MIB)
    );

    // What live arrays take of it is not outside.
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = builder(&manager).start().unwrap();
    let report = first_growth(&run, 10, |n| {
        work(&backend, MIB, 0);
        backend.set_footprint(Some((100 + n) * MIB));
    });
    assert_eq!(
        report.unwrap().growth.unwrap().cause,
        GrowthCause::LiveArrays
    );
}

#[test]
fn a_cache_that_grows_is_told_where_its_limit_does_not_hold_it() {
    for (limit, told) in [(1 << 40, true), (300 * MIB, false)] {
        let (manager, backend) = on(RecordingBackend::cpu());
        let run = builder(&manager)
            .budget(2000 * MIB)
            .cache_limit(Limit::Fixed(limit));
        let run = run.start().unwrap();
        let report = first_growth(&run, 10, |n| {
            work(&backend, 20 * MIB, 20 * MIB);
            backend.update_memory(|counters| counters.cache = 20 * n * MIB);
        });
        assert_eq!(report.is_some(), told, "{limit}");
        if let Some(report) = report {
            let growth = report.growth.unwrap();
            assert_eq!(
                (growth.cause, growth.bytes_per_step),
                (GrowthCause::Cache, 20 * MIB)
            );
        }
    }
}

#[test]
fn batches_that_grow_are_no_growth() {
    // What a step needs for a while beside its batch, in tenths of that.
    for tenths in [190, 7] {
        let (manager, backend) = on(RecordingBackend::cpu());
        let run = builder(&manager).start().unwrap();
        // The last batch is kept until the next one comes.
        let mut kept = 0;
        let report = first_growth(&run, 60, |n| {
            work(&backend, 0, kept);
            kept = n * MIB;
            let need = tenths * kept / 10;
            work(&backend, kept + need, need);
        });
        assert_eq!(report, None, "{tenths}");
    }
}

#[test]
fn the_governor_sets_the_cache_limit_seldom_and_it_comes_back() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = Run::builder()
        .manager(&manager)
        .budget(4096 * MIB)
        .start()
        .unwrap();
    let at_start = backend.memory_calls().len();
    for _ in 0..1000 {
        step(&run, || work(&backend, 100 * MIB, 100 * MIB));
    }
    let calls = &backend.memory_calls()[at_start..];
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(backend.cache_limit(), 200 * MIB);
    assert_eq!(step(&run, || ()).cache_limit, Some(200 * MIB));
    run.finish().unwrap();
    assert_eq!(backend.cache_limit(), 32 * MIB);
}

#[test]
fn the_cache_is_emptied_where_memory_is_short_and_that_is_said() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 700 * MIB, 0);
    let run = Run::builder()
        .manager(&manager)
        .budget(1000 * MIB)
        .start()
        .unwrap();
    let mut cleared = Vec::new();
    for _ in 0..50 {
        backend.update_memory(|counters| counters.cache = 290 * MIB);
        let report = step(&run, || work(&backend, 50 * MIB, 50 * MIB));
        if report.cleared > 0 {
            assert!(report.to_string().contains("memory is short"), "{report}");
            cleared.push(report.cleared);
        }
    }
    assert_eq!(cleared, [290 * MIB], "not each step");
    let clears = |call: &mlx_wired::ffi::MemoryCall| call.setting == MemorySetting::Cache;
    assert_eq!(backend.memory_calls().into_iter().filter(clears).count(), 1);
    assert!(backend.memory().is_ok());
}

#[test]
fn a_limit_that_is_refused_does_not_end_the_run() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let run = Run::builder().manager(&manager).start().unwrap();
    backend.panic_setting(MemorySetting::CacheLimit, true);
    for _ in 0..10 {
        step(&run, || work(&backend, 100 * MIB, 100 * MIB));
    }
    assert_eq!(backend.cache_limit(), 32 * MIB);
    backend.panic_setting(MemorySetting::CacheLimit, false);
    run.finish().unwrap();
}
