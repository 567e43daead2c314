//! Work that leaves memory behind.

use super::Stage;
use crate::kit::MIB;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::Error;
use std::io;

#[test]
fn arrays_that_stay_are_a_leak() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    let mut active = 0;
    let check = monitor.leak_check(|| {
        active += 3 * MIB;
        stage.active(active);
    });
    let check = check.expect("it can be checked");
    assert!(check.is_leak());
    assert_eq!((check.runs(), check.arrays_per_run()), (5, 3 * MIB));
    assert_eq!(check.active.first(), Some(&(6 * MIB)), "two to warm up");
    assert_eq!(
        check.to_string(),
        "each of 5 runs leaves at least 3 MiB of live arrays behind"
    );
}

#[test]
fn what_the_first_runs_keep_is_none() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    let mut runs = 0;
    let check = monitor.leak_check(|| {
        runs += 1;
        // It compiles, and later one array is kept now and then.
        stage.active(10 * MIB * u64::from(runs.min(2_u32)) + MIB * u64::from(runs / 3));
    });
    let check = check.expect("it can be checked");
    assert!(!check.is_leak(), "{check:?}");
    assert_eq!(runs, 7);
    assert_eq!(
        check.to_string(),
        "not each of 5 runs leaves memory behind: no leak"
    );
}

#[test]
fn memory_outside_mlx_is_seen_but_not_its_noise() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    for (by, leaks) in [(64 << 10, true), (63 << 10, false)] {
        let mut footprint = 100 * MIB;
        let check = monitor.leak_check(|| {
            footprint += by;
            stage.backend.set_footprint(Some(footprint));
        });
        let check = check.expect("it can be checked");
        assert_eq!(check.is_leak(), leaks, "{check:?}");
        assert_eq!(check.outside_per_run(), if leaks { by } else { 0 });
    }
}

#[test]
fn on_a_card_of_its_own_memory_the_process_is_not_looked_at() {
    let (stage, monitor) = Stage::started(RecordingBackend::cuda());
    let mut footprint = 100 * MIB;
    let check = monitor.leak_check(|| {
        footprint += MIB;
        stage.backend.set_footprint(Some(footprint));
    });
    let check = check.expect("it can be checked");
    assert!(check.outside.is_empty(), "{check:?}");
}

#[test]
fn the_works_own_error_ends_it() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let mut runs = 0;
    let checked = monitor.leak_check(|| {
        runs += 1;
        if runs == 4 {
            return Err(io::Error::other("no more data"));
        }
        Ok(())
    });
    assert!(matches!(checked, Err(Error::Work(_))), "{checked:?}");
    assert_eq!(runs, 4);
}
