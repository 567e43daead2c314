//! Measuring.

use super::work;
use crate::kit::{MIB, assert_matches, assert_says, on};
use mlx_wired::ffi::{Backend, RecordingBackend};
use mlx_wired::train::{Error, Measured, Measuring, Run};
use mlx_wired::{Manager, SumPolicy};
use std::sync::mpsc;
use std::thread;

#[test]
fn the_first_runs_are_discarded_and_two_that_agree_end_it() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 500 * MIB, 0);
    let mut needs = [900, 100, 80, 60, 64, 63].into_iter();
    let measured = Measuring::new("step").manager(&manager).run(|| {
        let need = needs.next().expect("no more runs") * MIB;
        // One MiB stays.
        work(&backend, need, need - MIB);
        Ok::<(), std::fmt::Error>(())
    });
    let measured = measured.unwrap();
    assert_eq!(needs.len(), 0, "64 and 63 agree, 60 and 64 did not");
    assert_eq!((measured.runs, measured.warm_up), (4, 2));
    assert_eq!(measured.above_start, 80 * MIB, "the largest that counted");
    assert_eq!(measured.peak, (500 + 2 + 80) * MIB);
    assert_eq!(measured.active_after, measured.active_before + MIB);
    assert_eq!(measured.workspace, 79 * MIB);
    assert!((measured.spread - 20.0 / 80.0).abs() < 1e-9);
    let text = measured.to_string();
    assert_says(
        &text,
        "ticket 90 MiB = 80 MiB above the start + a margin of 10 MiB",
    );
    assert!(text.contains("keeps 1 MiB"), "{text}");
    let ticket = measured.ticket_of(&manager, &SumPolicy::new());
    assert_eq!(
        (ticket.bytes(), ticket.get_label()),
        (90 * MIB, Some("step"))
    );
}

#[test]
fn the_margin_and_the_tolerance_are_the_backends() {
    let (manager, backend) = on(RecordingBackend::cuda());
    let mut needs = [100, 100, 100, 81].into_iter();
    let measured = Measuring::new("step").manager(&manager).run(|| {
        let need = needs.next().expect("two that differ by 19 % agree") * MIB;
        work(&backend, need, need);
    });
    let measured = measured.unwrap();
    assert_eq!(
        (measured.above_start, measured.margin),
        (100 * MIB, 25 * MIB)
    );
    assert_eq!(measured.ticket_bytes(), 125 * MIB);
    assert_eq!(
        Measured::ticket_bytes_for(measured.kind, u64::MAX),
        u64::MAX
    );
    assert_eq!(Measured::ticket_bytes_for(measured.kind, 0), 0);
}

