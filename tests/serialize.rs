//! What programs that write JSON get with the feature `serde`.
#![cfg(feature = "serde")]

use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Config, Error, Manager, SumPolicy};
use std::time::Duration;

#[test]
fn r24_a_snapshot_is_written_with_plain_numbers_and_texts() -> Result<(), Error> {
    let clock = FakeClock::new();
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .clock(clock.clone())
        .config(Config::default().linger(Duration::from_secs(3)))
        .build()?;
    let ticket = manager.ticket(&SumPolicy::capped(100), 40).label("step");
    let _events = manager.subscribe(10);
    let _guard = ticket.acquire()?;
    clock.advance(Duration::from_millis(1500));
    let json = serde_json::to_value(manager.snapshot()).expect("a snapshot can be written");
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
