//! R42 in what a recording writes with the feature `timeline`: names are escaped and cut in the page, the trace and the
//! tables, and no cell of a table is a formula.
#![cfg(feature = "timeline")]

#[path = "kit/mod.rs"]
mod kit;

use kit::{Custom, MIB, Rig, SECOND, quiet};
use mlx_wired::Error;
use mlx_wired::recorder::{Recorder, Recording};
use serde_json::Value;

/// Admits 100 MiB, under a name that a program has given, and panics at one byte.
fn named(name: &str) -> Custom {
    let message = name.to_owned();
    let policy = Custom::new().called(name).admits(move |_, live, new| {
        assert!(new != 1, "{message}");
        live.sum + new <= 100 * MIB
    });
    policy.named("one group")
}

/// A guard that ends, a wait that gives up, a guard that stays and a panic, on a thread; all of this name.
fn recorded(name: &str) -> Result<Recording, Error> {
    let rig = Rig::new(quiet())?;
    let policy = named(name);
    let ticket = |bytes| rig.ticket(&policy, bytes).label(name);
    let recorder = Recorder::new(&rig.manager);
    let work = || {
        rig.clock.advance(SECOND);
        let first = ticket(60 * MIB).acquire_owned()?;
        let late = ticket(50 * MIB).acquire_owned_with(mlx_wired::Wait::new().timeout(SECOND / 2));
        assert!(late.is_err_and(|error| error.is_timeout()));
        let _panicked = ticket(1).acquire_owned();
        rig.clock.advance(SECOND);
        drop(first);
        let kept = ticket(MIB).acquire_owned();
        rig.clock.advance(SECOND);
        kept
    };
    let kept = std::thread::scope(|scope| {
        let named = std::thread::Builder::new().name(name.replace('\0', ""));
        let worker = named.spawn_scoped(scope, work).expect("it starts");
        while !worker.is_finished() {
            if !rig.manager.waiting().is_empty() {
                rig.clock.advance(SECOND);
            }
            std::thread::yield_now();
        }
        worker.join().expect("it ends well")
    })?;
    let recording = recorder.finish();
    drop(kept);
    Ok(recording)
}

/// The page, the trace and the tables.
fn written(recording: &Recording) -> [String; 4] {
    [
        kit::written(|to| recording.write_page(to)),
        kit::written(|to| recording.write_chrome_trace(to)),
        kit::written(|to| recording.write_events_csv(to)),
        kit::written(|to| recording.write_totals_csv(to)),
    ]
}

#[test]
fn r42_what_acts_is_escaped_in_all_that_is_written() -> Result<(), Error> {
    const NAME: &str = "qwen\u{1b}[2J\u{202e}\r\nadmin";
    for text in written(&recorded(NAME)?) {
        let acts = |c: char| (c.is_control() && c != '\n' && c != '\r') || c == '\u{202e}';
        assert!(!text.contains(acts), "{text}");
        let is_escaped = text.contains("qwen\\u{1b}[2J") || text.contains(r"qwen\\u{1b}[2J");
        assert!(is_escaped, "{text}");
        assert!(
            !text.lines().any(|line| line.starts_with("admin")),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn r42_long_names_make_nothing_long() -> Result<(), Error> {
    let long = "=x".repeat(1 << 19);
    let short = written(&recorded("x")?);
    for (long, short) in written(&recorded(&long)?).into_iter().zip(short) {
        // The panic's message is told whole, once.
        let most = short.len() + (1 << 20) + (16 << 10);
        assert!(long.len() < most, "{} against {}", long.len(), short.len());
    }
    Ok(())
}

#[test]
fn r42_no_cell_of_a_table_is_a_formula() -> Result<(), Error> {
    for begin in ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝", "＠"] {
        let name = format!("{begin}HYPERLINK(\"http://x\", \"y\")");
        let [_, _, events, totals] = written(&recorded(&name)?);
        let mut named = 0;
        for table in [events, totals] {
            let mut rows = csv::Reader::from_reader(table.as_bytes());
            for row in rows.records() {
                let row = row.expect("it is a table");
                for cell in &row {
                    let is_formula =
                        cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＠']);
                    assert!(!is_formula, "{cell:?}");
                    named += usize::from(cell.contains("HYPERLINK"));
                }
            }
        }
        assert!(named > 8, "{begin:?} is in the tables: {named}");
    }
    Ok(())
}

#[test]
fn r42_names_that_are_cut_to_the_same_keep_their_sum_in_the_trace() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |end: &str| {
        let name = format!("{}{end}", "x".repeat(100));
        rig.ticket(&mlx_wired::SumPolicy::uncapped(), MIB)
            .label(name)
    };
    let recorder = Recorder::new(&rig.manager);
    let held = (ticket("a").acquire_owned()?, ticket("b").acquire_owned()?);
    rig.clock.advance(SECOND);
    drop(held);
    let [_, trace, ..] = written(&recorder.finish());
    let trace: Value = serde_json::from_str(&trace).expect("it is JSON");
    let entries = trace["traceEvents"].as_array().expect("a list");
    let demand = entries.iter().filter(|entry| entry["name"] == "demand");
    let most = demand.flat_map(|entry| {
        entry["args"]
            .as_object()
            .into_iter()
            .flat_map(|it| it.values())
    });
    assert_eq!(most.filter_map(Value::as_u64).max(), Some(2 * MIB));
    Ok(())
}
