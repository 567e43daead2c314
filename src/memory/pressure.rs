//! How scarce memory is, read from the system, and told to the program.
//!
//! # Protocol
//!
//! *A turn.* Sources, lines and hysteresis belong to a `Round`, behind a lock that is only ever tried: the thread that gets
//! it has the turn, does one poll, and gives it back. A thread that does not get it goes away: another is at it, or this thread
//! is inside one of its own functions. So no thread waits for a turn, and a poll from inside a poll does nothing.
//!
//! *A poll* (`round.rs`) in order: read all sources; if that is over the line of a higher level, empty what can be lost
//! and read again, and only that reading counts; step the hysteresis; at a change tell `before_critical` (at a rise to
//! critical), the manager, then the listeners; if the reading is over the line of the present level, ask to give back, one
//! after another, each followed by a reading, until it is below the line at which the level is left. Functions of the program
//! run with the turn held and nothing else: no thread waits for a turn.
//!
//! *The thread* polls, then parks on the clock until the next poll is due or it is woken, by a source or by the end. It has the
//! shared part, never the handle. When it is told to stop it ends by itself: what it told the manager and the listeners is
//! taken back by one change to normal.
//!
//! *The end.* Dropping the [`Pressure`] sets the flag, wakes the thread and joins it. From inside a function that the thread
//! itself calls there is nothing to join: it ends after that function. The flag is looked at after each park and before each,
//! and a wake-up that comes between stays with the sleeper.
//!
//! *Functions and their removal*: see `reactions/registry.rs`.
//!
//! *Locks.* The turn, then one of: a registry's, that of the states and figures (`seen`). No function of the program runs while one
//! of the latter is held.

#[cfg(any(target_vendor = "apple", check_apple))]
mod apple;
mod builder;
mod hysteresis;
mod inner;
mod lines;
mod linux;
mod mlx;
mod mlx_cache;
mod round;
mod source;
mod stalls;
mod told;
mod trace;
mod turn;
#[cfg(unix)]
mod watch;

#[cfg(any(target_vendor = "apple", check_apple))]
pub use apple::{Footprint, KernelLevel};
pub use builder::PressureBuilder;
pub use linux::{Container, Machine, MachineStalls};
pub use mlx::MlxUse;
pub use source::{Reading, Scripted, Source, SourceError};
pub use stalls::GroupStalls;
pub use told::{Change, PressureStats, SourceEvent, SourceState};
#[cfg(unix)]
pub use watch::ServiceManager;

use super::Error;
use super::reactions::registry::Registry;
use super::reactions::{Ask, Subscription};
use crate::{Manager, PressureLevel};
use inner::Inner;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The system's sources, the most trusted first: those of [`Pressure`] where none is named.
///
/// None at all where the service manager says so (`MEMORY_PRESSURE_WATCH=/dev/null`).
#[must_use]
pub fn system_sources() -> Vec<Box<dyn Source>> {
    let mut sources = system_sources_under(Path::new("/"));
    #[cfg(any(target_vendor = "apple", check_apple))]
    sources.extend(apple::sources());
    #[cfg(unix)]
    match crate::system::WatchSetting::from_env() {
        crate::system::WatchSetting::Off => sources.clear(),
        setting => sources.extend(ServiceManager::of(&setting).map(|watch| Box::new(watch) as _)),
    }
    sources
}

/// Those of Linux that are files, from a copy of these below `root`: for tests on recordings.
#[must_use]
pub fn system_sources_under(root: &Path) -> Vec<Box<dyn Source>> {
    linux::sources(root)
}

/// A monitor of memory pressure: it reads sources, judges, tells the manager, and calls what the program registered.
///
/// With a [thread](Self::start) it does so by itself; without, at each [`poll`](Self::poll). Dropping it stops the thread, and
/// ends the pressure: the manager's becomes 0, and functions registered for levels are told of a change to normal. It waits for
/// the function that the thread is in, unless it is dropped by that one: drop it with no lock held that a function takes.
///
/// ```
/// use mlx_wired::memory::{Pressure, Scripted};
/// use mlx_wired::{Config, Manager, PressureLevel, SumPolicy};
///
/// let config = Config::default().elastic([1.0, 0.9, 0.75, 0.5]);
/// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).config(config).build()?;
/// let step = manager.ticket(&SumPolicy::capped(100), 40);
///
/// # let script = Scripted::new("test");
/// let pressure = Pressure::builder().manager(&manager);
/// # let pressure = pressure.source(script.clone());
/// let pressure = pressure.build()?; // a program: `start()`
/// let _told = pressure.on_level(PressureLevel::Warning, |change| println!("{change}"));
/// # script.used(0.9);
/// # pressure.poll();
/// // At 90 % in use: urgent, so 75 of the 100 bytes count.
/// assert_eq!(pressure.level(), PressureLevel::Urgent);
/// assert_eq!(step.available(), Some(75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In a forked child there is no thread: it is what it was at the fork, and dropping it does nothing.
pub struct Pressure {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
    every: Duration,
    process: u32,
}

impl Pressure {
    fn new(inner: Arc<Inner>, every: Duration) -> Self {
        Self {
            inner,
            thread: None,
            every,
            process: std::process::id(),
        }
    }

