//! What a program does about pressure: functions that it registers with a [`Pressure`](super::Pressure), each removed by
//! dropping its handle.
//!
//! | reaction | registered by | when it is called |
//! | --- | --- | --- |
//! | saving what would be lost | [`Pressure::before_critical`](super::Pressure::before_critical) | at each rise to critical, before anything else |
//! | less work at once | [`Config::elastic`](crate::Config::elastic), [`PressureBuilder::manager`](super::PressureBuilder::manager) | at each change, next |
//! | anything by level | [`Pressure::on_level`](super::Pressure::on_level) | at each change, next |
//! | giving back | [`Pressure::on_give`](super::Pressure::on_give) | while memory is short, one after another, until it is not |
//! | MLX's cache | [`Pressure::mlx_cache`](super::Pressure::mlx_cache) | emptied before a level is believed; then smaller until recovery |
//! | a demand that waits for pinned demands | [`Manager::on_shortage`](crate::Manager::on_shortage), [`clear_cache_on_shortage`] | by the manager, whatever the pressure |
//!
//! They run on the monitor's thread, one at a time, with nothing held that another thread waits for but the removal of the one
//! that runs. A panic is caught and [counted](super::PressureStats::panics). Nothing that runs is revoked: guards stay, and
//! what is given back is what its owner gives.

pub(super) mod mlx_cache;
mod primitives;
pub(super) mod registry;

pub use mlx_cache::clear_cache_on_shortage;

use crate::PressureLevel;
use registry::Registry;
use std::fmt;
use std::sync::Arc;

/// How much is to be given back, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Ask {
    /// The level of the pressure.
    pub level: PressureLevel,
    /// The share of what is held to spare that should go: a half at warning, three quarters at urgent, 1 at critical.
    pub share: f64,
    /// How many bytes are still missing until memory is no longer short, where the sources tell bytes; it goes down with what
    /// others give back. To give more is no mistake.
    pub wanted: Option<u64>,
}

impl Ask {
    pub(super) fn new(level: PressureLevel, wanted: Option<u64>) -> Self {
        let share = match level {
            PressureLevel::Normal => 0.0,
            PressureLevel::Warning => 0.5,
            PressureLevel::Urgent => 0.75,
            PressureLevel::Critical => 1.0,
        };
        Self {
            level,
            share,
            wanted,
        }
    }

    /// The share of so many bytes, rounded up: what of `held` should go.
    ///
    /// ```
    /// # use mlx_wired::memory::reactions::Ask;
    /// # let pressure = mlx_wired::memory::Pressure::builder().source(mlx_wired::memory::Scripted::new("test")).build()?;
    /// let held = vec![0_u8; 1000];
    /// let _gives = pressure.on_give(move |ask: &Ask| ask.part_of(held.len() as u64));
    /// # Ok::<(), mlx_wired::memory::Error>(())
    /// ```
    #[must_use]
    pub fn part_of(&self, held: u64) -> u64 {
        ((held as f64 * self.share).ceil() as u64).min(held)
    }
}

/// Keeps a function registered until it is dropped.
///
/// Dropping it waits for a call in flight, and what the function captured is gone when it returns. From inside the function
/// itself it does not wait, and what it captured goes when the call has ended. So drop it with no lock held that the function
/// takes. In a forked child it does nothing.
#[must_use = "dropping it ends the registration"]
pub struct Subscription {
    entries: Vec<(Arc<dyn Remove>, u64)>,
    process: u32,
}

impl Subscription {
    /// Keeps nothing yet.
    pub(super) fn of_nothing() -> Self {
        Self {
            entries: Vec::new(),
            process: std::process::id(),
        }
    }

    /// Registers a function, which goes with the others.
    pub(super) fn and<F: ?Sized + Send + Sync + 'static>(
        &mut self,
        registry: &Arc<Registry<F>>,
        f: Arc<F>,
    ) {
        let number = registry.add(f);
        self.entries.push((registry.clone(), number));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        if self.process != std::process::id() {
            // A thread that is not here may hold the lock, and what is captured is the parent's.
            std::mem::forget(entries);
            return;
        }
        for (registry, number) in entries {
            registry.remove(number);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A registry of whatever functions.
trait Remove: Send + Sync {
    fn remove(&self, number: u64);
}

impl<F: ?Sized + Send + Sync> Remove for Registry<F> {
    fn remove(&self, number: u64) {
        Self::remove(self, number);
    }
}
