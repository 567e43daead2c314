//! What `tracing` subscribers are told with the feature of that name.
#![cfg(feature = "tracing")]

#[path = "kit/mod.rs"]
mod kit;

use kit::{Custom, Pending, Rig, SECOND, again, quiet, until};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Config, Error, SumPolicy};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

#[derive(Debug, Clone, PartialEq)]
enum Told {
    Opened(u64, &'static str, Fields),
    Entered(u64),
    Exited(u64),
    Closed(u64),
    Event(Level, Fields),
}

type Fields = BTreeMap<&'static str, String>;

struct Reader(Fields);

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Keeps what it is told, and calls `on_event` for each event.
struct Keeper<F> {
    level: Level,
    told: Arc<Mutex<Vec<Told>>>,
    next: AtomicU64,
    on_event: F,
}

impl<F: Fn() + Send + Sync + 'static> Keeper<F> {
    fn new(level: Level, on_event: F) -> (Self, Arc<Mutex<Vec<Told>>>) {
        let told = Arc::default();
        let keeper = Self {
            level,
            told: Arc::clone(&told),
            next: AtomicU64::new(1),
            on_event,
        };
        (keeper, told)
    }

    fn keep(&self, told: Told) {
        self.told.lock().expect("nobody panics with it").push(told);
    }
}

impl<F: Fn() + Send + Sync + 'static> Subscriber for Keeper<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mlx_wired" && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut reader = Reader(Fields::new());
        span.record(&mut reader);
        self.keep(Told::Opened(id, span.metadata().name(), reader.0));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut reader = Reader(Fields::new());
        event.record(&mut reader);
        self.keep(Told::Event(*event.metadata().level(), reader.0));
        (self.on_event)();
    }

    fn enter(&self, span: &Id) {
        self.keep(Told::Entered(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.keep(Told::Exited(span.into_u64()));
    }

    fn try_close(&self, span: Id) -> bool {
        self.keep(Told::Closed(span.into_u64()));
        true
    }
}

/// A limit of 7 was in force before.
fn rig(config: Config) -> Result<Rig, Error> {
    let device = RecordingBackend::metal().initial_limit(7);
    Ok(Rig::on(device, config)?.restoring(7))
}

#[test]
fn r24_a_guard_is_a_span_and_the_limit_is_told_in_events() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let (keeper, told) = Keeper::new(Level::DEBUG, || {});
    tracing::subscriber::with_default(keeper, || -> Result<(), Error> {
        let ticket = rig.ticket(&SumPolicy::uncapped(), 10).label("step");
        let guard = ticket.acquire()?;
        // The second changes no limit.
        drop(ticket.acquire()?);
        drop(guard);
        drop(ticket.acquire_owned()?);
        Ok(())
    })?;
    let told = told.lock().expect("nobody panics with it");
    let spans: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Opened(id, name, fields) => Some((*id, *name, fields)),
            _ => None,
        })
        .collect();
    assert_eq!(spans.len(), 3, "{told:?}");
    for (id, name, fields) in spans {
        assert_eq!(name, "guard");
        assert_eq!((&*fields["size"], &*fields["kind"]), ("10", "Active"));
        assert_eq!(fields["label"], "\"step\"");
        assert_eq!(told.iter().filter(|it| **it == Told::Closed(id)).count(), 1);
    }
    let messages: Vec<_> = told
        .iter()
        .filter_map(|told| match told {
            Told::Event(Level::DEBUG, fields) => Some((&*fields["message"], &fields["baseline"])),
            _ => None,
        })
        .collect();
    let captured = messages.iter().position(|it| it.0 == "baseline captured");
    let applied = messages.iter().position(|it| it.0 == "limit applied");
    let restored = messages.iter().position(|it| it.0 == "baseline restored");
    assert!(captured < applied && applied < restored, "{messages:?}");
    assert!(messages.iter().any(|it| it.1 == "7"), "{messages:?}");
    Ok(())
}

#[test]
fn r30_a_wait_is_an_entered_span_and_a_stall_a_warning() -> Result<(), Error> {
    let stall = 3 * SECOND;
    let rig = rig(quiet().stall_after(stall))?;
    let (keeper, told) = Keeper::new(Level::DEBUG, || {});
    let dispatch = tracing::Dispatch::new(keeper);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10).label("step");
    let guard = ticket.acquire()?;
    let waits = ticket.clone();
    let waiting = Pending::spawn(move || {
        tracing::dispatcher::with_default(&dispatch, || waits.acquire_owned().map(drop))
    });
    waiting.until_queued(&rig.manager);
    rig.clock.advance(stall);
    let is_warning = |told: &Told| matches!(told, Told::Event(Level::WARN, _));
    until("the stall is told of", || {
        let told = told.lock().expect("nobody panics with it");
        told.iter().any(is_warning)
    });
    assert_eq!(rig.manager.stats().stalls, 1);
    drop(guard);
    waiting.result()?;

    let told = told.lock().expect("nobody panics with it");
    let opened = told.iter().find_map(|told| match told {
        Told::Opened(id, "wait", fields) => Some((*id, fields)),
        _ => None,
    });
    let (id, fields) = opened.expect("the wait has a span");
    assert!(
        fields["place"].starts_with("tests/tracing.rs:"),
        "{fields:?}"
    );
    let position = |wanted: Told| told.iter().position(|told| *told == wanted);
    let (entered, closed) = (position(Told::Entered(id)), position(Told::Closed(id)));
    let warned = told.iter().position(
        |told| matches!(told, Told::Event(Level::WARN, fields) if fields["largest"].contains("10 B step at tests/tracing.rs")),
    );
    assert!(
        entered.is_some() && entered < warned && warned < closed,
        "{told:?}"
    );
    Ok(())
}

