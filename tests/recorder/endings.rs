//! Recorders and managers that end at the same time.

use super::told;
use crate::kit::{HookedClock, Rig, SECOND, quiet};
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::{Backend, BackendError, Device, MemoryCounters, RecordingBackend};
use mlx_wired::recorder::{End, Recorder, Recording, What};
use mlx_wired::{Context, Error, Manager, Policy, PolicyId, Sizes, SumPolicy};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};

/// A backend whose counters cannot be read until somebody is served.
#[derive(Debug)]
struct Slow {
    backend: Arc<RecordingBackend>,
    reading: Barrier,
    served: Barrier,
}

impl Backend for Slow {
    fn device(&self) -> Device {
        self.backend.device()
    }

    fn set_wired_limit(&self, bytes: u64) -> Result<u64, BackendError> {
        self.backend.set_wired_limit(bytes)
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        self.backend.synchronize()
    }

    fn memory(&self) -> Result<MemoryCounters, BackendError> {
        self.reading.wait();
        self.served.wait();
        self.backend.memory()
    }

    fn exclusive(&self) -> Option<&'static str> {
        Some("read slowly")
    }
}

#[test]
fn a_recorder_that_reads_counters_does_not_keep_the_manager_alive() -> Result<(), Error> {
    let backend = Arc::new(Slow {
        backend: RecordingBackend::metal().build(),
        reading: Barrier::new(2),
        served: Barrier::new(2),
    });
    let manager = Manager::builder().backend(backend.clone()).build()?;
    let recorder = thread::spawn({
        let manager = manager.clone();
        move || {
            // Its first poll is here.
            let recorder = Recorder::new(&manager);
            drop(manager);
            recorder
        }
    });
    backend.reading.wait();
    backend.served.wait();
    let mut recorder = recorder.join().expect("it ends well");
    let polling = thread::spawn(move || recorder.poll());
    backend.reading.wait();
    drop(manager);
    let next = Manager::builder().backend(backend.clone()).build();
    backend.served.wait();
    polling.join().expect("it ends well");
    next.map(drop)
}

/// Stops the thread that is the next but so many to ask for the time.
#[derive(Clone)]
struct Stopping {
    left: Arc<AtomicUsize>,
    stop: Arc<(Barrier, Barrier)>,
}

impl Stopping {
    fn new() -> Self {
        Self {
            left: Arc::default(),
            stop: Arc::new((Barrier::new(2), Barrier::new(2))),
        }
    }

    fn clock(&self) -> HookedClock {
        let this = self.clone();
        HookedClock::new(FakeClock::new()).when_asked(move || {
            let less = |left: usize| left.checked_sub(1);
            if this.left.fetch_update(Relaxed, Relaxed, less) == Ok(1) {
                this.stop.0.wait();
                this.stop.1.wait();
            }
        })
    }

    /// Ends the recording in another thread, which stops when it asks for the time: once for the state under the lock,
    /// once for who holds what.
    fn stop_at_the_end_of(&self, recorder: Recorder) -> JoinHandle<Recording> {
        self.left.store(2, Relaxed);
        let ending = thread::spawn(move || recorder.finish());
        self.stop.0.wait();
        ending
    }
}

#[test]
fn a_recorder_that_ends_does_not_keep_the_managers_place() -> Result<(), Error> {
    let stopping = Stopping::new();
    let build = || {
        let backend = RecordingBackend::metal().exclusive("ends slowly");
        let builder = Manager::builder().backend(backend.build());
        builder.clock(stopping.clock()).build()
    };
    let manager = build()?;
    let ending = stopping.stop_at_the_end_of(Recorder::new(&manager));
    drop(manager);
    let next = build();
    stopping.stop.1.wait();
    drop(ending.join().expect("it ends well"));
    next.map(drop)
}

/// A policy that panics when it is dropped.
struct Grudging;

impl Policy for Grudging {
    fn id(&self) -> PolicyId {
        PolicyId::named("grudging")
    }

    fn limit(&self, context: &Context, live: &Sizes<'_>) -> u64 {
        context.baseline + live.sum
    }
}

impl Drop for Grudging {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_recorder_that_ends_last_is_not_to_blame_for_a_policy() -> Result<(), Error> {
    let stopping = Stopping::new();
    let manager = Manager::builder()
        .backend(mlx_wired::ffi::NoMlx::new())
        .clock(stopping.clock())
        .build()?;
    drop(manager.ticket(&Arc::new(Grudging), 1).acquire()?);
    let ending = stopping.stop_at_the_end_of(Recorder::new(&manager));
    drop(manager);
    stopping.stop.1.wait();
    assert!(ending.join().is_ok());
    Ok(())
}

#[test]
fn a_guard_that_has_grown_and_waits_for_the_limit_is_one() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let recorder = Recorder::new(&rig.manager);
    let mut guard = ticket.acquire_owned()?;
    let mut gone = ticket.acquire_owned()?;
    gone.resize(5)?;
    drop(gone);
    rig.clock.advance(SECOND);
    let gate = rig.backend.gate();
    let growing = thread::spawn(move || guard.resize(30).map(|()| guard));
    gate.wait_entered(1);
    rig.clock.advance(SECOND);
    let recording = recorder.finish();
    gate.open();
    let guard = |bytes, from, to, end| (What::Guard, "SumPolicy".to_owned(), bytes, from, to, end);
    let expected = [guard(10, 0, 1, End::Resized), guard(30, 1, 2, End::Open)];
    let mut found = told(&recording);
    found.retain(|it| it.3 < it.4);
    assert_eq!(found, expected);
    drop(growing.join().expect("it ends well")?);
    Ok(())
}