    /// Starts the thread, which is called `mlx-wired pressure`, and polls at once. Does nothing if it runs already.
    ///
    /// # Errors
    ///
    /// [`Error::Thread`] if the system gives none; then `poll` works as before. [`Error::Coordinator`] in a forked child.
    pub fn start(&mut self) -> Result<(), Error> {
        if !self.is_own() {
            return Err(crate::Error::Forked.into());
        }
        if self.thread.is_some() {
            return Ok(());
        }
        let (inner, every) = (self.inner.clone(), self.every);
        let thread = std::thread::Builder::new().name("mlx-wired pressure".to_owned());
        let thread = thread.spawn(move || inner.run(every));
        self.thread = Some(thread.map_err(Error::Thread)?);
        Ok(())
    }

    /// Polls once, on this thread. False, and nothing done, if a poll is going on already: on another thread, or around the
    /// function that calls this.
    ///
    /// # Blocking
    ///
    /// As long as sources are read and the functions that it calls run; as [`Manager::set_pressure`] at a change.
    pub fn poll(&self) -> bool {
        self.is_own() && self.inner.poll()
    }

    /// The level now: one load.
    #[must_use]
    pub fn level(&self) -> PressureLevel {
        self.inner.level()
    }

    /// The sources, the most trusted first, and what they said last.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceState> {
        if !self.is_own() {
            return Vec::new();
        }
        self.inner.lock_observed().sources.clone()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> PressureStats {
        if !self.is_own() {
            return PressureStats::default();
        }
        self.inner.lock_observed().stats
    }

    /// Reads what was done so far, also when this is gone.
    #[cfg(any(feature = "metrics", feature = "watch"))]
    pub(in crate::memory) fn reader(&self) -> impl Fn() -> PressureStats + Send + Sync + 'static {
        let (inner, process) = (self.inner.clone(), self.process);
        move || {
            if process == std::process::id() {
                inner.lock_observed().stats
            } else {
                PressureStats::default()
            }
        }
    }

    /// Calls `f` at each change between levels of which one is `level` or above: rises to it and beyond, and falls, until the
    /// change that leaves it. With [`Normal`](PressureLevel::Normal) that is each change; a recovery is one
    /// ([`Change::is_recovery`]).
    ///
    /// It runs on the monitor's thread, which reads nothing meanwhile. A level that is there already is not told of: see
    /// [`level`](Self::level).
    pub fn on_level(
        &self,
        level: PressureLevel,
        f: impl Fn(&Change) + Send + Sync + 'static,
    ) -> Subscription {
        let f = move |change: &Change| {
            if change.from.max(change.to) >= level {
                f(change);
            }
        };
        self.subscribe(&self.inner.registries.listeners, Arc::new(f))
    }

    /// Calls `f` at each rise to critical, before the manager is told, before other functions, and before any of these gives
    /// back: to save a checkpoint. Nothing else is done until it returns. [MLX's cache](Self::mlx_cache) was emptied before,
    /// where it is registered: that is how it is found out whether the level rises at all.
    pub fn before_critical(&self, f: impl Fn(&Change) + Send + Sync + 'static) -> Subscription {
        self.subscribe(&self.inner.registries.first, Arc::new(f))
    }

    /// Asks `f` to give memory back while it is short: after MLX's cache, in the order of registration, each followed by a
    /// reading, until that is below the line at which the level is left. It returns how many bytes it gave; after 0 nothing is
    /// read again. It is asked at each poll whose reading is over the line of the present level.
    pub fn on_give(&self, f: impl Fn(&Ask) -> u64 + Send + Sync + 'static) -> Subscription {
        self.subscribe(&self.inner.registries.givers, Arc::new(f))
    }

    /// Calls `f` when a source cannot be read any more, and when it can again: once each, not at each poll.
    pub fn on_source(&self, f: impl Fn(&SourceEvent) + Send + Sync + 'static) -> Subscription {
        self.subscribe(&self.inner.registries.sources, Arc::new(f))
    }

    /// Makes MLX's cache give way. Before a level rises it is emptied, and what is read then counts; if that was enough and is
    /// needed again within the time of calm, the level rises all the same. At each level the limit of the cache becomes what is
    /// left of what it held (at least 32 MiB): a half at warning, a quarter at urgent, nothing at critical. At recovery, and when
    /// the handle is dropped, the limit comes back, unless other code has set one meanwhile. Register it before
    /// [other givers](Self::on_give).
    ///
    /// On MLX's CPU build to set the limit waits for the work of all threads.
    pub fn mlx_cache(&self, manager: &Manager) -> Subscription {
        if !self.is_own() {
            return Subscription::of_nothing();
        }
        mlx_cache::attach(&self.inner.registries, manager.backend().clone())
    }

    fn subscribe<F: ?Sized + Send + Sync + 'static>(
        &self,
        registry: &Arc<Registry<F>>,
        f: Arc<F>,
    ) -> Subscription {
        let mut subscription = Subscription::of_nothing();
        if self.is_own() {
            subscription.and(registry, f);
        }
        subscription
    }

    /// Whether this is the process that built it.
    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        if !self.is_own() {
            // The thread is not there, and may have been amid anything.
            std::mem::forget(self.thread.take());
            std::mem::forget(self.inner.clone());
            return;
        }
        let Some(thread) = self.thread.take() else {
            return self.inner.end();
        };
        self.inner.stop();
        if thread.thread().id() != std::thread::current().id() {
            // It does not panic: whatever is the program's is caught.
            let _ended = thread.join();
        }
    }
}

static_assertions::assert_impl_all!(Pressure: Send, Sync);

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure")
            .field("level", &self.level())
            .field("running", &self.thread.is_some())
            .finish_non_exhaustive()
    }
}