#[test]
fn what_does_not_get_steady_is_told_with_all_results() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let mut need = 0;
    let error = Measuring::new("step").manager(&manager).at_most(3).run(|| {
        need += 10 * MIB;
        work(&backend, need, need);
    });
    match error {
        Err(Error::NotSteady {
            results, tolerance, ..
        }) => {
            assert_eq!(results, [30 * MIB, 40 * MIB, 50 * MIB]);
            assert!((tolerance - 0.02).abs() < 1e-9);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_peak_below_the_start_is_no_result() {
    let (manager, backend) = on(RecordingBackend::cpu());
    work(&backend, 500 * MIB, 0);
    // 100 MiB that were there before go, then 40 come.
    let error = Measuring::new("step").manager(&manager).run(|| {
        work(&backend, 0, 100 * MIB);
        work(&backend, 40 * MIB, 0);
    });
    match error {
        Err(Error::BelowStart { before, peak, .. }) => {
            assert_eq!((before, peak), (500 * MIB, 440 * MIB));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_closures_error_comes_through() {
    let (manager, _backend) = on(RecordingBackend::cpu());
    let measuring = Measuring::new("step").manager(&manager);
    let text = "[metal::malloc] Resource limit (499000) exceeded.";
    let error = measuring.run(|| Err::<(), _>(text)).unwrap_err();
    let Error::Work(cause) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(cause.to_string(), text);
    assert_says(&error.to_string(), "a number of live buffers");
}

#[test]
fn counters_that_cannot_be_read_are_an_error() {
    let (manager, backend) = on(RecordingBackend::cpu());
    backend.fail_memory(true);
    let measuring = Measuring::new("step").manager(&manager);
    assert!(matches!(measuring.run(|| ()), Err(Error::Backend(_))));
}

/// Who was in the way, by label.
fn in_the_way(result: Result<Measured, Error>) -> Vec<String> {
    match result {
        Err(Error::NotAlone { guards, count, .. }) => {
            assert!(count >= guards.len() && count > 0);
            assert!(guards.iter().all(|guard| guard.place.is_some()));
            let label =
                |guard: mlx_wired::train::OtherGuard| guard.label.expect("it has one").to_string();
            guards.into_iter().map(label).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_refuses_while_other_guards_live() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let policy = SumPolicy::capped(1 << 30);
    let ran = || -> () { panic!("nothing is measured") };
    let weights = manager.ticket(&policy, MIB).reservation().label("weights");
    let weights = weights.acquire_owned().unwrap();
    let measuring = Measuring::new("step").manager(&manager);
    assert_eq!(in_the_way(measuring.clone().run(ran)), ["weights"]);

    // A hold does no work; a guard of work does.
    let measured = measuring
        .clone()
        .beside_holds()
        .run(|| work(&backend, MIB, MIB));
    assert_eq!(measured.unwrap().above_start, MIB);
    let work = manager.ticket(&policy, MIB).label("work");
    let guard = work.acquire().unwrap();
    assert_eq!(
        in_the_way(measuring.clone().beside_holds().run(ran)),
        ["work"]
    );
    drop((weights, guard));
    assert!(measuring.run(|| ()).is_ok());
}

#[test]
fn a_second_measurement_meanwhile_is_refused() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let measuring = Measuring::new("step").manager(&manager);
    let mut told = Vec::new();
    let first = measuring.clone().run(|| {
        work(&backend, 80 * MIB, 80 * MIB);
        // It would reset the peak.
        let second = measuring.clone().run(|| ());
        told.push(second.unwrap_err());
    });
    assert_eq!(first.unwrap().above_start, 80 * MIB);
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|error| {
        matches!(error, Error::MeasurementInProgress { place } if place.file().ends_with("measure.rs"))
    }));
    assert!(told[0].to_string().contains("measure.rs"), "{}", told[0]);
    measuring.run(|| ()).expect("it has ended");
}

#[test]
fn a_guard_that_comes_and_goes_meanwhile_is_noticed() {
    let (manager, _backend) = on(RecordingBackend::cpu());
    let other = manager.ticket(&SumPolicy::new(), MIB).label("other");
    let (go, wait) = mpsc::channel::<()>();
    let (done, finished) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // In here, so that a failure ends what waits for it.
        let (other, go) = (&other, go);
        scope.spawn(move || {
            wait.recv().unwrap();
            drop(other.acquire().unwrap());
            done.send(()).unwrap();
        });
        let mut runs = 0;
        let result = Measuring::new("step").manager(&manager).run(|| {
            runs += 1;
            if runs == 3 {
                go.send(()).unwrap();
                finished.recv().unwrap();
            }
        });
        assert_eq!(in_the_way(result), ["other"]);
        assert_eq!(runs, 3);
    });
}

#[test]
fn the_closures_own_guards_on_its_thread_are_part_of_it() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let own = manager.ticket(&SumPolicy::new(), MIB);
    let measuring = Measuring::new("step").manager(&manager);
    let measured = measuring.clone().run(|| {
        let _guard = own.acquire().unwrap();
        work(&backend, MIB, MIB);
    });
    assert_eq!(measured.unwrap().above_start, MIB);

    // What it keeps would be beside what is measured next.
    let mut kept = Vec::new();
    let own = own.label("kept");
    let result = measuring.run(|| kept.push(own.acquire_owned().unwrap()));
    assert_eq!(in_the_way(result), ["kept"]);
}

#[test]
fn names_in_errors_are_escaped() {
    let (manager, _backend) = on(RecordingBackend::cpu());
    let guard = manager
        .ticket(&SumPolicy::new(), MIB)
        .label("a\nb")
        .acquire_owned();
    let error = Measuring::new("x\u{1b}[2J")
        .manager(&manager)
        .run(|| ())
        .unwrap_err();
    for text in [error.to_string(), format!("{error:#}")] {
        assert!(
            text.contains("a\\nb") && !text.contains(char::is_control),
            "{text}"
        );
    }
    drop(guard);
}

#[test]
fn without_mlx_there_is_nothing_to_measure() {
    let manager = Manager::builder()
        .backend(mlx_wired::ffi::NoMlx::new())
        .build()
        .unwrap();
    assert!(manager.backend().memory().is_err());
    let result = Measuring::new("step").manager(&manager).run(|| ());
    assert!(matches!(result, Err(Error::Backend(_))), "{result:?}");
}

/// Each step of a run resets the record of the peak: what was measured would be too little.
#[test]
fn a_measurement_and_a_run_exclude_each_other() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let work = || backend.update_memory(|counters| counters.recorded_peak = 80 * MIB);
    let run = Run::builder().manager(&manager).start().unwrap();
    let beside = Measuring::new("step").manager(&manager).run(|| {
        work();
        let _report = run.after_eval();
    });
    assert_matches!(beside, Err(Error::RunInProgress { .. }));
    run.finish().unwrap();

    let mut told = None;
    let measured = Measuring::new("step").manager(&manager).run(|| {
        told = Some(Run::builder().manager(&manager).start().map(drop));
        work();
    });
    assert_eq!(measured.unwrap().above_start, 80 * MIB);
    assert_matches!(told, Some(Err(Error::MeasurementInProgress { .. })));
    assert!(Run::builder().manager(&manager).start().is_ok());
}
