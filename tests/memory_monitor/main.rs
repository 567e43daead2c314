//! The monitor, on a device that plays what a test says and a clock that stands still.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `reading.rs` | what is used of what, which level that is, and what fits |
//! | `statistics.rs` | what was seen; the monitor's thread; memory that grows |
//! | `problems.rs` | what is told to be wrong, and the cure |
//! | `cleanup.rs` | what is given back |
//! | `leak.rs` | work that leaves memory behind |
//! | `fork.rs` | what a forked child has of it: nothing |
//! | `line.rs` | the line of JSON (feature `watch`) |
//! | `socket.rs` | the socket, and clients that mean no good (feature `watch`) |
//! | `figures.rs` | what is published, its names, and the documented queries (feature `metrics`) |

#[cfg(unix)]
#[path = "../fork/child.rs"]
mod child;
mod cleanup;
#[cfg(feature = "metrics")]
mod figures;
#[cfg(unix)]
mod fork;
#[path = "../kit/mod.rs"]
mod kit;
mod leak;
#[cfg(feature = "watch")]
mod line;
mod problems;
mod reading;
#[cfg(all(feature = "watch", unix))]
mod socket;
mod statistics;

use kit::{SECOND, until};
use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::{RecordingBackend, RecordingBuilder};
use mlx_wired::memory::monitor::{Monitor, MonitorBuilder};
use mlx_wired::{Config, Manager};
use std::sync::Arc;

/// A manager on a device of which the test decides everything, and a clock.
struct Stage {
    backend: Arc<RecordingBackend>,
    manager: Manager,
    clock: FakeClock,
}

impl Stage {
    fn new(device: RecordingBuilder) -> Self {
        Self::with(device, Config::default())
    }

    fn with(device: RecordingBuilder, config: Config) -> Self {
        let (backend, clock) = (device.build(), FakeClock::new());
        let manager = Manager::builder()
            .backend(backend.clone())
            .clock(clock.clone())
            .config(config.quiet(true))
            .build()
            .expect("nothing is in the way");
        Self {
            backend,
            manager,
            clock,
        }
    }

    /// With a monitor that has a thread.
    fn started(device: RecordingBuilder) -> (Self, Monitor) {
        let stage = Self::new(device);
        let monitor = stage.monitor().start().expect("it starts");
        (stage, monitor)
    }

    fn monitor(&self) -> MonitorBuilder {
        let monitor = Monitor::builder().manager(&self.manager);
        monitor.clock(self.clock.clone()).every(SECOND)
    }

    fn active(&self, bytes: u64) {
        self.backend.update_memory(|counters| {
            counters.active = bytes;
            counters.recorded_peak = counters.recorded_peak.max(bytes);
        });
    }

    fn cache(&self, bytes: u64) {
        self.backend
            .update_memory(|counters| counters.cache = bytes);
    }

    /// Lets a second pass, and the monitor's thread read.
    fn tick(&self, monitor: &Monitor) {
        let seen = || {
            let seen = monitor.statistics().expect("it is no child");
            seen.readings + seen.failures
        };
        let before = seen();
        self.clock.advance(SECOND);
        until("the monitor's thread reads", || seen() > before);
    }
}
