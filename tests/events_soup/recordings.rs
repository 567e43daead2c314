//! Recordings must say what the events say.

use super::Checked;
use mlx_wired::recorder::{End, Interval, Recording, What};
use mlx_wired::{Event, EventKind, Snapshot};
use std::collections::HashSet;
use std::fmt::Debug;
use std::thread::ThreadId;
use std::time::Duration;

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?}, not {expected:?}")),
    }
}

/// Equal but for what is lost in adding up.
fn close(what: &str, found: f64, expected: f64) -> Checked {
    match (found - expected).abs() <= 1e-6 * expected.max(1.0) {
        true => Ok(()),
        false => Err(format!("{what}: {found}, not {expected}")),
    }
}

fn at_end(recording: &Recording) -> &Snapshot {
    recording.at_end().expect("the manager lives")
}

/// None is missing, none is from before or after.
pub(crate) fn it_keeps_what_is_told(recording: &Recording, all: &[Event]) -> Checked {
    same("events are missing", recording.missing(), 0)?;
    let within = recording.at_start().time..=at_end(recording).time;
    let told = all.iter().filter(|event| within.contains(&event.time));
    match told.eq(recording.events()) {
        true => Ok(()),
        false => Err("the recording's events are others".to_owned()),
    }
}

/// What was held and who waited, times how long, by the events alone.
fn integrals(recording: &Recording) -> (f64, f64) {
    let start = recording.at_start();
    let mut held: u64 = start.guards.iter().map(|it| it.bytes).sum();
    let mut waiting: HashSet<ThreadId> = start.waiters.iter().map(|it| it.thread).collect();
    let (mut byte_seconds, mut waited) = (0.0, 0.0);
    let mut last = Duration::ZERO;
    let mut pass = |until: Duration, held: u64, waiting: usize| {
        let time = (until - last).as_secs_f64();
        byte_seconds += held as f64 * time;
        waited += waiting as f64 * time;
        last = until;
    };
    for event in recording.events() {
        pass(event.time - recording.begin(), held, waiting.len());
        let size = event.size.unwrap_or_default();
        match event.kind {
            EventKind::TicketStarted => held += size,
            EventKind::TicketEnded => held -= size,
            EventKind::TicketResized { from, .. } => held = held + size - from,
            _ => {}
        }
        match event.kind {
            EventKind::AdmissionWait => {
                waiting.insert(event.thread);
            }
            EventKind::AdmissionGranted
            | EventKind::AdmissionTimedOut
            | EventKind::AdmissionCancelled
            | EventKind::AdmissionFailed(_)
            | EventKind::TicketResized { .. } => {
                waiting.remove(&event.thread);
            }
            _ => {}
        }
    }
    pass(recording.duration(), held, waiting.len());
    (byte_seconds, waited)
}

/// Pairing beginnings with ends loses nothing: which of several alike is paired makes no difference to their sum.
pub(crate) fn totals_are_the_integral(recording: &Recording) -> Checked {
    let totals = recording.totals();
    let held = totals.iter().map(|total| total.byte_seconds).sum();
    let waited = totals.iter().map(|total| total.waited.as_secs_f64()).sum();
    let (expected, expected_wait) = integrals(recording);
    close("bytes times seconds", held, expected)?;
    close("seconds waited", waited, expected_wait)
}

/// The same cut into columns and size classes.
pub(crate) fn sizes_against_time_are_the_integral(recording: &Recording) -> Checked {
    let columns = 7;
    let map = recording.heat_map(columns);
    let column = recording.duration().as_secs_f64() / columns as f64;
    let cells: f64 = map.rows.iter().flatten().sum();
    close("the heat map", cells * column, integrals(recording).0)
}

fn count(recording: &Recording, wanted: impl Fn(&EventKind) -> bool) -> u64 {
    let events = recording.events().iter();
    events.filter(|event| wanted(&event.kind)).count() as u64
}

/// Every guard and every wait belongs to one source.
pub(crate) fn totals_count_the_events(recording: &Recording) -> Checked {
    let totals = recording.totals();
    let start = recording.at_start();
    let began = count(recording, |kind| {
        matches!(
            kind,
            EventKind::TicketStarted | EventKind::TicketResized { .. }
        )
    });
    let guards = totals.iter().map(|total| total.guards).sum();
    same("guards in all", guards, began + start.guards.len() as u64)?;
    let began = count(recording, |kind| *kind == EventKind::AdmissionWait);
    let waits = totals.iter().map(|total| total.waits).sum();
    same("waits in all", waits, began + start.waiters.len() as u64)?;
    let refused = count(recording, |kind| {
        matches!(
            kind,
            EventKind::AdmissionTimedOut
                | EventKind::AdmissionCancelled
                | EventKind::AdmissionFailed(_)
        )
    });
    let given_up = totals.iter().map(|total| total.given_up).sum();
    same("waits given up", given_up, refused)
}

