//! MLX's cache gives way, and its limit comes back.

use super::{Log, Stage};
use crate::kit::{Folder, MIB, SECOND, on};
use mlx_wired::PressureLevel::{Critical, Normal, Urgent, Warning};
use mlx_wired::ffi::{Backend, MemorySetting, RecordingBackend};
use mlx_wired::memory::reactions::clear_cache_on_shortage;
use mlx_wired::memory::{Reading, Source, SourceError, Subscription};
use mlx_wired::{Config, Manager, SumPolicy};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A device whose cache gives way, and a source that does not see it.
struct Cached {
    stage: Stage,
    backend: Arc<RecordingBackend>,
    subscription: Option<Subscription>,
}

impl Cached {
    fn new(limit: u64) -> Self {
        let (manager, backend) = on(RecordingBackend::cpu());
        backend
            .set_cache_limit(limit * MIB)
            .expect("no fault is armed");
        let stage = Stage::new();
        let subscription = stage.pressure.mlx_cache(&manager);
        Self {
            stage,
            backend,
            subscription: Some(subscription),
        }
    }

    /// Holds so much in the cache.
    fn fill(&self, cache: u64) {
        self.backend
            .update_memory(|memory| memory.cache = cache * MIB);
    }

    fn limit(&self) -> u64 {
        self.backend.cache_limit() / MIB
    }

    fn clears(&self) -> usize {
        let calls = self.backend.memory_calls();
        calls
            .iter()
            .filter(|call| call.setting == MemorySetting::Cache)
            .count()
    }
}

/// A source that sees the cache.
struct Seen(Arc<RecordingBackend>, u64);

impl Source for Seen {
    fn name(&self) -> &str {
        "seen"
    }

    fn read(&mut self, _: Instant) -> Result<Option<Reading>, SourceError> {
        let cache = self.0.memory()?.cache;
        Ok(Some(Reading::used(self.1 * MIB + cache, 1024 * MIB)))
    }
}

/// A monitor whose source sees the cache beside `other` MiB.
fn seeing(other: u64) -> (Stage, Arc<RecordingBackend>, Subscription) {
    let backend = RecordingBackend::cpu().build();
    backend
        .set_cache_limit(4096 * MIB)
        .expect("no fault is armed");
    let manager = Manager::builder()
        .backend(backend.clone())
        .build()
        .expect("nothing is in the way");
    let stage = Stage::with(|builder| builder.source(Seen(backend.clone(), other)));
    let subscription = stage.pressure.mlx_cache(&manager);
    (stage, backend, subscription)
}

/// Over the line, emptied, read again: only that reading counts.
#[test]
fn a_full_cache_is_no_pressure() {
    let (stage, backend, _cache) = seeing(400);
    backend.update_memory(|memory| memory.cache = 600 * MIB);
    assert_eq!(stage.again(), Normal);
    assert_eq!(backend.memory().expect("no fault is armed").cache, 0);
    assert_eq!(backend.cache_limit(), 4096 * MIB, "the limit stays");
    let stats = stage.pressure.stats();
    assert_eq!(
        (stats.averted, stats.given_back, stats.rises),
        (1, 600 * MIB, 0)
    );
}

/// To empty it again and again is of no use: what trimmed alone comes back at once.
#[test]
fn a_cache_that_is_full_again_at_once_is_pressure_and_its_limit_falls() {
    let (stage, backend, _cache) = seeing(400);
    backend.update_memory(|memory| memory.cache = 600 * MIB);
    assert_eq!(stage.again(), Normal);
    backend.update_memory(|memory| memory.cache = 600 * MIB);
    assert_eq!(stage.again(), Critical);
    assert_eq!(backend.cache_limit(), 0);
    // Long after the last time it is no more than it was then.
    let (stage, backend, _cache) = seeing(400);
    for _ in 0..3 {
        backend.update_memory(|memory| memory.cache = 600 * MIB);
        assert_eq!(stage.again(), Normal);
        stage.clock.advance(10 * SECOND);
    }
    assert_eq!(stage.pressure.stats().averted, 3);
}

