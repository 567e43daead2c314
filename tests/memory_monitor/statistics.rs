//! What was seen; the monitor's thread; memory that grows.

use super::Stage;
use crate::kit::{MIB, SECOND, until};
use mlx_wired::PressureLevel;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::monitor::{Grows, Monitor, Statistics};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn seen(monitor: &Monitor) -> Statistics {
    monitor.statistics().expect("it is no child")
}

#[test]
fn the_thread_reads_at_each_interval_and_not_between() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    assert_eq!(seen(&monitor).readings, 1, "the first is the start's");
    stage.active(7 * MIB);
    assert_eq!(seen(&monitor).last.active, 0);
    stage.tick(&monitor);
    assert_eq!(seen(&monitor).readings, 2);
    assert_eq!(seen(&monitor).last.active, 7 * MIB);
    stage.clock.advance(Duration::from_millis(999));
    stage.active(8 * MIB);
    stage.clock.advance(Duration::from_millis(1));
    until("the second passes", || seen(&monitor).readings == 3);
    assert_eq!(seen(&monitor).last.active, 8 * MIB);
    // A process that was stopped does not catch up.
    stage.clock.advance(100 * SECOND);
    until("it reads once", || seen(&monitor).readings == 4);
    stage.tick(&monitor);
    assert_eq!(seen(&monitor).readings, 5);
}

#[test]
fn dropping_it_ends_the_thread_while_the_clock_stands_still() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let (done, told) = mpsc::channel();
    let drops = thread::spawn(move || {
        drop(monitor);
        done.send(()).expect("the test waits");
    });
    told.recv_timeout(Duration::from_secs(60))
        .expect("it does not wait for the second to pass");
    drops.join().expect("nothing panics");
}

#[test]
fn figures_have_their_least_most_and_mean() {
    let stage = Stage::new(RecordingBackend::cpu());
    stage.active(100);
    let monitor = stage.monitor().start().expect("it starts");
    for active in [400, 250] {
        stage.active(active);
        monitor.read().expect("it can be read");
    }
    let seen = seen(&monitor);
    let active = seen.active;
    assert_eq!((active.least, active.most, active.mean), (100, 400, 250));
    assert_eq!(seen.used, seen.active);
    assert_eq!(seen.footprint, None, "the system has not told");
    assert_eq!(seen.last.peak, 400);
    // Nothing overflows.
    stage.active(u64::MAX);
    for _ in 0..3 {
        monitor.read().expect("it can be read");
    }
    assert_eq!(
        monitor.statistics().expect("no child").active.most,
        u64::MAX
    );
}

#[test]
fn levels_are_counted_and_timed() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().budget(100).start().expect("it starts");
    for active in [80, 90, 96, 96, 10] {
        stage.active(active);
        stage.tick(&monitor);
    }
    stage.clock.advance(SECOND / 2);
    let seen = seen(&monitor);
    assert_eq!(seen.last.level, PressureLevel::Normal);
    assert_eq!((seen.rises, seen.falls), (3, 1));
    let millis = seen.time_at.map(|time| time.as_millis());
    // Each until the reading that found another level.
    assert_eq!(millis, [1500, 1000, 1000, 2000]);
}

#[test]
fn registrations_are_counted() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    drop(monitor.uncounted("a", 5));
    let _lives = monitor.uncounted("b", 3);
    let seen = seen(&monitor);
    assert_eq!(seen.uncounted_registered, 2);
    assert_eq!(seen.uncounted_released, 1);
    assert_eq!(seen.uncounted_live, 1);
    assert_eq!(seen.uncounted_largest, 5);
}

#[test]
fn readings_that_fail_are_counted_and_the_thread_goes_on() {
    let stage = Stage::new(RecordingBackend::cpu());
    stage.active(5);
    let monitor = stage.monitor().start().expect("it starts");
    stage.backend.fail_memory(true);
    stage.tick(&monitor);
    let failing = seen(&monitor);
    assert_eq!((failing.failures, failing.is_failing), (1, true));
    assert_eq!(failing.last.active, 5, "the last that did not");
    stage.backend.fail_memory(false);
    stage.tick(&monitor);
    assert!(!seen(&monitor).is_failing);
}

/// Each reading of ten is higher than that of the ten before, with work that comes and goes between.
fn grow(stage: &Stage, monitor: &Monitor, tens: u64, by: u64) {
    for ten in 0..tens {
        for reading in 0..10 {
            stage.active(100 * MIB + ten * by + (reading % 3) * 500 * MIB);
            stage.tick(monitor);
        }
    }
}

#[test]
fn memory_that_grows_under_work_that_comes_and_goes_is_found() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    grow(&stage, &monitor, 6, 4 * MIB);
    assert_eq!(seen(&monitor).growth, None, "five rises may be chance");
    grow(&stage, &monitor, 0, 0);
    for reading in 0..10 {
        stage.active(124 * MIB + (reading % 2) * 100 * MIB);
        stage.tick(&monitor);
    }
    let growth = seen(&monitor).growth.expect("six rises");
    assert_eq!(growth.what, Grows::Arrays);
    assert_eq!((growth.bytes, growth.within), (24 * MIB, 60 * SECOND));
    assert_eq!(growth.per_second(), 24 * MIB / 60);
    assert_eq!(growth.lasts(24 * MIB / 60 * 5), Some(5 * SECOND));
    // It ends.
    for _ in 0..10 {
        stage.tick(&monitor);
        stage.active(10 * MIB);
    }
    assert_eq!(seen(&monitor).growth, None);
}

#[test]
fn what_rises_a_little_is_no_growth() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    grow(&stage, &monitor, 8, MIB);
    assert_eq!(seen(&monitor).growth, None);
}

#[test]
fn what_stands_still_once_is_no_growth() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    for low in [100, 120, 140, 140, 160, 180, 200] {
        stage.active(low * MIB);
        for _ in 0..10 {
            stage.tick(&monitor);
        }
    }
    assert_eq!(seen(&monitor).growth, None);
}

#[test]
fn memory_outside_mlx_that_grows_is_found() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    for ten in 0..7 {
        stage.backend.set_footprint(Some((500 + 10 * ten) * MIB));
        for _ in 0..10 {
            stage.tick(&monitor);
        }
    }
    let growth = seen(&monitor).growth.expect("six rises");
    assert_eq!((growth.what, growth.bytes), (Grows::Outside, 60 * MIB));
}

#[test]
fn before_anything_was_seen_twice_nothing_is_made_up() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let seen = seen(&monitor);
    assert_eq!(seen.growth, None);
    assert_eq!(seen.time_at, [Duration::ZERO; 4]);
    assert_eq!(seen.used.mean, 0);
}

/// Beyond what a clock can tell: it reads when it is asked.
#[test]
fn an_interval_without_end_is_none() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().every(Duration::MAX).start();
    let monitor = monitor.expect("it starts");
    stage.clock.advance(1000 * SECOND);
    monitor.read().expect("it can be read");
    assert_eq!(seen(&monitor).readings, 2);
}
