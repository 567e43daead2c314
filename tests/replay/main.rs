//! Replays recordings of the real mlx-swift actor through the public API.
//!
//! `tests/data/traces/README.md` describes the format. `MLX_WIRED_TRACES` names another folder.

#![allow(clippy::print_stdout, reason = "the counts are for people")]

mod altered;
mod baseline;
mod compare;
mod differences;
#[path = "../kit/mod.rs"]
mod kit;
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

/// The waits of the recordings that this library refuses unless their reservations are evictable (R26): the actor lets a
/// start wait for what only the end of a reservation gives. `docs/MIGRATING.md` lists them. Recording, and tickets.
const REFUSED_BESIDE_RESERVATIONS: [(&str, &[u64]); 4] = [
    ("blocking-0", &[12]),
    ("blocking-1", &[14]),
    ("blocking-8", &[8, 9, 12]),
    ("blocking-10", &[18, 19]),
];

#[test]
fn r26_waits_that_reservations_which_stay_would_refuse() {
    let traces = trace::load(&folder());
    let waits = traces.iter().flat_map(|trace| &trace.steps);
    let waits = waits.filter(|step| step.blocked).count();
    let mut refused = Vec::new();
    for trace in &traces {
        let (played, tickets) = player::play_staying(trace);
        assert_eq!(played.stopped, None, "{}", trace.header.trace);
        if !tickets.is_empty() {
            refused.push((trace.header.trace.as_str(), tickets));
        }
    }
    let count: usize = refused.iter().map(|(_, tickets)| tickets.len()).sum();
    println!("{count} of {waits} waits would be refused: {refused:?}");
    if std::env::var_os("MLX_WIRED_TRACES").is_none() {
        let expected = REFUSED_BESIDE_RESERVATIONS.map(|(name, tickets)| (name, tickets.to_vec()));
        assert_eq!(refused, expected);
    }
}
