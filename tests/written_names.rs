//! R42 in what a recording writes with the feature `timeline`: names are escaped and cut in the page, the trace and the
//! tables, and no cell of a table is a formula.
#![cfg(feature = "timeline")]

use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::recorder::{Recorder, Recording};
use mlx_wired::{Config, Context, Error, Manager, Policy, PolicyId, Sizes};
use serde_json::Value;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

/// Admits 100 MiB, under a name that a program has given, and panics at one byte.
#[derive(Debug, Clone)]
struct Named(String);

impl Policy for Named {
    fn id(&self) -> PolicyId {
        PolicyId::named("one group")
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline.saturating_add(live.sum)
    }

    fn can_admit(&self, _: &Context, live: &Sizes<'_>, new: u64) -> bool {
        assert!(new != 1, "{}", self.0);
        live.sum + new <= 100 * MIB
    }

    fn label(&self) -> String {
        self.0.clone()
    }
}

/// A guard that ends, a wait that gives up, a guard that stays and a panic, on a thread; all of this name.
fn recorded(name: &str) -> Result<Recording, Error> {
    let clock = FakeClock::new();
    let builder = Manager::builder().backend(RecordingBackend::metal().build());
    let config = Config::default().housekeeping(false);
    let manager = builder.clock(clock.clone()).config(config).build()?;
    let policy = Named(name.to_owned());
    let ticket = |bytes| manager.ticket(&policy, bytes).label(name);
    let recorder = Recorder::new(&manager);
    let work = || {
        clock.advance(SECOND);
        let first = ticket(60 * MIB).acquire_owned()?;
        let late = ticket(50 * MIB).acquire_owned_with(mlx_wired::Wait::new().timeout(SECOND / 2));
        assert!(late.is_err_and(|error| error.is_timeout()));
        let _panicked = ticket(1).acquire_owned();
        clock.advance(SECOND);
        drop(first);
        let kept = ticket(MIB).acquire_owned();
        clock.advance(SECOND);
        kept
    };
    let kept = std::thread::scope(|scope| {
        let named = std::thread::Builder::new().name(name.replace('\0', ""));
        let worker = named.spawn_scoped(scope, work).expect("it starts");
        while !worker.is_finished() {
            if !manager.waiting().is_empty() {
                clock.advance(SECOND);
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
fn written(recording: &Recording) -> [Vec<u8>; 4] {
    let mut all = [const { Vec::new() }; 4];
    let [page, trace, events, totals] = &mut all;
    let written = recording
        .write_page(page)
        .and_then(|()| recording.write_chrome_trace(trace))
        .and_then(|()| recording.write_events_csv(events))
        .and_then(|()| recording.write_totals_csv(totals));
    written.expect("memory takes it");
    all
}

#[test]
fn r42_what_acts_is_escaped_in_all_that_is_written() -> Result<(), Error> {
    const NAME: &str = "qwen\u{1b}[2J\u{202e}\r\nadmin";
    for bytes in written(&recorded(NAME)?) {
        let text = String::from_utf8(bytes).expect("it is text");
        let acts = |c: char| (c.is_control() && c != '\n' && c != '\r') || c == '\u{202e}';
        assert!(!text.contains(acts), "{text}");
        assert!(
            text.contains("qwen\\u{1b}[2J") || text.contains(r"qwen\\u{1b}[2J"),
            "{text}"
        );
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
            let mut rows = csv::Reader::from_reader(&table[..]);
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
    let builder = Manager::builder().backend(RecordingBackend::metal().build());
    let clock = FakeClock::new();
    let manager = builder.clock(clock.clone()).build()?;
    let ticket = |end: &str| {
        let name = format!("{}{end}", "x".repeat(100));
        manager
            .ticket(&mlx_wired::SumPolicy::uncapped(), MIB)
            .label(name)
    };
    let recorder = Recorder::new(&manager);
    let held = (ticket("a").acquire_owned()?, ticket("b").acquire_owned()?);
    clock.advance(SECOND);
    drop(held);
    let mut trace = Vec::new();
    let written = recorder.finish().write_chrome_trace(&mut trace);
    written.expect("memory takes it");
    let trace: Value = serde_json::from_slice(&trace).expect("it is JSON");
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