const LEVEL: &str = "MLX_WIRED_TEST_LEVEL";

#[test]
fn r30_stderr_is_silent_where_a_subscriber_takes_warnings() -> Result<(), Error> {
    let Some(level) = std::env::var_os(LEVEL) else {
        let test = "r30_stderr_is_silent_where_a_subscriber_takes_warnings";
        let (_, told) = again(test, &[(LEVEL, "warn")]);
        assert_eq!(told, "");
        let (_, told) = again(test, &[(LEVEL, "error")]);
        assert!(
            told.starts_with("mlx-wired: step has waited 30.0s for 10 B"),
            "{told}"
        );
        return Ok(());
    };
    let level = if level == "warn" {
        Level::WARN
    } else {
        Level::ERROR
    };
    let (keeper, told) = Keeper::new(level, || {});
    tracing::subscriber::set_global_default(keeper).expect("the process is new");
    let rig = rig(quiet().quiet(false))?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10).label("step");
    let guard = ticket.acquire_owned()?;
    let waiting = rig.queued(&ticket);
    rig.clock.advance(30 * SECOND);
    until("it is told of", || rig.manager.stats().stalls > 0);
    drop(guard);
    drop(waiting.result()?);
    let told = told.lock().expect("nobody panics with it");
    assert_eq!(told.len(), usize::from(level == Level::WARN), "{told:?}");
    Ok(())
}

#[test]
fn r24_below_debug_a_guard_has_no_span() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let (keeper, told) = Keeper::new(Level::INFO, || {});
    tracing::subscriber::with_default(keeper, || {
        let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
        ticket.acquire().map(drop)
    })?;
    assert_eq!(*told.lock().expect("nobody panics with it"), []);
    Ok(())
}

#[test]
fn r22_a_subscriber_may_look_and_acquire_and_panic() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let (inner, looked) = (ticket.clone(), rig.manager.clone());
    let (keeper, told) = Keeper::new(Level::DEBUG, move || {
        assert!(looked.snapshot().live <= 4);
        // The limit covers it already, or it is one more change; either way nothing is stuck.
        drop(inner.try_acquire());
        panic!("the subscriber's own");
    });
    tracing::subscriber::with_default(keeper, || -> Result<(), Error> {
        let guards = (ticket.acquire()?, ticket.acquire()?);
        drop(guards);
        Ok(())
    })?;
    assert!(!told.lock().expect("nobody panics with it").is_empty());
    assert_eq!(rig.manager.snapshot().live, 0);
    assert_eq!(rig.manager.applied(), 7);
    Ok(())
}

#[test]
fn r24_each_limit_that_a_subscriber_is_told_of_is_traced() -> Result<(), Error> {
    let rig = rig(quiet())?;
    let (keeper, told) = Keeper::new(Level::TRACE, || {});
    let events = rig.manager.subscribe(100);
    tracing::subscriber::with_default(keeper, || -> Result<(), Error> {
        let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
        let most = rig.ticket(&SumPolicy::uncapped(), 1000);
        let _stays = most.acquire()?;
        // This changes nothing for anybody else.
        drop(ticket.acquire()?);
        drop(ticket.acquire()?);
        Ok(())
    })?;
    let computed = |event: &mlx_wired::Event| event.kind == mlx_wired::EventKind::LimitComputed;
    let computed: Vec<_> = events
        .drain()
        .filter(computed)
        .map(|it| it.desired)
        .collect();
    let told = told.lock().expect("nobody panics with it");
    let traced = told.iter().filter_map(|told| match told {
        Told::Event(Level::TRACE, fields) => Some(fields["desired"].parse().ok()),
        _ => None,
    });
    assert_eq!(traced.collect::<Vec<Option<u64>>>(), computed);
    let expected = [1000, 1017, 1007, 1017, 1007].map(Some);
    assert_eq!(computed, expected);
    Ok(())
}

#[test]
fn r42_names_and_messages_are_traced_in_one_line_and_cut() -> Result<(), Error> {
    for name in ["qwen\n\u{1b}[2J\u{202e}".to_owned(), "x".repeat(1 << 16)] {
        let rig = rig(quiet())?;
        let (keeper, told) = Keeper::new(Level::TRACE, || {});
        tracing::subscriber::with_default(keeper, || {
            let panics = name.clone();
            let policy = Custom::new().called(&name);
            let policy = policy.limits(move |_, _| panic!("{panics}"));
            let ticket = rig.ticket(&policy, 10).label(&*name);
            ticket.acquire_owned().map(drop)
        })?;
        let told = told.lock().expect("nobody panics with it");
        let fields = told.iter().filter_map(|told| match told {
            Told::Opened(_, _, fields) | Told::Event(_, fields) => Some(fields),
            _ => None,
        });
        let mut seen = Vec::new();
        for (field, value) in fields.flatten() {
            if matches!(*field, "label" | "policy" | "panic") && value != "None" {
                seen.push(*field);
                // As the visitor has it, once more escaped by Debug.
                let escaped = value.contains("qwen\\\\n\\\\u{1b}[2J\\\\u{202e}");
                let cut = value.starts_with("\"xx") && (*field == "panic" || value.len() < 100);
                assert!(escaped || cut, "{field}: {value}");
            }
        }
        for field in ["label", "policy", "panic"] {
            assert!(seen.contains(&field), "{seen:?}");
        }
    }
    Ok(())
}
