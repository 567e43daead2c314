//! What is used of what, which level that is, and what fits.

use super::Stage;
use crate::kit::MIB;
use mlx_wired::ffi::{NoMlx, RecordingBackend};
use mlx_wired::memory::Error;
use mlx_wired::memory::monitor::{Monitor, Thresholds};
use mlx_wired::{Config, Manager, PressureLevel};

#[test]
fn a_reading_has_what_mlx_the_system_and_the_program_say() {
    let stage = Stage::new(RecordingBackend::cpu().budget(1000 * MIB));
    let monitor = stage.monitor().start().expect("it starts");
    stage.active(300 * MIB);
    stage.active(200 * MIB);
    stage.cache(50 * MIB);
    stage.backend.set_footprint(Some(400 * MIB));
    let _decoder = monitor.uncounted("decoder", 30 * MIB);

    let reading = monitor.read().expect("it can be read");
    assert_eq!(reading.active, 200 * MIB);
    assert_eq!(reading.peak, 300 * MIB);
    assert_eq!(reading.cache, 50 * MIB);
    assert_eq!(reading.footprint, Some(400 * MIB));
    assert_eq!(reading.uncounted, 30 * MIB);
    assert_eq!(reading.memory_limit, 1000 * MIB);
    assert_eq!(reading.budget, stage.manager.budget());
    assert_eq!(reading.used, 230 * MIB, "the cache can be given back");
    assert_eq!(reading.level, PressureLevel::Normal);
}

#[test]
fn with_a_stated_budget_all_of_the_process_counts_and_nothing_twice() {
    let cpu = Stage::new(RecordingBackend::cpu());
    let cuda = Stage::new(RecordingBackend::cuda());
    for (stage, used) in [(&cpu, 700), (&cuda, 300)] {
        let monitor = stage.monitor().budget(1000 * MIB).start();
        let monitor = monitor.expect("it starts");
        stage.active(200 * MIB);
        stage.cache(100 * MIB);
        stage.backend.set_footprint(Some(800 * MIB));
        let _registered = monitor.uncounted("library", 100 * MIB);
        let reading = monitor.read().expect("it can be read");
        // On CUDA the arrays are on the card: the process's memory is beside them.
        assert_eq!(reading.used, used * MIB);
        assert_eq!(reading.budget, Some(1000 * MIB));

        stage.backend.set_footprint(None);
        let reading = monitor.read().expect("it can be read");
        assert_eq!(reading.used, 300 * MIB);
    }
}

#[test]
fn the_smaller_budget_of_the_manager_counts() {
    let config = Config::default().budget(300 * MIB);
    let stage = Stage::with(RecordingBackend::cpu().budget(1000 * MIB), config);
    let monitor = stage.monitor().start().expect("it starts");
    assert_eq!(monitor.read().expect("it reads").budget, Some(300 * MIB));
}

/// The seed's level rose where a buffer was tracked and fell never.
#[test]
fn levels_rise_and_fall_with_the_reading_alone() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().budget(1000 * MIB);
    let monitor = monitor.start().expect("it starts");
    let level = |active| {
        stage.active(active * MIB);
        monitor.read().expect("it can be read").level
    };
    for (active, expected) in [
        (749, PressureLevel::Normal),
        (750, PressureLevel::Warning),
        (850, PressureLevel::Urgent),
        (950, PressureLevel::Critical),
        (5000, PressureLevel::Critical),
        (849, PressureLevel::Warning),
        (0, PressureLevel::Normal),
    ] {
        assert_eq!(level(active), expected, "{active} MiB");
    }
}

#[test]
fn two_thresholds_have_no_urgent_level() {
    let two = Thresholds::TWO;
    assert_eq!(two.level(0.749), PressureLevel::Normal);
    assert_eq!(two.level(0.75), PressureLevel::Warning);
    assert_eq!(two.level(0.899), PressureLevel::Warning);
    assert_eq!(two.level(0.9), PressureLevel::Critical);
    assert_eq!(two.level(f64::NAN), PressureLevel::Critical);
}

#[test]
fn thresholds_that_make_no_sense_are_refused() {
    let stage = Stage::new(RecordingBackend::cpu());
    let three = Thresholds::THREE;
    for wrong in [
        three.warning(f64::NAN),
        three.warning(0.0),
        three.warning(0.9),
        three.urgent(0.96),
        three.urgent(f64::NAN),
        three.critical(1.5),
        three.critical(f64::INFINITY),
    ] {
        let error = stage.monitor().thresholds(wrong).start().err();
        let error = error.expect("they are refused");
        assert!(matches!(error, Error::Thresholds(_)), "{error:?}");
        assert!(error.to_string().len() <= 160, "{error}");
    }
    let fine = three.warning(0.85).critical(1.0);
    drop(stage.monitor().thresholds(fine).start().expect("they are"));
}

