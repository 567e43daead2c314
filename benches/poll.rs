//! What it costs to look: a poll of pressure, the sources it reads, a reading of the monitor.
//!
//! ```sh
//! cargo bench --bench poll
//! ```

use criterion::{Criterion, criterion_group, criterion_main};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::monitor::Monitor;
use mlx_wired::memory::{Pressure, Scripted, system_sources};
use mlx_wired::{Manager, SumPolicy};
use std::time::{Duration, Instant};

fn pressure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("poll");
    let builder = |named: bool| {
        let script = Scripted::new("script");
        script.used(0.5);
        if named {
            Pressure::builder().source(script)
        } else {
            Pressure::builder()
        }
    };
    for (name, named) in [
        ("this system's sources", false),
        ("a source of memory", true),
    ] {
        let pressure = builder(named).build().expect("the settings make sense");
        group.bench_function(name, |bencher| bencher.iter(|| pressure.poll()));
    }
    group.finish();

    let mut group = criterion.benchmark_group("source");
    for mut source in system_sources() {
        let name = source.name().to_owned();
        // Differences of stalls are over half a second, as between polls.
        let mut now = Instant::now();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now += Duration::from_millis(500);
                source.read(now).is_ok()
            })
        });
    }
    group.finish();
}

fn monitor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("monitor");
    let backend = RecordingBackend::cpu().build();
    let manager = Manager::builder().backend(backend).build();
    let manager = manager.expect("the default configuration is valid");
    let monitor = Monitor::builder().manager(&manager).start();
    let monitor = monitor.expect("a thread is to be had");
    let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
    for guards in [0, 1000] {
        let held: Vec<_> = (0..guards).map(|_| ticket.acquire_owned()).collect();
        group.bench_function(format!("a reading, {guards} guards"), |bencher| {
            bencher.iter(|| monitor.read().is_ok())
        });
        drop(held);
    }
    group.finish();
}

criterion_group!(benches, pressure, monitor);
criterion_main!(benches);
