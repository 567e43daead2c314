//! The counters and limits beside the wired one.

use super::panic_message;
use mlx_wired::ffi::{Backend, MemoryCall, MemorySetting, RecordingBackend};

#[test]
fn limits_return_the_one_before_and_calls_are_listed() {
    let backend = RecordingBackend::cpu().initial_cache_limit(7).build();
    let limit = backend.memory().unwrap().memory_limit;
    assert_eq!(backend.set_memory_limit(5), Ok(limit));
    assert_eq!(backend.memory().unwrap().memory_limit, 5);
    assert_eq!(backend.set_cache_limit(6), Ok(7));
    assert_eq!(backend.cache_limit(), 6);

    backend.update_memory(|counters| {
        counters.recorded_peak = 9;
        counters.cache = 4;
    });
    assert_eq!(backend.reset_peak_memory(), Ok(()));
    assert_eq!(backend.clear_cache(), Ok(()));
    let counters = backend.memory().unwrap();
    assert_eq!((counters.recorded_peak, counters.cache), (0, 0));

    let calls: Vec<(MemorySetting, u64)> = backend
        .memory_calls()
        .iter()
        .map(|MemoryCall { setting, bytes, .. }| (*setting, *bytes))
        .collect();
    let expected = [
        (MemorySetting::MemoryLimit, 5),
        (MemorySetting::CacheLimit, 6),
        (MemorySetting::Cache, 0),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn each_call_fails_or_panics_on_demand_and_then_changes_nothing() {
    let backend = RecordingBackend::cpu().initial_cache_limit(7).build();
    backend.fail_setting(MemorySetting::CacheLimit, true);
    let error = backend.set_cache_limit(6).unwrap_err();
    assert_eq!(error.call, "RecordingBackend::set_cache_limit(6)");
    assert_eq!(backend.cache_limit(), 7);
    assert!(
        backend.set_memory_limit(5).is_ok(),
        "only what was asked for fails"
    );

    backend.panic_setting(MemorySetting::CacheLimit, true);
    let message = panic_message(|| drop(backend.set_cache_limit(6)));
    assert!(message.contains("set_cache_limit(6)"), "{message}");
    assert_eq!(backend.cache_limit(), 7);
    backend.panic_setting(MemorySetting::CacheLimit, false);
    assert_eq!(backend.set_cache_limit(6), Ok(7));
}

#[test]
fn what_the_process_uses_is_what_the_test_says() {
    let backend = RecordingBackend::cpu().version("0.32.2").build();
    assert_eq!(backend.footprint(), None);
    backend.set_footprint(Some(3 << 30));
    assert_eq!(backend.footprint(), Some(3 << 30));
    assert_eq!(backend.version().as_deref(), Some("0.32.2"));
}
