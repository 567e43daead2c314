//! Memory while a program runs: pressure, and what is done about it.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `levels.rs` | when a level begins and ends, on sources that say what the test says |
//! | `order.rs` | what is done at a change, in which order, and what is given back |
//! | `cache.rs` | MLX's cache gives way, and its limit comes back |
//! | `limit.rs` | a training run and pressure share that limit |
//! | `removal.rs` | functions that are removed, panic, and call back |
//! | `thread.rs` | the monitor's thread, on a clock that the test moves |
//! | `recorded.rs` | files of a real container under pressure, replayed; missing and malformed ones |
//! | `real.rs` | a container of the test's own (on request) |
#![cfg(not(any(loom, shuttle)))]

mod cache;
#[path = "../kit/mod.rs"]
mod kit;
mod levels;
mod limit;
mod order;
mod real;
mod recorded;
mod removal;
mod thread;

use kit::SECOND;
use mlx_wired::PressureLevel;
use mlx_wired::clock::FakeClock;
use mlx_wired::memory::{Pressure, PressureBuilder, Scripted};
use parking_lot::Mutex;
use std::sync::Arc;

/// A monitor without a thread, of one source that the test scripts, on a clock that the test moves.
struct Stage {
    clock: FakeClock,
    script: Scripted,
    pressure: Pressure,
}

impl Stage {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(PressureBuilder) -> PressureBuilder) -> Self {
        let (clock, script) = (FakeClock::new(), Scripted::new("script"));
        let builder = Pressure::builder().source(script.clone());
        let builder = settings(builder.clock(clock.clone()));
        Self {
            clock,
            script,
            pressure: builder.build().expect("the settings make sense"),
        }
    }

    /// The level after a second and a poll that finds this part in use.
    fn poll(&self, used: f64) -> PressureLevel {
        self.script.used(used);
        self.again()
    }

    /// The level after a second and a poll.
    fn again(&self) -> PressureLevel {
        self.clock.advance(SECOND);
        assert!(self.pressure.poll());
        self.pressure.level()
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, what: impl ToString) {
        self.0.lock().push(what.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}