#[test]
fn the_managers_level_is_told_apart() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    stage.manager.set_pressure(0.6).expect("it is told");
    let reading = monitor.read().expect("it can be read");
    assert_eq!(reading.level, PressureLevel::Normal);
    assert_eq!(reading.pressure, PressureLevel::Urgent);
    assert_eq!(reading.worst(), PressureLevel::Urgent);
}

#[test]
fn no_figure_is_infinite_or_no_number() {
    let stage = Stage::new(RecordingBackend::cpu());
    for budget in [0, 1, u64::MAX] {
        let monitor = stage.monitor().budget(budget);
        let monitor = monitor.start().expect("it starts");
        for active in [0, 1, u64::MAX] {
            stage.active(active);
            let _more = monitor.uncounted("more", u64::MAX);
            let reading = monitor.read().expect("it can be read");
            assert!(reading.fraction.is_some_and(f64::is_finite), "{reading:?}");
            assert_eq!(reading.used, u64::MAX);
        }
    }
}

#[test]
fn what_fits_is_what_is_left_and_the_error_says_of_what() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().budget(1000 * MIB);
    let monitor = monitor.start().expect("it starts");
    stage.active(600 * MIB);
    // MLX frees it when it needs room.
    stage.cache(300 * MIB);
    monitor.can_allocate(400 * MIB).expect("it fits exactly");
    let error = monitor
        .can_allocate(400 * MIB + 1)
        .expect_err("a byte more");
    assert_eq!(
        error.to_string(),
        "400.00 MiB do not fit beside 600 MiB in use, of 1000 MiB; drop arrays, or ask for less"
    );
    let _registered = monitor.uncounted("decoder", 100 * MIB);
    monitor.can_allocate(400 * MIB).expect_err("no more");
    monitor.can_allocate(u64::MAX).expect_err("nor without end");
}

#[test]
fn a_reading_prints_as_one_line() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().budget(4096 * MIB);
    let monitor = monitor.start().expect("it starts");
    stage.active(3 * 1024 * MIB);
    let _decoder = monitor.uncounted("decoder", 256 * MIB);
    assert_eq!(
        monitor.read().expect("it can be read").to_string(),
        "warning  3.25 GiB of 4 GiB (81 %)  active 3 GiB  cache 0 B  uncounted 256 MiB"
    );
}

#[test]
fn registered_bytes_go_with_their_handle() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let uncounted = || monitor.read().expect("it can be read").uncounted;
    let mut one = monitor.uncounted("decoder", 10);
    let two = monitor.uncounted("decoder", 20);
    let other = monitor.uncounted("tokenizer", 100);
    assert_eq!(uncounted(), 130);
    one.set(4);
    assert_eq!((uncounted(), one.bytes(), one.name()), (124, 4, "decoder"));
    let listed = monitor.uncounted_bytes().expect("it is no child");
    let listed: Vec<_> = listed
        .iter()
        .map(|it| (&*it.name, it.bytes, it.live, it.largest))
        .collect();
    assert_eq!(listed, [("tokenizer", 100, 1, 100), ("decoder", 24, 2, 20)]);
    drop((one, two, other));
    assert_eq!(uncounted(), 0);
    assert_eq!(monitor.uncounted_bytes().expect("it is no child"), []);
    // One that outlives the monitor does no harm.
    let late = monitor.uncounted("late", u64::MAX);
    drop(monitor);
    drop(late);
}

#[test]
fn counters_that_fail_or_panic_are_an_error() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    stage.backend.fail_memory(true);
    let error = monitor.read().expect_err("they fail");
    assert!(matches!(error, Error::Backend(_)), "{error:?}");
    stage.backend.fail_memory(false);
    monitor.read().expect("they are back");
}

#[test]
fn without_mlx_there_is_nothing_to_monitor() {
    let manager = Manager::builder().backend(NoMlx::new()).build();
    let manager = manager.expect("it is built");
    let error = Monitor::builder().manager(&manager).start();
    assert!(matches!(error, Err(Error::Backend(_))), "{error:?}");
}
