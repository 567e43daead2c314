//! What is published, its names, and the documented queries.

use super::Stage;
use crate::kit::{MIB, SECOND, until};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use mlx_wired::memory::monitor::{
    FIGURES, Figure, FigureKind, Monitor, MonitorBuilder, WAIT_BUCKETS,
};
use mlx_wired::memory::{BufferPool, Pressure, Scripted, Subscription};
use mlx_wired::{PolicyId, SumPolicy, Wait};
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What one program publishes, as Prometheus reads it.
struct Published {
    recorder: PrometheusRecorder,
    monitor: Monitor,
    _watched: [Subscription; 3],
}

impl Published {
    fn new(monitor: MonitorBuilder, with_suffixes: bool) -> Self {
        let exporter = PrometheusBuilder::new().set_buckets(WAIT_BUCKETS);
        let exporter = exporter.expect("there are buckets");
        let recorder = exporter
            .with_recommended_naming(with_suffixes)
            .build_recorder();
        let monitor = with_local_recorder(&recorder, || monitor.start());
        let monitor = monitor.expect("it starts");
        let pools = [(); 2].map(|()| BufferPool::builder("loader\n").housekeeping(false).build());
        for _ in 0..3 {
            drop(pools[0].get(1 << 20).expect("there is room"));
        }
        let script = Scripted::new("script");
        let pressure = Pressure::builder().source(script.clone()).build();
        let pressure = pressure.expect("the settings make sense");
        let _gives = pressure.on_give(|_| 3 * MIB);
        script.used(0.8);
        pressure.poll();
        let _watched = [
            monitor.watch_pool(&pools[0]),
            monitor.watch_pool(&pools[1]),
            monitor.watch_pressure(&pressure),
        ];
        drop(pools[1].get(1 << 20).expect("there is room"));
        Self {
            recorder,
            monitor,
            _watched,
        }
    }

    fn text(&self) -> String {
        let published = with_local_recorder(&self.recorder, || self.monitor.publish());
        drop(published);
        let handle: PrometheusHandle = self.recorder.handle();
        handle.run_upkeep();
        handle.render()
    }

    /// Series with their values.
    fn series(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let lines = text
            .lines()
            .filter(|it| !it.starts_with('#') && !it.is_empty());
        lines
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                (series.to_owned(), value.parse().expect("it is a number"))
            })
            .collect()
    }
}

/// The figure that a series belongs to.
fn figure(series: &str) -> Option<&'static Figure> {
    let name = series.split('{').next().expect("the first part");
    FIGURES.iter().find(|figure| match figure.kind {
        FigureKind::Histogram => name
            .strip_prefix(figure.name)
            .is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest)),
        _ => name == figure.name,
    })
}

/// Admits, waits, refuses, forces a cleanup: each figure has something to say.
fn work(stage: &Stage, monitor: &Monitor) {
    stage.active(300 * MIB);
    stage.active(200 * MIB);
    stage.cache(50 * MIB);
    stage.backend.set_footprint(Some(400 * MIB));
    let policy = SumPolicy::capped(100 * MIB);
    let first = stage.manager.ticket(&policy, 80 * MIB);
    let guard = first.acquire_owned().expect("it fits");
    thread::scope(|scope| {
        let waits = scope.spawn(|| first.acquire().map(drop));
        until("it waits", || !stage.manager.waiting().is_empty());
        stage.clock.advance(Duration::from_millis(300));
        drop(guard);
        waits.join().expect("it ends").expect("it is admitted");
    });
    let held = first.acquire_owned().expect("it fits");
    thread::scope(|scope| {
        let wait = Wait::new().timeout(SECOND / 10);
        let gives_up = scope.spawn(|| first.acquire_with(wait).map(drop));
        until("it waits", || !stage.manager.waiting().is_empty());
        stage.clock.advance(SECOND / 10);
        gives_up
            .join()
            .expect("it ends")
            .expect_err("it has not fitted");
    });
    monitor.force_cleanup().expect("it can be freed");
    std::mem::forget(held);
}

#[test]
fn each_figure_is_published_and_no_other() {
    for with_suffixes in [false, true] {
        let stage = Stage::new(RecordingBackend::cpu());
        let published = Published::new(stage.monitor(), with_suffixes);
        work(&stage, &published.monitor);
        let series = published.series();
        for known in FIGURES {
            let of = series.keys().find(|it| figure(it) == Some(known));
            let of = of.unwrap_or_else(|| panic!("{} is missing: {series:#?}", known.name));
            for label in known.labels {
                assert!(of.contains(&format!("{label}=\"")), "{of}");
            }
        }
        for name in series.keys() {
            assert!(figure(name).is_some(), "{name} has no documentation");
        }
        let text = published.text();
        for known in FIGURES {
            let help = format!("# HELP {} {}", known.name, known.text);
            assert!(text.contains(&help), "{help}\n{text}");
        }
    }
}