/// Thread and ticket of those intervals, sorted.
fn whose(intervals: &[Interval], wanted: impl Fn(&Interval) -> bool) -> Vec<(String, u64)> {
    let wanted = intervals.iter().filter(|it| wanted(it));
    sorted(wanted.map(|it| (it.thread, it.ticket)))
}

/// A thread's number has no order, its text has.
fn sorted(all: impl Iterator<Item = (ThreadId, u64)>) -> Vec<(String, u64)> {
    let mut all: Vec<_> = all
        .map(|(thread, ticket)| (format!("{thread:?}"), ticket))
        .collect();
    all.sort_unstable();
    all
}

fn ended(intervals: &[Interval], what: What, end: End) -> u64 {
    let ended = intervals
        .iter()
        .filter(|it| it.what == what && it.end == end);
    ended.count() as u64
}

/// Waits that were open at the beginning are told as such, those that are open at the end too, and every other has the
/// end that was told.
pub(crate) fn waits_match_both_ends(recording: &Recording) -> Checked {
    let intervals = recording.intervals();
    let wait = |it: &Interval| it.what == What::Wait;
    let of = |snapshot: &Snapshot| sorted(snapshot.waiters.iter().map(|it| (it.thread, it.ticket)));
    let older = whose(&intervals, |it| wait(it) && !it.begin_known);
    same("waits before", older, of(recording.at_start()))?;
    let open = whose(&intervals, |it| wait(it) && it.end == End::Open);
    same("open waits", open, of(at_end(recording)))?;
    let ended = |end| ended(&intervals, What::Wait, end);
    same("waits without an end", ended(End::Unknown), 0)?;
    let told = |kind: EventKind| count(recording, |it| *it == kind);
    let late = told(EventKind::AdmissionTimedOut);
    same("waits timed out", ended(End::TimedOut), late)?;
    let cancelled = told(EventKind::AdmissionCancelled);
    same("waits cancelled", ended(End::Cancelled), cancelled)?;
    let failed = count(recording, |it| matches!(it, EventKind::AdmissionFailed(_)));
    same("waits failed", ended(End::Failed), failed)
}

/// The same of guards, if none came or went while the two snapshots were taken: single guards are listed a moment later.
pub(crate) fn guards_match_both_ends(recording: &Recording) -> Checked {
    let intervals = recording.intervals();
    let guard = |it: &Interval| it.what == What::Guard;
    let of = |snapshot: &Snapshot| sorted(snapshot.guards.iter().map(|it| (it.thread, it.ticket)));
    let older = whose(&intervals, |it| guard(it) && !it.begin_known);
    same("guards before", older, of(recording.at_start()))?;
    let open = whose(&intervals, |it| guard(it) && it.end == End::Open);
    same("open guards", open, of(at_end(recording)))?;
    let ended = |end| ended(&intervals, What::Guard, end);
    same("guards without an end", ended(End::Unknown), 0)?;
    let released = count(recording, |it| *it == EventKind::TicketEnded);
    same("guards released", ended(End::Released), released)?;
    let resized = count(recording, |it| {
        matches!(it, EventKind::TicketResized { .. })
    });
    same("guards resized", ended(End::Resized), resized)
}

/// Holds amid the work, and however many events are missing.
pub(crate) fn what_is_open_is_in_the_snapshot(recording: &Recording) -> Checked {
    let intervals = recording.intervals();
    let end = at_end(recording);
    let open = |what| ended(&intervals, what, End::Open);
    same("open waits", open(What::Wait), end.waiters.len() as u64)?;
    same("open guards", open(What::Guard), end.guards.len() as u64)?;
    let listed = recording.leaks().outstanding.len();
    same("guards that are still held", listed, end.guards.len())?;
    let most = recording.duration();
    let wrong = |it: &&Interval| it.from > it.to || it.to > most;
    same(
        "an interval outside of time",
        intervals.iter().find(wrong),
        None,
    )
}
