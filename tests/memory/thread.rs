//! The monitor's thread, on a clock that the test moves.

use super::Log;
use crate::kit::{HookedClock, SECOND};
use mlx_wired::PressureLevel::{Critical, Normal};
use mlx_wired::clock::{FakeClock, Waker};
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{Pressure, PressureBuilder, Reading, Scripted, Source, SourceError};
use mlx_wired::{Config, Manager, SumPolicy};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Generous: nothing here waits so long but a test that fails.
const LONG: Duration = Duration::from_secs(60);

/// A source that tells of each reading: on which thread, and its name.
struct Telling(Scripted, Sender<(ThreadId, Option<String>)>);

impl Source for Telling {
    fn name(&self) -> &str {
        "telling"
    }

    fn read(&mut self, now: Instant) -> Result<Option<Reading>, SourceError> {
        let thread = thread::current();
        let told = self.1.send((thread.id(), thread.name().map(str::to_owned)));
        told.map_err(|_| "the test is over")?;
        self.0.read(now)
    }

    fn watch(&mut self, waker: &Waker) {
        self.0.watch(waker);
    }
}

struct Running {
    clock: FakeClock,
    script: Scripted,
    readings: Receiver<(ThreadId, Option<String>)>,
    sleeps: Receiver<()>,
    builder: PressureBuilder,
}

fn monitor() -> Running {
    let (clock, script) = (FakeClock::new(), Scripted::new("script"));
    let (tells, readings) = mpsc::channel();
    let (slept, sleeps) = mpsc::channel();
    let builder = Pressure::builder().source(Telling(script.clone(), tells));
    let told = HookedClock::new(clock.clone()).before_sleep(move || {
        let _over = slept.send(());
    });
    Running {
        builder: builder.clock(told),
        clock,
        script,
        readings,
        sleeps,
    }
}

impl Running {
    fn start(&mut self) -> Pressure {
        let builder = std::mem::replace(&mut self.builder, Pressure::builder());
        let pressure = builder.start().expect("a thread is to be had");
        // The first poll, then it sleeps.
        self.sleeps.recv_timeout(LONG).expect("it polls at once");
        pressure
    }

    /// Lets the time pass, and waits until it has polled.
    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.sleeps
            .recv_timeout(LONG)
            .expect("it polls when it is due");
    }
}

#[test]
fn one_named_thread_polls_when_it_is_due() {
    let mut running = monitor();
    let pressure = running.start();
    for _ in 0..5 {
        running.advance(Duration::from_millis(500));
    }
    let readings: Vec<_> = running.readings.try_iter().collect();
    assert_eq!(readings.len(), 6);
    assert!(readings.iter().all(|reading| *reading == readings[0]));
    assert_eq!(readings[0].1.as_deref(), Some("mlx-wired pressure"));
    assert_ne!(readings[0].0, thread::current().id());
    drop(pressure);
    assert!(
        running.readings.recv().is_err(),
        "the thread and its sources are gone"
    );
}

#[test]
fn no_thread_before_it_is_started_and_one_however_often() {
    let mut running = monitor();
    let builder = std::mem::replace(&mut running.builder, Pressure::builder());
    let mut pressure = builder.build().expect("the settings make sense");
    assert!(running.readings.try_recv().is_err());
    pressure.start().expect("a thread is to be had");
    running.sleeps.recv_timeout(LONG).expect("it polls at once");
    pressure.start().expect("it runs");
    running.advance(SECOND);
    assert_eq!(running.readings.try_iter().count(), 2);
    drop(pressure);
}

#[test]
fn a_source_that_is_told_of_a_change_makes_it_read_at_once() {
    let mut running = monitor();
    let pressure = running.start();
    running.script.used(0.99);
    running.script.wake();
    running
        .sleeps
        .recv_timeout(LONG)
        .expect("it polls when it is woken");
    assert_eq!(pressure.level(), Critical);
}

#[test]
fn dropping_it_wakes_the_thread_and_ends_the_pressure() -> Result<(), mlx_wired::Error> {
    let config = Config::default().elastic([1.0, 0.9, 0.75, 0.5]);
    let manager = Manager::builder()
        .backend(NoMlx::new())
        .config(config)
        .build()?;
    let step = manager.ticket(&SumPolicy::capped(100), 10);
    let mut running = monitor();
    running.builder = running.builder.manager(&manager);
    let pressure = running.start();
    let log = Log::default();
    let told = log.clone();
    let _told = pressure.on_level(Normal, move |change| {
        told.note(format!("{} {}", change.to, change.source.is_some()))
    });
    running.script.used(0.99);
    running.advance(SECOND);
    assert_eq!(step.available(), Some(50));
    // No time passes: it sleeps until a deadline that does not come.
    drop(pressure);
    assert_eq!(step.available(), Some(100));
    assert_eq!(log.take(), ["critical true", "normal false"]);
    Ok(())
}

/// From inside a function of its own there is nothing to join.
#[test]
fn it_may_be_dropped_by_a_function_that_it_calls() {
    let mut running = monitor();
    let pressure = running.start();
    let slot: Arc<Mutex<Option<Pressure>>> = Arc::default();
    let (done, is_done) = mpsc::channel();
    let takes = slot.clone();
    let subscription = pressure.before_critical(move |_| {
        drop(takes.lock().take());
        done.send(()).expect("the test waits");
    });
    *slot.lock() = Some(pressure);
    running.script.used(0.99);
    running.clock.advance(SECOND);
    is_done.recv_timeout(LONG).expect("dropping it returned");
    // The thread ends after that: its sources go.
    while running.readings.recv_timeout(LONG).is_ok() {}
    drop(subscription);
}

#[test]
fn threads_come_and_go_with_their_monitors() {
    for _ in 0..50 {
        let pressure = Pressure::builder().source(Scripted::new("script")).start();
        drop(pressure.expect("a thread is to be had"));
    }
}