#[test]
fn the_limit_falls_by_level_and_comes_back_at_recovery() {
    let cached = Cached::new(4096);
    cached.fill(400);
    assert_eq!(cached.stage.poll(0.76), Warning);
    assert_eq!((cached.limit(), cached.clears()), (200, 1));
    assert_eq!(cached.stage.poll(0.86), Urgent);
    assert_eq!(cached.limit(), 100);
    cached.fill(90);
    assert_eq!(cached.stage.poll(0.96), Critical);
    assert_eq!(cached.limit(), 0);
    for level in [Urgent, Warning, Normal] {
        let waits = 10 + u64::from(level == Urgent);
        let last = (0..waits).fold(Critical, |_, _| cached.stage.poll(0.1));
        assert_eq!(last, level);
    }
    assert_eq!(cached.limit(), 4096);
}

#[test]
fn a_limit_that_is_lower_already_is_not_raised() {
    let cached = Cached::new(50);
    cached.fill(400);
    assert_eq!(cached.stage.poll(0.76), Warning);
    assert_eq!(cached.limit(), 50);
    assert_eq!(cached.stage.poll(0.96), Critical);
    assert_eq!(cached.limit(), 0);
    drop(cached.stage);
    assert_eq!(
        cached.backend.cache_limit(),
        50 * MIB,
        "the end is a recovery"
    );
}

/// A training run's governor, for one.
#[test]
fn a_limit_that_other_code_set_meanwhile_stays() {
    // At critical, and just before the end, when the limit is not lowered again.
    for calm in [0, 25] {
        let cached = Cached::new(4096);
        cached.fill(400);
        assert_eq!(cached.stage.poll(0.96), Critical);
        for _ in 0..calm {
            cached.stage.poll(0.1);
        }
        let set = cached.backend.set_cache_limit(77 * MIB);
        set.expect("no fault is armed");
        for _ in calm..31 {
            cached.stage.poll(0.1);
        }
        assert_eq!(cached.stage.pressure.level(), Normal);
        assert_eq!(cached.limit(), 77);
    }
}

#[test]
fn to_drop_the_handle_gives_the_limit_back_and_ends_the_reaction() {
    let mut cached = Cached::new(4096);
    cached.fill(400);
    cached.stage.poll(0.96);
    assert_eq!(cached.limit(), 0);
    drop(cached.subscription.take());
    assert_eq!(cached.limit(), 4096);
    let calls = cached.backend.memory_calls();
    for _ in 0..40 {
        cached.stage.poll(0.1);
    }
    cached.stage.poll(0.99);
    assert_eq!(cached.backend.memory_calls(), calls);
}

/// Over the line at each poll, with a cache that fills up to its limit: it is not emptied for that.
#[test]
fn a_cache_within_its_limit_is_left_alone() {
    let cached = Cached::new(4096);
    cached.fill(400);
    cached.stage.poll(0.76);
    let clears = cached.clears();
    for _ in 0..20 {
        cached.fill(200);
        cached.stage.poll(0.76);
    }
    assert_eq!(cached.clears(), clears);
    // MLX itself lets go what is over the limit only when it allocates.
    cached.fill(201);
    cached.stage.poll(0.76);
    assert_eq!(cached.clears(), clears + 1);
}

#[test]
fn it_is_asked_before_others_and_they_are_not_asked_if_that_is_enough() {
    let (stage, backend, _cache) = seeing(400);
    let device = backend.clone();
    let _next = stage.pressure.on_give(move |_| {
        let cache = device.memory().map(|memory| memory.cache);
        assert_eq!(cache, Ok(0));
        0
    });
    assert_eq!(stage.poll(0.76), Warning);
    backend.update_memory(|memory| memory.cache = 500 * MIB);
    stage.poll(0.2);
    assert_eq!(stage.pressure.stats().given_back, 500 * MIB);
    backend.update_memory(|memory| memory.cache = 500 * MIB);
    stage.poll(0.76);
    assert_eq!(stage.pressure.stats().panics, 0);
}

#[test]
fn a_backend_that_refuses_or_panics_does_no_harm() {
    for fails in [true, false] {
        let cached = Cached::new(4096);
        for setting in [MemorySetting::CacheLimit, MemorySetting::Cache] {
            match fails {
                true => cached.backend.fail_setting(setting, true),
                false => cached.backend.panic_setting(setting, true),
            }
        }
        cached.fill(400);
        assert_eq!(cached.stage.poll(0.96), Critical);
        assert_eq!(cached.stage.pressure.stats().given_back, 0);
        for _ in 0..31 {
            cached.stage.poll(0.1);
        }
        assert_eq!(cached.stage.pressure.level(), Normal);
    }
}

