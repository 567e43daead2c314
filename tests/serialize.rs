//! What programs that write JSON get with the feature `serde`.
#![cfg(feature = "serde")]

#[path = "kit/mod.rs"]
mod kit;

use kit::{Rig, SECOND, next, quiet};
use mlx_wired::{Error, EventKind, PolicyId, SumPolicy};
use serde_json::{json, to_value};
use std::time::Duration;

#[test]
fn r24_a_snapshot_is_written_with_plain_numbers_and_texts() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(3 * SECOND))?;
    let ticket = rig.ticket(&SumPolicy::capped(100), 40).label("step");
    let _events = rig.manager.subscribe(10);
    let _guard = ticket.acquire()?;
    rig.clock.advance(Duration::from_millis(1500));
    let json = to_value(rig.manager.snapshot()).expect("a snapshot can be written");
    assert_eq!(json["live_bytes"], 40);
    assert_eq!(json["baseline_source"], "Mlx");
    assert_eq!(json["owed"]["restore_in"], serde_json::Value::Null);
    let guard = &json["guards"][0];
    assert_eq!(
        (&guard["label"], &guard["kind"]),
        (&"step".into(), &"Active".into())
    );
    assert_eq!(guard["age"], 1.5);
    let place = guard["place"].as_str().expect("a place is text");
    assert!(place.starts_with("tests/serialize.rs:"), "{place}");
    assert!(guard["thread"].is_u64());
    assert_eq!(json["wait_times"]["longest"], 0.0);
    assert_eq!(json["stats"]["setter_calls"], 1);
    Ok(())
}

#[test]
fn r39_a_wait_is_written_with_its_position_and_reason() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100).with_id(PolicyId::named("decode"));
    let ticket = rig.ticket(&policy, 80).label("step");
    let guard = ticket.acquire_owned()?;
    let events = rig.manager.subscribe(100);
    let waiting = rig.queued(&ticket);
    let why = json!({ "Work": { "in_use": 80, "capacity": 100 } });
    let json = to_value(rig.manager.snapshot()).expect("a snapshot can be written");
    assert_eq!(json["groups"][0]["name"], "decode");
    let waiter = &json["waiters"][0];
    assert_eq!((&waiter["position"], &waiter["why"]), (&json!(0), &why));

    rig.clock.advance(Duration::from_secs(30));
    let is_stalled = |kind: &EventKind| matches!(kind, EventKind::WaitStalled { .. });
    let told = next(&events, is_stalled);
    let json = to_value(told).expect("an event can be written");
    let stalled = &json["kind"]["WaitStalled"];
    assert_eq!(
        (&stalled["stood"], &stalled["behind"], &stalled["why"]),
        (&json!(30.0), &json!(0), &why)
    );
    assert_eq!(stalled["largest"]["label"], "step");
    drop(guard);
    drop(waiting.result()?);
    Ok(())
}
