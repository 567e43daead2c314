//! Replays recordings of the real mlx-swift actor through the public API.
//!
//! `tests/data/traces/README.md` describes the format. `MLX_WIRED_TRACES` names another folder.

#![allow(clippy::print_stdout, reason = "the counts are for people")]

mod altered;
#[path = "../rules/support/asleep.rs"]
mod asleep;
mod baseline;
mod compare;
mod differences;
mod ledger;
mod player;
mod policies;
mod recording;
mod trace;

use differences::Counts;
use std::path::PathBuf;

fn folder() -> PathBuf {
    std::env::var_os("MLX_WIRED_TRACES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces"),
        PathBuf::from,
    )
}

#[test]
fn every_trace_of_the_swift_actor_replays() {
    let traces = trace::load(&folder());
    assert!(!traces.is_empty(), "no traces in {}", folder().display());
    let steps: usize = traces.iter().map(|trace| trace.steps.len()).sum();
    if std::env::var_os("MLX_WIRED_TRACES").is_none() {
        assert_eq!((traces.len(), steps), (96, 4442), "all of them");
    }
    let mut failures = Vec::new();
    let mut differences = Counts::default();
    for trace in &traces {
        if let Err(failure) = compare::replay(trace, &mut differences) {
            failures.push(format!("{}, {failure}", trace.header.trace));
        }
    }
    println!(
        "{} traces, {steps} steps; intended differences:\n{differences}",
        traces.len()
    );
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        traces.len(),
        failures.join("\n")
    );
}