#[test]
fn r27_a_reclaimer_empties_the_cache() -> Result<(), mlx_wired::Error> {
    let backend = RecordingBackend::cpu().build();
    let config = Config::default();
    let manager = Manager::builder()
        .backend(backend.clone())
        .config(config)
        .build()?;
    let _reclaimer = clear_cache_on_shortage(&manager);
    backend.update_memory(|memory| memory.cache = 600 * MIB);
    let hold = manager
        .ticket(&SumPolicy::capped(100), 60)
        .reservation()
        .evictable();
    let _held = hold.acquire_owned()?;
    let timed_out = hold.admit_timeout(Duration::from_millis(1));
    assert!(timed_out.is_err_and(|error| error.is_timeout()));
    let calls = backend.memory_calls();
    assert!(
        calls
            .iter()
            .any(|call| call.setting == MemorySetting::Cache)
    );
    Ok(())
}

/// Registered while memory is short already, which it is not told of.
#[test]
fn a_cache_that_comes_late_gives_way_too() {
    let mut cached = Cached::new(4096);
    drop(cached.subscription.take());
    assert_eq!(cached.stage.poll(0.86), Urgent);
    let manager = Manager::builder().backend(cached.backend.clone()).build();
    let manager = manager.expect("nothing is in the way");
    cached.subscription = Some(cached.stage.pressure.mlx_cache(&manager));
    cached.fill(400);
    cached.stage.poll(0.86);
    assert_eq!((cached.limit(), cached.clears()), (100, 1));
    // Within its limit from now on.
    for _ in 0..5 {
        cached.fill(100);
        cached.stage.poll(0.86);
    }
    assert_eq!(cached.clears(), 1);
    for _ in 0..21 {
        cached.stage.poll(0.1);
    }
    assert_eq!(cached.limit(), 4096);
}

/// The report has the reading for which the level rose, not the one after the cache was emptied.
#[test]
fn the_report_of_a_cache_that_fills_again_has_what_was_in_use() {
    let (stage, backend, _cache) = seeing(400);
    let log = Log::default();
    let told = log.clone();
    let _told = stage
        .pressure
        .on_level(Normal, move |change| told.note(change));
    for _ in 0..2 {
        backend.update_memory(|memory| memory.cache = 600 * MIB);
        stage.again();
    }
    assert_eq!(
        log.take(),
        ["memory pressure is critical, was normal (seen: 1000 MiB of 1 GiB in use)"]
    );
}

/// What a service manager tells it tells once. It counts in all of the poll in which it came.
#[cfg(unix)]
#[test]
fn what_a_service_manager_tells_is_not_lost_to_a_second_reading() {
    use mlx_wired::memory::ServiceManager;
    use mlx_wired::system::WatchSetting;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    let folder = Folder::new();
    let path = folder.at("s");
    let listener = UnixListener::bind(&path).expect("it is free");
    let setting = WatchSetting::File(path.into(), Vec::new());
    let watch = ServiceManager::of(&setting).expect("it names something");
    let (mut tells, _) = listener.accept().expect("it has connected");

    let (manager, backend) = on(RecordingBackend::cpu());
    let stage = Stage::with(|builder| builder.source(watch));
    let _cache = stage.pressure.mlx_cache(&manager);
    let log = Log::default();
    let givers = ["first", "second"].map(|name| {
        let told = log.clone();
        stage.pressure.on_give(move |_| {
            told.note(name);
            1
        })
    });
    backend.update_memory(|memory| memory.cache = 600 * MIB);
    assert_eq!(stage.poll(0.1), Normal);
    tells.write_all(b"!").expect("it is connected");
    assert_eq!(stage.poll(0.1), Warning);
    assert_eq!(log.take(), ["first", "second"]);
    // Until the next poll.
    for _ in 0..10 {
        assert_eq!(stage.poll(0.1), Warning);
    }
    assert_eq!(stage.poll(0.1), Normal);
    assert_eq!(log.take(), [""; 0]);
    drop(givers);
}
