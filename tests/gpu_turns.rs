//! What `benches/gpu` makes of children that end badly, and of turns that failed. No card is needed: a shell is the child.
#![cfg(unix)]
#![allow(
    dead_code,
    clippy::print_stdout,
    reason = "the bench uses the rest, and prints its rows"
)]

#[path = "../benches/gpu/child.rs"]
mod child;
#[path = "../benches/bars/failure.rs"]
mod failure;
#[path = "../benches/bars/machine.rs"]
mod machine;
#[path = "../benches/bars/method.rs"]
mod method;
#[path = "../benches/gpu/outcome.rs"]
mod outcome;
#[path = "../benches/bars/report.rs"]
mod report;
#[path = "../benches/gpu/task.rs"]
mod task;

use child::{End, Heard};
use failure::Failure;
use outcome::Outcome;
use report::{Report, Row, Run, Verdict};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const JOBS: usize = 2;

/// Says what a turn of two jobs says that takes so many seconds.
fn turned(seconds: u32) -> String {
    let over = format!(r#"{{"Turned":{{"seconds":{seconds},"peak":1,"retired":0}}}}"#);
    format!("echo '\"Ended\"'; echo '\"Ended\"'; echo '{over}'")
}

fn hear(script: &str) -> Heard {
    let patience = Duration::from_secs(60);
    child::hear(Command::new("sh").args(["-c", script]), patience).expect("a shell")
}

fn outcome(script: &str) -> Outcome {
    Outcome::of(hear(script))
}

/// The rows of these turns.
fn judged(name: &str, by_hand: &[Outcome], with_tickets: &[Outcome]) -> Vec<Row> {
    let mut report = Report::new(Vec::new(), false);
    outcome::judge(&mut report, str::to_owned, JOBS, by_hand, with_tickets);
    read_back(name, report).expect("it is read back").rows
}

/// The report as a file for machines, and what is read from that.
fn read_back(name: &str, report: Report) -> Result<Run, Failure> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gpu-turns-{name}.json"));
    let file = File::create(&path).expect("a new file");
    report.finish(Some(file)).expect("it writes");
    let run = Run::read(&path);
    fs::remove_file(path).expect("it is there");
    run
}

#[track_caller]
fn row<'a>(rows: &'a [Row], name: &str) -> &'a Row {
    let found = rows.iter().find(|row| row.name == name);
    found.unwrap_or_else(|| panic!("no row {name}: {rows:?}"))
}

#[test]
fn a_quick_run_is_no_source_of_figures() {
    let mut report = Report::new(Vec::new(), true);
    report.at_most("row", 2.0, 1.0, None);
    let refused = read_back("quick", report).expect_err("it measured nothing");
    assert!(
        refused.to_string().contains("quick.json: a quick run"),
        "{refused}"
    );
}

#[test]
fn how_a_child_ends_is_told() {
    assert_eq!(hear("exit 0").end, End::Well);
    for (script, word) in [("exit 2", "it failed"), ("kill -ABRT $$", "it aborted")] {
        let end = hear(script).end;
        assert!(matches!(end, End::Badly(_)), "{end:?}");
        assert_eq!(end.to_string(), word);
    }
}

#[test]
fn a_child_that_says_nothing_is_ended() {
    let patience = Duration::from_secs(1);
    let heard = child::hear(Command::new("sleep").arg("600"), patience).expect("it starts");
    assert_eq!(heard.end, End::Silent(patience));
    assert_eq!(heard.end.to_string(), "silent for over 1 s");
}

#[test]
fn a_child_that_hangs_at_its_end_is_ended() {
    // Enough for the shell to begin.
    let patience = Duration::from_secs(5);
    let mut child = Command::new("sh");
    child.args(["-c", "echo '\"Ended\"'; exec >&-; exec sleep 600"]);
    let heard = child::hear(&mut child, patience).expect("a shell");
    assert_eq!(heard.end, End::Hung(patience));
    assert_eq!(heard.end.to_string(), "it hung at its end for 5 s");
    let rows = judged("hung", &[], &[Outcome::of(heard)]);
    assert_eq!(row(&rows, "tickets/not-ended").value, Some(1.0));
    assert_eq!(row(&rows, "tickets/failed-turns").value, Some(1.0));
}

#[test]
fn medians_are_compared() {
    let by_hand = [60, 20, 120].map(|seconds| outcome(&turned(seconds)));
    let with_tickets = [30, 15, 60].map(|seconds| outcome(&turned(seconds)));
    let rows = judged("medians", &by_hand, &with_tickets);
    assert_eq!(row(&rows, "best-by-hand/jobs-a-minute").value, Some(2.0));
    assert_eq!(row(&rows, "tickets/jobs-a-minute").value, Some(4.0));
    let ratio = row(&rows, "best-by-hand-to-tickets");
    assert_eq!((ratio.value, ratio.verdict), (Some(0.5), Verdict::Ok));
    assert!(rows.iter().all(|row| row.verdict != Verdict::Short));
}

#[test]
fn an_abort_after_the_last_job_is_short() {
    let aborts = |seconds| outcome(&format!("{}; kill -ABRT $$", turned(seconds)));
    let by_hand = [outcome(&turned(60))];
    let rows = judged("one", &by_hand, &[aborts(20), outcome(&turned(20))]);
    assert_eq!(row(&rows, "tickets/not-ended").verdict, Verdict::Ok);
    let failed = row(&rows, "tickets/failed-turns");
    assert_eq!((failed.value, failed.verdict), (Some(1.0), Verdict::Short));

    let rows = judged("all", &by_hand, &[aborts(20), aborts(20), aborts(20)]);
    let ratio = row(&rows, "best-by-hand-to-tickets");
    assert_eq!((ratio.value, ratio.verdict), (None, Verdict::Short));

    let says_no_end = outcome("echo '\"Ended\"'; echo '\"Ended\"'");
    let rows = judged("no-end", &[], &[says_no_end]);
    let failed = row(&rows, "tickets/failed-turns");
    assert_eq!(failed.verdict, Verdict::Short);
}

#[test]
fn a_repeat_by_hand_that_fails_is_told_and_does_not_count() {
    let by_hand = [outcome(&turned(60)), outcome("kill -ABRT $$")];
    let rows = judged("repeat", &by_hand, &[outcome(&turned(60))]);
    assert_eq!(row(&rows, "best-by-hand/failed-turns").value, Some(1.0));
    assert_eq!(row(&rows, "best-by-hand-to-tickets").value, Some(1.0));
}
