//! The line of JSON.

use super::Stage;
use crate::kit::MIB;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::monitor::Monitor;
use mlx_wired::memory::{BufferPool, Pressure, Scripted};
use mlx_wired::{PolicyId, SumPolicy};
use serde_json::Value;
use std::collections::BTreeSet;

/// What `watch/`'s tests are given, which must have the fields of a real one.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/watch/tests/line.json");

fn line(monitor: &Monitor) -> Value {
    let line = monitor.line().expect("it is no child");
    assert!(!line.contains('\n'), "it is one line");
    serde_json::from_str(&line).expect("it is JSON")
}

/// All fields, with those of lists once.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}/{name}");
                fields(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|it| fields(it, path, found)),
        _ => {}
    }
}

#[test]
fn a_line_has_what_the_monitor_and_the_manager_know() {
    let stage = Stage::new(RecordingBackend::cpu().version("0.32.2"));
    let monitor = stage.monitor().budget(100 * MIB).program("trainer\n");
    let monitor = monitor.start().expect("it starts");
    stage.active(110 * MIB);
    let policy = SumPolicy::capped(200 * MIB).with_id(PolicyId::named("group\u{202e}"));
    let ticket = stage.manager.ticket(&policy, 60 * MIB).label("step\u{1b}");
    let _guard = ticket.acquire().expect("it fits");
    let _decoder = monitor.uncounted("decoder\r", MIB);
    let line = line(&monitor);
    assert_eq!(line["schema"], 1);
    assert_eq!(line["program"], "trainer\\n");
    assert_eq!(line["pid"], std::process::id());
    assert_eq!(line["mlx"], "0.32.2");
    assert_eq!(line["level"], "critical");
    assert_eq!(line["memory"]["used"], 111 * MIB);
    assert_eq!(line["problems"][0]["id"], "over-budget");
    assert_eq!(line["guards"][0]["label"], "step\\u{1b}");
    assert_eq!(line["guards"][0]["bytes"], 60 * MIB);
    assert_eq!(line["groups"][0]["name"], "group\\u{202e}");
    assert_eq!(line["uncounted"][0]["name"], "decoder\\r");
    assert_eq!(line["seen"]["readings"], 2);
}

#[test]
fn pools_and_pressure_are_told_of_while_their_handles_live() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let pool = BufferPool::builder("loader").limit(8 * MIB).build();
    let script = Scripted::new("script");
    let pressure = Pressure::builder().source(script.clone()).build();
    let pressure = pressure.expect("the settings make sense");
    let _gives = pressure.on_give(|_| 5);
    let watched = [monitor.watch_pool(&pool), monitor.watch_pressure(&pressure)];
    let _buffer = pool.get(1 << 20).expect("there is room");
    script.used(0.9);
    pressure.poll();
    let told = line(&monitor);
    let of_pool = serde_json::json!({
        "name": "loader", "hits": 0, "misses": 1, "in_use": MIB, "idle": 0, "limit": 8 * MIB, "waiting": 0,
    });
    assert_eq!(told["pools"], serde_json::json!([of_pool]));
    let done = serde_json::json!({"rises": 1, "falls": 0, "averted": 0, "given_back": 5});
    assert_eq!(told["reactions"], done);
    // Pressure that is over has done what it has done.
    drop(pressure);
    assert_eq!(line(&monitor)["reactions"]["falls"], 1);
    drop(watched);
    let told = line(&monitor);
    assert_eq!(told["pools"], serde_json::json!([]));
    assert_eq!(told["reactions"], Value::Null);
}

#[test]
fn a_line_says_when_counters_cannot_be_read() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    stage.backend.fail_memory(true);
    let line = line(&monitor);
    assert_eq!(line["memory"], Value::Null);
    assert_eq!(line["problems"][0]["id"], "unreadable");
    assert_eq!(line["seen"]["failures"], 1);
}

#[test]
fn a_line_stays_short_whatever_there_is() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    let name = "\u{1b}".repeat(10_000);
    let policy = SumPolicy::capped(100 * MIB);
    let ticket = stage.manager.ticket(&policy, 1).label(name.as_str());
    let guards: Vec<_> = (0..500).map(|_| ticket.acquire_owned()).collect();
    let registered: Vec<_> = (0..500)
        .map(|it| monitor.uncounted(&format!("{it}{name}"), 1))
        .collect();
    let told = line(&monitor);
    assert_eq!(told["guards_live"], 500);
    assert_eq!(told["guards"].as_array().map(Vec::len), Some(10));
    assert_eq!(told["uncounted"].as_array().map(Vec::len), Some(10));
    let length = monitor.line().expect("it is no child").len();
    assert!(length < 8192, "{length} bytes");
    drop((guards, registered));
}

/// The viewer's tests stand on a line that is kept there. It was a real one, but for what is in its lists.
#[test]
fn the_viewers_line_has_the_fields_of_a_real_one() {
    let (_stage, monitor) = Stage::started(RecordingBackend::cpu());
    let mut real = BTreeSet::new();
    fields(&line(&monitor), "", &mut real);
    let kept = std::fs::read_to_string(KEPT).expect("it is kept");
    let kept: Value = serde_json::from_str(&kept).expect("it is JSON");
    let mut of_kept = BTreeSet::new();
    fields(&kept, "", &mut of_kept);
    let missing: Vec<_> = real.difference(&of_kept).collect();
    assert!(
        missing.is_empty(),
        "not in watch/tests/line.json: {missing:?}"
    );
    // Lists are empty here, and nothing grows.
    let lists = [
        "problems",
        "guards",
        "waiters",
        "groups",
        "uncounted",
        "pools",
        "reactions",
        "seen/growth",
        "seen/footprint",
    ];
    let unknown: Vec<_> = of_kept
        .difference(&real)
        .filter(|path| {
            !lists
                .iter()
                .any(|list| path[1..].starts_with(&format!("{list}/")))
        })
        .collect();
    assert!(
        unknown.is_empty(),
        "only in watch/tests/line.json: {unknown:?}"
    );
}
