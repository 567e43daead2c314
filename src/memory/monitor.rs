//! What memory is in use, read again and again, and how that is told.
//!
//! A [`Monitor`] has one thread. At each interval it reads MLX's counters, the process's footprint and the manager's state;
//! compares what is used with a budget; keeps [`Statistics`]; and publishes figures (feature `metrics`). The program may ask it
//! for a [`Reading`] at any time, for what is [wrong](Monitor::problems), whether [more fits](Monitor::can_allocate), to [give
//! back](Monitor::force_cleanup) what can be given back, and whether work [leaks](Monitor::leak_check).
//!
//! It changes no limit, and acquiring and releasing know nothing of it: without a monitor nothing here runs, and with one a
//! guard costs what it did.

mod builder;
mod caught;
mod cleaning;
mod cleanup;
mod growth;
mod leak;
#[cfg(feature = "watch")]
mod line;
#[cfg(feature = "watch")]
mod page;
mod problem;
#[cfg(feature = "metrics")]
mod publish;
#[cfg(feature = "metrics")]
mod publisher;
mod reading;
mod shared;
#[cfg(all(feature = "watch", unix))]
mod socket;
mod source;
mod statistics;
mod ticker;
mod uncounted;
#[cfg(any(feature = "metrics", feature = "watch"))]
mod watched;
#[cfg(any(feature = "metrics", feature = "watch"))]
mod watching;

pub use crate::memory::thresholds::Thresholds;
pub use builder::MonitorBuilder;
pub use cleanup::Cleaned;
pub use growth::{Grows, Growth};
pub use leak::LeakCheck;
pub use problem::{Problem, Severity};
#[cfg(feature = "metrics")]
pub use publish::names::{FIGURES, Figure, FigureKind, WAIT_BUCKETS};
pub use reading::Reading;
#[cfg(all(feature = "watch", unix))]
pub use socket::Server;
pub use statistics::{Extent, Statistics};
pub use uncounted::{Uncounted, UncountedBytes};

use super::Error;
use crate::Manager;
use shared::Shared;
use std::sync::Arc;
use ticker::Ticker;

/// Reads memory at intervals, on a thread of its own, and answers for it. Dropping it stops the thread.
///
/// It is its process's own: in a forked child every call that can fail is [`Error::Coordinator`], and dropping it does nothing.
///
/// ```
/// use mlx_wired::memory::monitor::Monitor;
/// use mlx_wired::{Manager, PressureLevel};
/// # use mlx_wired::ffi::RecordingBackend;
///
/// # let backend = RecordingBackend::cpu().build();
/// # let manager = Manager::builder().backend(backend.clone()).build()?;
/// let monitor = Monitor::builder().manager(&manager).budget(4 << 30).start()?;
/// # backend.update_memory(|counters| counters.active = 3 << 30);
/// let decoder = monitor.uncounted("decoder", 256 << 20); // MLX does not know of it
///
/// let reading = monitor.read()?;
/// println!("{reading}"); // warning  3.25 GiB of 4 GiB (81 %)  active 3 GiB  cache 0 B  uncounted 256 MiB
/// assert_eq!(reading.level, PressureLevel::Warning);
///
/// if let Err(error) = monitor.can_allocate(1 << 30) {
///     println!("{error}"); // 1 GiB do not fit beside 3.25 GiB in use, of 4 GiB; drop arrays, or ask for less
/// }
/// drop(decoder);
/// monitor.can_allocate(1 << 30)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it stops it"]
pub struct Monitor {
    shared: Arc<Shared>,
    _ticker: Ticker,
}

impl Monitor {
    /// The manager.
    #[must_use]
    pub fn manager(&self) -> &Manager {
        &self.shared.source.manager
    }

    /// What memory is now. It counts in the statistics.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if MLX's counters could not be read.
    ///
    /// # Blocking
    ///
    /// Not for work: it reads MLX's counters, asks the system for the footprint, and takes the manager's lock for a
    /// [snapshot](Manager::snapshot).
    pub fn read(&self) -> Result<Reading, Error> {
        self.shared.source.check()?;
        Ok(self.shared.read_and_note().reading?)
    }

    /// What was seen and done since the start.
    ///
    /// # Errors
    ///
    /// [`Error::Coordinator`] in a forked child, and nothing else.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        self.shared.source.check()?;
        Ok(self.shared.statistics())
    }

    /// What is wrong now, the worst first: the budget is exceeded or nearly, a wait has stood for long
    /// ([`Config::stall_after`](crate::Config::stall_after)), memory grows, guards are lost, counters cannot be read.
    ///
    /// # Errors
    ///
    /// [`Error::Coordinator`] in a forked child, and nothing else.
    ///
    /// # Blocking
    ///
    /// As [`read`](Self::read).
    pub fn problems(&self) -> Result<Vec<Problem>, Error> {
        self.shared.source.check()?;
        let look = self.shared.read_and_note();
        Ok(self.shared.problems(&look))
    }

    /// Registers bytes that MLX does not count, under a name, until the handle is dropped. They count as used; several
    /// registrations under one name add up.
    ///
    /// In a forked child nothing is registered.
    pub fn uncounted(&self, name: &str, bytes: u64) -> Uncounted {
        self.shared.source.uncounted.register(name, bytes)
    }

    /// What is registered, the largest first.
    ///
    /// # Errors
    ///
    /// [`Error::Coordinator`] in a forked child, and nothing else.
    pub fn uncounted_bytes(&self) -> Result<Vec<UncountedBytes>, Error> {
        self.shared.source.check()?;
        Ok(self.shared.source.uncounted.list())
    }

    /// Whether so many bytes fit beside what is in use now. Without a budget they do.
    ///
    /// It reserves nothing: another thread may take them first. A [`Ticket`](crate::Ticket) is how a program makes sure. MLX's
    /// cache does not count as in use, since MLX frees it when it needs room.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`] says what is in use of what; the others are those of [`read`](Self::read).
    ///
    /// # Blocking
    ///
    /// As [`read`](Self::read).
    pub fn can_allocate(&self, bytes: u64) -> Result<(), Error> {
        let reading = self.read()?;
        match reading.budget {
            Some(budget) if reading.left().is_some_and(|left| bytes > left) => {
                Err(Error::DoesNotFit {
                    bytes,
                    used: reading.used,
                    budget,
                })
            }
            _ => Ok(()),
        }
    }
}
