//! What a recording writes with the feature `timeline`: a trace for Perfetto, a page, and tables.
#![cfg(feature = "timeline")]

#[path = "kit/mod.rs"]
mod kit;

use kit::{Folder, MIB, Rig, SECOND, quiet, written};
use mlx_wired::recorder::{Recorder, Recording};
use mlx_wired::{Error, Manager, SumPolicy};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

/// Two threads, guards that overlap without nesting, waits, a guard that stays, and names that need escaping.
fn recorded() -> Result<Recording, Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100 * MIB);
    let large = rig.ticket(&policy, 60 * MIB).label("a <b> & \"c\"");
    let small = rig.ticket(&policy, 20 * MIB).label("small, really");
    let before = small.acquire_owned()?;
    let mut recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    let first = large.acquire()?;
    rig.clock.advance(SECOND);
    let second = small.acquire()?;
    rig.backend.update_memory(|memory| memory.active = 70 * MIB);
    recorder.poll();
    let waiter = rig.queued(&large);
    rig.clock.advance(SECOND);
    drop(first);
    drop(waiter.result()?);
    rig.clock.advance(SECOND);
    drop(second);
    drop(before);
    small.acquire()?.leak();
    rig.clock.advance(SECOND);
    Ok(recorder.finish())
}

/// Chrome's trace format, as far as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Trace {
    display_time_unit: String,
    other_data: Map<String, Value>,
    trace_events: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    ph: String,
    pid: u32,
    tid: u32,
    ts: f64,
    cat: Option<String>,
    s: Option<String>,
    #[serde(default)]
    args: Map<String, Value>,
}

/// Reads a trace, and checks all that the format asks for.
fn validated(text: &str) -> Trace {
    let trace: Trace = serde_json::from_str(text).expect("the trace is in the format");
    assert_eq!(trace.display_time_unit, "ms");
    let mut named = BTreeSet::new();
    let mut open: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    let mut last = 0.0;
    for entry in &trace.trace_events {
        assert_eq!(entry.pid, std::process::id());
        assert!(entry.ts.is_finite() && entry.ts >= 0.0, "{entry:?}");
        if entry.ph == "M" {
            assert!(entry.args.len() == 1, "{entry:?}");
            named.insert(entry.tid);
            continue;
        }
        assert!(
            entry.ts >= last,
            "times are monotonic: {entry:?} after {last}"
        );
        last = entry.ts;
        assert!(
            named.contains(&entry.tid),
            "the track has a name: {entry:?}"
        );
        let stack = open.entry(entry.tid).or_default();
        match &*entry.ph {
            "B" => {
                assert!(
                    matches!(entry.cat.as_deref(), Some("guard" | "wait")),
                    "{entry:?}"
                );
                stack.push(&entry.name);
            }
            "E" => assert_eq!(
                stack.pop(),
                Some(&*entry.name),
                "an end closes its beginning"
            ),
            "C" => {
                assert!(!entry.args.is_empty(), "{entry:?}");
                assert!(entry.args.values().all(Value::is_u64), "{entry:?}");
            }
            "i" => assert_eq!(entry.s.as_deref(), Some("p")),
            other => panic!("an unknown kind {other}: {entry:?}"),
        }
    }
    assert!(
        open.values().all(Vec::is_empty),
        "every begin has its end: {open:?}"
    );
    trace
}