#[test]
fn figures_have_their_values() {
    let stage = Stage::new(RecordingBackend::cpu().version("0.32.2"));
    let published = Published::new(stage.monitor().budget(220 * MIB), false);
    work(&stage, &published.monitor);
    let _decoder = published.monitor.uncounted("decoder", 3 * MIB);
    let series = published.series();
    let of = |name: &str| {
        *series
            .get(name)
            .unwrap_or_else(|| panic!("{name}: {series:#?}"))
    };
    let mib = |name| of(name) / MIB as f64;
    assert_eq!(mib("mlx_wired_active_bytes"), 200.0);
    assert_eq!(mib("mlx_wired_peak_bytes"), 300.0);
    assert_eq!(mib("mlx_wired_cache_bytes"), 0.0, "it was freed");
    assert_eq!(mib("mlx_wired_footprint_bytes"), 400.0);
    assert_eq!(mib("mlx_wired_used_bytes"), 400.0);
    assert_eq!(mib("mlx_wired_budget_bytes"), 220.0);
    assert_eq!(mib("mlx_wired_uncounted_bytes"), 3.0);
    assert_eq!(mib("mlx_wired_admitted_bytes{group=\"0\"}"), 80.0);
    assert_eq!(mib("mlx_wired_reclaimed_bytes_total{by=\"cache\"}"), 50.0);
    assert_eq!(mib("mlx_wired_reclaimed_bytes_total{by=\"reaction\"}"), 3.0);
    // Two pools of one name; the name is escaped, twice: by this library and by the exporter.
    let pool = |name: &str| of(&format!("mlx_wired_pool_{name}{{pool=\"loader\\\\n\"}}"));
    assert_eq!(pool("hits_total"), 2.0);
    assert_eq!(pool("misses_total"), 2.0);
    assert_eq!(pool("in_use_bytes"), 0.0);
    assert_eq!(pool("idle_bytes"), 2.0 * MIB as f64);
    assert_eq!(of("mlx_wired_waiting"), 0.0);
    assert_eq!(of("mlx_wired_level"), 3.0);
    assert_eq!(of("mlx_wired_pressure_level"), 0.0);
    assert_eq!(of("mlx_wired_admissions_total{result=\"timed_out\"}"), 1.0);
    assert_eq!(of("mlx_wired_wait_seconds_count"), 1.0);
    assert!(
        (of("mlx_wired_wait_seconds_sum") - 0.3).abs() < 1e-6,
        "the sum is exact"
    );
    assert_eq!(of("mlx_wired_wait_seconds_bucket{le=\"0.1\"}"), 0.0);
    assert_eq!(of("mlx_wired_wait_seconds_bucket{le=\"0.5\"}"), 1.0);
    let info = series.keys().find(|it| it.starts_with("mlx_wired_info{"));
    let info = info.expect("it is published");
    for label in ["mlx=\"0.32.2\"", "device=\"cpu\"", "support=\"no\""] {
        assert!(info.contains(label), "{info}");
    }
    // Told again, a wait does not count again.
    assert_eq!(published.series()["mlx_wired_wait_seconds_count"], 1.0);
}

#[test]
fn who_waits_is_seen_while_it_waits() {
    let stage = Stage::new(RecordingBackend::cpu());
    let published = Published::new(stage.monitor(), false);
    let policy = SumPolicy::capped(100);
    let ticket = stage.manager.ticket(&policy, 100);
    let guard = ticket.acquire_owned().expect("it fits");
    thread::scope(|scope| {
        let waits = scope.spawn(|| ticket.acquire().map(drop));
        until("it waits", || !stage.manager.waiting().is_empty());
        stage.clock.advance(7 * SECOND);
        let series = published.series();
        drop(guard);
        waits.join().expect("it ends").expect("it is admitted");
        assert_eq!(series["mlx_wired_waiting"], 1.0);
        assert_eq!(series["mlx_wired_oldest_wait_seconds"], 7.0);
    });
}

#[test]
fn labels_are_numbers_unless_the_program_says_otherwise() {
    let stage = Stage::new(RecordingBackend::cpu());
    let named = Published::new(stage.monitor().names_groups(true), false);
    let numbered = Published::new(stage.monitor(), false);
    let policy = SumPolicy::capped(100).with_id(PolicyId::named("a\"\n\u{1b}b"));
    let ticket = stage.manager.ticket(&policy, 60);
    let guard = ticket.acquire().expect("it fits");
    let of = |published: &Published| {
        let series = published.series();
        let mut of_groups = series
            .into_iter()
            .filter(|it| it.0.contains("_admitted_bytes"));
        of_groups.next().expect("it is published")
    };
    assert_eq!(
        of(&numbered),
        ("mlx_wired_admitted_bytes{group=\"0\"}".to_owned(), 60.0)
    );
    let (name, bytes) = of(&named);
    assert!(
        name.contains("\\u{1b}b") && !name.contains('\u{1b}'),
        "{name:?}"
    );
    assert_eq!(bytes, 60.0);
    drop(guard);
    drop(ticket);
    assert_eq!(of(&numbered).1, 0.0, "what has gone is 0, not what it was");
    assert_eq!(of(&named).1, 0.0);
}

