//! What is told to be wrong, and the cure.

use super::Stage;
use crate::kit::{MIB, SECOND, until};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::monitor::{Monitor, Problem, Severity};
use mlx_wired::{CancelToken, Config, SumPolicy, Wait};
use std::thread;

fn problems(monitor: &Monitor) -> Vec<Problem> {
    monitor.problems().expect("it is no child")
}

fn ids(monitor: &Monitor) -> Vec<&'static str> {
    problems(monitor).iter().map(|it| it.id).collect()
}

#[test]
fn where_all_is_well_nothing_is_said() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    assert_eq!(problems(&monitor), []);
}

#[test]
fn a_budget_that_is_nearly_or_more_than_used_up() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().budget(100 * MIB);
    let monitor = monitor.start().expect("it starts");
    stage.active(90 * MIB);
    let near = &problems(&monitor)[0];
    assert_eq!((near.id, near.severity), ("near-budget", Severity::Warning));
    assert_eq!(near.text, "urgent: 90 MiB in use of 100 MiB");
    stage.active(101 * MIB);
    let over = problems(&monitor);
    assert_eq!((over.len(), over[0].id), (1, "over-budget"));
    assert_eq!(
        over[0].to_string(),
        "101 MiB in use of 100 MiB; drop arrays, take smaller batches, or let fewer threads work at once"
    );
}

#[test]
fn a_wait_that_stands_is_told_with_what_is_in_its_way() {
    let config = Config::default().stall_after(10 * SECOND);
    let stage = Stage::with(RecordingBackend::cpu(), config);
    let monitor = stage.monitor().start().expect("it starts");
    let policy = SumPolicy::capped(100 * MIB);
    let ticket = |bytes, name: &str| stage.manager.ticket(&policy, bytes).label(name);
    let small = ticket(10 * MIB, "small");
    let _small = small.acquire().expect("it fits");
    let large = ticket(60 * MIB, "large\u{1b}[2J");
    let _large = large.acquire().expect("it fits");
    let waits = ticket(50 * MIB, "waits");
    let token = CancelToken::new();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| waits.acquire_with(Wait::new().cancel(&token)).map(drop));
        until("it waits", || stage.manager.waiting().len() == 1);
        stage.clock.advance(9 * SECOND);
        let not_long_yet = ids(&monitor);
        stage.clock.advance(SECOND);
        let told = problems(&monitor);
        token.cancel();
        assert_eq!(not_long_yet, [""; 0]);
        waiter
            .join()
            .expect("it ends")
            .expect_err("it is cancelled");
        assert_eq!(told.len(), 1);
        let stalled = &told[0];
        assert_eq!(
            (stalled.id, stalled.severity),
            ("stalled-wait", Severity::Error)
        );
        assert!(
            stalled
                .text
                .starts_with("waits has waited 10s for 50 MiB at "),
            "{stalled}"
        );
        assert!(
            stalled.text.ends_with("70 MiB of 100 MiB in use"),
            "{stalled}"
        );
        assert!(
            stalled
                .cure
                .starts_with("release large\\u{1b}[2J (60 MiB, acquired at "),
            "{stalled}"
        );
    });
    assert_eq!(ids(&monitor), [""; 0], "it is gone with the wait");
}

#[test]
fn growth_is_told_with_how_long_the_budget_lasts() {
    let stage = Stage::new(RecordingBackend::cpu());
    let monitor = stage.monitor().budget(1000 * MIB);
    let monitor = monitor.start().expect("it starts");
    for ten in 0..7 {
        stage.active(100 * MIB + ten * 60 * MIB);
        for _ in 0..10 {
            stage.tick(&monitor);
        }
    }
    let told = problems(&monitor);
    assert_eq!((told.len(), told[0].id), (1, "growth"));
    assert_eq!(
        told[0].text,
        "live arrays grow 6 MiB a second for 60s; the budget lasts 90s more"
    );
}

#[test]
fn guards_that_nothing_can_release_and_the_managers_level() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    let policy = SumPolicy::capped(100 * MIB);
    {
        let ticket = stage.manager.ticket(&policy, 40 * MIB);
        std::mem::forget(ticket.acquire().expect("it fits"));
    }
    stage.manager.set_pressure(0.9).expect("it is told");
    let told = problems(&monitor);
    let texts: Vec<_> = told.iter().map(|it| (it.id, &*it.text)).collect();
    assert_eq!(
        texts,
        [
            ("pressure", "the pressure on memory is critical"),
            ("lost-guards", "1 guard of 40 MiB can no longer be released"),
        ]
    );
}

#[test]
fn the_worst_comes_first_and_counters_that_fail_are_told() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    stage.manager.set_pressure(0.3).expect("it is told");
    stage.backend.fail_memory(true);
    assert_eq!(ids(&monitor), ["unreadable", "pressure"]);
    let told = problems(&monitor);
    assert!(told.is_sorted_by(|a, b| a.severity >= b.severity));
    for problem in told {
        assert!(!problem.cure.is_empty(), "{problem}");
    }
}