#[test]
fn the_trace_is_in_chromes_format() -> Result<(), Error> {
    let recording = recorded()?;
    let trace = validated(&written(|to| recording.write_chrome_trace(to)));
    assert_eq!(trace.other_data["missing events"], 0);

    let begins: Vec<&Entry> = trace
        .trace_events
        .iter()
        .filter(|it| it.ph == "B")
        .collect();
    let guards = begins
        .iter()
        .filter(|it| it.cat.as_deref() == Some("guard"));
    assert_eq!(guards.count(), 5, "{begins:?}");
    let wait = begins.iter().find(|it| it.cat.as_deref() == Some("wait"));
    let wait = wait.expect("there was a wait");
    assert_eq!((&*wait.name, wait.ts), ("wait for a <b> & \"c\"", 2e6));
    assert_eq!(wait.args["bytes"], 60 * MIB);
    assert_eq!(wait.args["end"], "Admitted");
    // The first overlaps the others without nesting, so this thread has two tracks.
    let own: Vec<_> = trace
        .trace_events
        .iter()
        .filter(|it| it.name == "thread_name")
        .map(|it| it.args["name"].as_str().expect("names are text"))
        .collect();
    let name = thread::current()
        .name()
        .expect("tests are named")
        .to_owned();
    assert!(
        own.contains(&&*name) && own.contains(&&*format!("{name} (2)")),
        "{own:?}"
    );

    let values = |counter: &str, key: &str| -> Vec<u64> {
        let counters = trace.trace_events.iter().filter(|it| it.ph == "C");
        counters
            .filter(|it| it.name == counter)
            .filter_map(|it| it.args.get(key)?.as_u64())
            .collect()
    };
    let limits = values("limit", "limit");
    assert_eq!(limits.iter().max(), Some(&(100 * MIB)), "{limits:?}");
    assert_eq!(
        values("demand", "small, really").iter().max(),
        Some(&(40 * MIB))
    );
    assert!(values("MLX memory", "active").contains(&(70 * MIB)));
    assert_eq!(values("waiting", "acquires"), [0, 1, 0]);
    Ok(())
}

#[test]
fn the_page_needs_nothing_else() -> Result<(), Error> {
    let recording = recorded()?;
    let page = written(|to| recording.write_page(to));
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for foreign in ["<script", "<link", "src=", "@import"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // What is referred to is in the page.
    for (at, reference) in page.match_indices("url(") {
        let id = page[at + reference.len()..].split(')').next();
        let id = id.and_then(|id| id.strip_prefix('#'));
        let pattern = format!("<pattern id=\"{}\"", id.expect("no address"));
        assert_eq!(page.matches(&pattern).count(), 1, "{pattern}");
    }
    // The only address is that of SVG's name space.
    for (at, _) in page.match_indices("://") {
        assert!(
            page[at..].starts_with("://www.w3.org/2000/svg"),
            "{}",
            &page[at..at + 40]
        );
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
    for layout in ["wide", "narrow"] {
        let charts = format!("<div class=\"chart {layout}\" role=\"img\"");
        assert_eq!(page.matches(&charts).count(), 4, "four charts, {layout}");
    }
    assert_eq!(page.matches("xmlns=").count(), 2 * 4, "each is drawn");
    assert!(page.contains("a &lt;b&gt; &amp; &quot;c&quot;") && !page.contains("<b>"));
    for part in [
        "By source",
        "Longest waits",
        "Still held at the end",
        "Leaked",
        "tests/timeline.rs:",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    Ok(())
}

#[test]
fn the_tables_are_csv() -> Result<(), Error> {
    let recording = recorded()?;
    let rows = |table: String| -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let rows = reader.deserialize().collect::<Result<_, csv::Error>>();
        rows.expect("the table can be read")
    };
    let events = rows(written(|to| recording.write_events_csv(to)));
    assert_eq!(events.len(), recording.events().len());
    let wait = events.iter().find(|row| row["event"] == "AdmissionWait");
    let wait = wait.expect("there was a wait");
    assert_eq!(
        (&*wait["time"], &*wait["bytes"]),
        ("2.000000000", "62914560")
    );
    assert_eq!(wait["label"], "a <b> & \"c\"");

    let samples = rows(written(|to| recording.write_samples_csv(to)));
    assert_eq!(samples.len(), recording.samples().len());
    assert!(samples.iter().any(|row| row["active"] == "73400320"));

    let totals = rows(written(|to| recording.write_totals_csv(to)));
    let small = totals.iter().find(|row| row["name"] == "small, really");
    assert!(
        small.is_some_and(|row| row["held"] == "4.000000000"),
        "{totals:?}"
    );
    Ok(())
}

#[test]
fn a_recording_of_nothing_can_be_written() -> Result<(), Error> {
    let manager = Manager::builder()
        .backend(mlx_wired::ffi::NoMlx::new())
        .build()?;
    let recording = Recorder::new(&manager).finish();
    let folder = Folder::new();
    let written = recording.write_to(folder.path());
    let written = written.expect("the folder can be written");
    for file in [
        &written.page,
        &written.events,
        &written.samples,
        &written.totals,
    ] {
        assert!(file.metadata().is_ok_and(|file| file.len() > 0), "{file:?}");
    }
    let trace = std::fs::read_to_string(&written.trace).expect("the trace is there");
    drop(validated(&trace));
    Ok(())
}

/// A counter's values, with their times in seconds.
fn counter(recording: &Recording, name: &str, key: &str) -> Vec<(f64, u64)> {
    let entries = validated(&written(|to| recording.write_chrome_trace(to))).trace_events;
    let counters = entries.iter().filter(|it| it.ph == "C" && it.name == name);
    let values = counters.filter_map(|it| Some((it.ts / 1e6, it.args.get(key)?.as_u64()?)));
    values.collect()
}

#[test]
fn what_happens_at_the_moment_of_a_sample_comes_after_it() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let recorder = Recorder::new(&rig.manager);
    let _guard = rig.ticket(&SumPolicy::uncapped(), MIB).acquire_owned()?;
    rig.clock.advance(SECOND);
    let limits = counter(&recorder.finish(), "limit", "limit");
    assert_eq!(limits, [(0.0, 0), (0.0, MIB)]);
    Ok(())
}

#[test]
fn the_demand_goes_when_its_guards_have_gone() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), MIB).label("brief");
    let recorder = Recorder::new(&rig.manager);
    drop(ticket.acquire()?);
    rig.clock.advance(SECOND);
    drop(ticket.acquire()?);
    let held = ticket.acquire()?;
    rig.clock.advance(SECOND);
    drop(held);
    let demand = counter(&recorder.finish(), "demand", "brief");
    assert_eq!(demand, [(1.0, MIB), (2.0, 0)]);
    Ok(())
}