#[test]
fn counters_that_cannot_be_read_leave_the_rest() {
    let stage = Stage::new(RecordingBackend::cpu());
    let published = Published::new(stage.monitor(), false);
    stage.active(5);
    published.series();
    stage.backend.fail_memory(true);
    let series = published.series();
    assert_eq!(series["mlx_wired_reading_failures_total"], 1.0);
    assert_eq!(series["mlx_wired_active_bytes"], 5.0);
}

/// The documentation's section.
fn document() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let document = fs::read_to_string(format!("{root}/docs/MEMORY.md"));
    document.expect("it is there")
}

#[test]
fn the_documented_list_is_the_published_one() {
    let document = document();
    for figure in FIGURES {
        let kind = format!("{:?}", figure.kind).to_lowercase();
        let labels = figure.labels.join(", ");
        let row = format!(
            "| `{}` | {kind} | {labels} | {} |",
            figure.name, figure.text
        );
        assert!(document.contains(&row), "not in the document:\n{row}");
    }
    let rows = document
        .lines()
        .filter(|it| it.starts_with("| `mlx_wired_"))
        .count();
    assert_eq!(rows, FIGURES.len());
}

/// The selectors of a query.
#[derive(Default)]
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = Infallible;

    fn pre_visit(&mut self, query: &Expr) -> Result<bool, Infallible> {
        match query {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(range) => self.0.push(range.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// Whether a series is among those that a selector asks for.
fn finds(selector: &VectorSelector, series: &str) -> bool {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let value = |label: &str| {
        let (_, rest) = labels.split_once(&format!("{label}=\""))?;
        rest.split('"').next()
    };
    let matchers = selector.matchers.matchers.iter();
    selector.name.as_deref() == Some(name)
        && matchers
            .filter(|it| it.name != "__name__")
            .all(|it| value(&it.name).is_some_and(|value| it.is_match(value)))
}

#[test]
fn the_documented_queries_find_what_is_published() {
    let document = document();
    let (_, rest) = document
        .split_once("```promql\n")
        .expect("there are queries");
    let (queries, _) = rest.split_once("```").expect("they end");
    let queries = queries.lines().filter(|it| !it.starts_with('#'));
    let queries: Vec<_> = queries.collect();
    assert!(queries.len() >= 8, "{queries:?}");
    for with_suffixes in [false, true] {
        let stage = Stage::new(RecordingBackend::cpu());
        let published = Published::new(stage.monitor(), with_suffixes);
        work(&stage, &published.monitor);
        let series = published.series();
        for query in &queries {
            let parsed = parser::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            let mut selectors = Selectors::default();
            walk_expr(&mut selectors, &parsed).expect("it cannot fail");
            assert!(!selectors.0.is_empty(), "{query}");
            for selector in selectors.0 {
                let found = series.keys().any(|series| finds(&selector, series));
                assert!(found, "{query}: nothing for {selector}\n{series:#?}");
            }
        }
    }
    let unknown = parser::parse("mlx_wired_admissions_total{result=\"refused\"}");
    let Ok(Expr::VectorSelector(unknown)) = unknown else {
        panic!("it is a selector");
    };
    assert!(!finds(
        &unknown,
        "mlx_wired_admissions_total{result=\"admitted\"}"
    ));
}

/// A recorder is the program's. One that asks the monitor waits for nothing that is held around it.
#[test]
fn a_recorder_may_use_the_monitor() {
    struct Asking(RefCell<Option<Monitor>>, Cell<u32>);
    impl Recorder for Asking {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            if let Some(monitor) = &*self.0.borrow()
                && key.name() == "mlx_wired_admitted_bytes"
                && self.1.replace(1) == 0
            {
                monitor.publish().expect("it can be read");
            }
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let stage = Stage::new(RecordingBackend::cpu());
        let ticket = stage.manager.ticket(&SumPolicy::capped(100), 60);
        let _guard = ticket.acquire_owned().expect("it fits");
        let monitor = stage.monitor().start().expect("it starts");
        let recorder = Asking(RefCell::new(Some(monitor)), Cell::new(0));
        with_local_recorder(&recorder, || {
            let monitor = recorder.0.borrow();
            let monitor = monitor.as_ref().expect("it was put there");
            monitor.publish().expect("it can be read");
        });
        done.send(recorder.1.get()).expect("the test waits");
    });
    let asked = is_done.recv_timeout(Duration::from_secs(60));
    assert_eq!(asked, Ok(1), "nothing is held");
}