#[test]
fn a_guard_may_be_called_what_the_rest_is_called() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let names = [
        "other", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o",
    ];
    let recorder = Recorder::new(&rig.manager);
    let guards: Vec<_> = (1..)
        .zip(names)
        .map(|(size, name)| {
            let ticket = rig.ticket(&policy, (17 - size) * MIB).label(name);
            ticket.acquire_owned()
        })
        .collect::<Result<_, _>>()?;
    rig.clock.advance(SECOND);
    drop(guards);
    let recording = recorder.finish();
    let first = |name| counter(&recording, "demand", name).first().map(|it| it.1);
    // Its own 16 MiB, and the single one of "o".
    assert_eq!(first("other"), Some(17 * MIB));
    let most: u64 = names.into_iter().filter_map(first).sum();
    assert_eq!(most, 136 * MIB);
    Ok(())
}

#[test]
fn samples_from_before_the_first_event_that_was_kept_are_not_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), MIB);
    let mut recorder = Recorder::with_capacity(&rig.manager, 2);
    for _ in 0..3 {
        rig.clock.advance(SECOND);
        drop(ticket.acquire()?);
        recorder.poll();
    }
    let recording = recorder.finish();
    let table = written(|to| recording.write_samples_csv(to));
    // The third poll's, and the last.
    assert_eq!(table.lines().count(), 1 + 2, "{table}");
    Ok(())
}

#[test]
fn the_table_tells_which_guard_was_resized_and_why_a_wait_failed() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(20), 10);
    let recorder = Recorder::new(&rig.manager);
    let mut guard = ticket.acquire()?;
    guard.resize(20)?;
    let waits = rig.queued(&ticket);
    rig.manager.close();
    let failed = waits.result().expect_err("the manager is closed");
    let (error, recording) = (failed.to_string(), recorder.finish());
    let table = written(|to| recording.write_events_csv(to));
    let detail = format!("\"from 10, of ticket {}\"", ticket.id());
    assert!(table.contains(&detail), "{table}");
    let failed = table.lines().find(|row| row.contains("AdmissionFailed"));
    assert!(failed.is_some_and(|row| row.contains(&error)), "{table}");
    Ok(())
}
