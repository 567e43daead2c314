//! What the program gives back when it is asked to.

use super::Monitor;
use super::reading::caught;
use crate::memory::reactions::registry::Registry;
use crate::memory::{Error, Subscription};
use std::fmt;
use std::sync::Arc;

type Function = dyn Fn() -> u64 + Send + Sync;

/// What [`Monitor::force_cleanup`] has given back. Sizes in bytes.
///
/// Arrays that a function drops go into MLX's cache, and are freed from there: they may be in both figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Cleaned {
    /// By how much MLX's cache became smaller when it was freed: it went back to the system.
    pub cache: u64,
    /// What the registered functions say that they gave back.
    pub functions: u64,
    /// How many of them panicked.
    pub panics: u64,
}

/// The functions that are registered.
pub(super) struct Cleanups(Arc<Registry<Function>>);

impl fmt::Debug for Cleanups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanups").finish_non_exhaustive()
    }
}

impl Cleanups {
    pub(super) fn new() -> Self {
        Self(Arc::new(Registry::new()))
    }

    /// Calls all, without a lock held; none where one of them asks for it, which would begin anew for ever.
    fn run(&self) -> Cleaned {
        let mut cleaned = Cleaned::default();
        if !self.0.is_inside() {
            let bytes = &mut cleaned.functions;
            let panics = (self.0).call_each(|function| *bytes = bytes.saturating_add(function()));
            cleaned.panics = panics;
        }
        cleaned
    }
}

impl Monitor {
    /// Registers a function that gives back what the program can do without, and says how many bytes that was. Registered
    /// until the handle is dropped.
    ///
    /// [`force_cleanup`](Self::force_cleanup) calls it, on its own thread and with no lock held: it may use the monitor and
    /// the manager. A panic in it is counted and goes no further. In a forked child nothing is registered.
    pub fn on_cleanup(&self, function: impl Fn() -> u64 + Send + Sync + 'static) -> Subscription {
        let mut subscription = Subscription::of_nothing();
        if self.shared.source.is_own() {
            subscription.and(&self.shared.source.cleanups.0, Arc::new(function));
        }
        subscription
    }

    /// Gives back what can be given back at once: calls the functions that are [registered](Self::on_cleanup), then frees
    /// MLX's cache.
    ///
    /// Called by one of these functions it frees MLX's cache alone.
    ///
    /// What runs next pays for it: MLX allocates anew what it would have reused. So this is for an end of a phase and for
    /// shortage, not for each step.
    ///
    /// ```
    /// # use mlx_wired::{Manager, ffi::RecordingBackend};
    /// # use mlx_wired::memory::monitor::Monitor;
    /// # let backend = RecordingBackend::cpu().build();
    /// # let manager = Manager::builder().backend(backend.clone()).build()?;
    /// let monitor = Monitor::builder().manager(&manager).start()?;
    /// # backend.update_memory(|counters| counters.cache = 4096);
    /// let _thumbnails = monitor.on_cleanup(|| 1024); // what it gave back
    /// let cleaned = monitor.force_cleanup()?;
    /// assert_eq!((cleaned.cache, cleaned.functions), (4096, 1024));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if MLX's cache could not be freed or its size not be read; the functions were called all the same.
    ///
    /// # Blocking
    ///
    /// As long as the functions. On MLX's CPU build freeing the cache waits for the work of all threads.
    pub fn force_cleanup(&self) -> Result<Cleaned, Error> {
        self.shared.source.check()?;
        let mut cleaned = self.shared.source.cleanups.run();
        let freed = self.free_cache();
        cleaned.cache = *freed.as_ref().unwrap_or(&0);
        self.shared.record().cleaned(&cleaned);
        freed?;
        Ok(cleaned)
    }

    fn free_cache(&self) -> Result<u64, Error> {
        let backend = self.shared.source.manager.backend();
        let before = caught(|| backend.memory())?.cache;
        caught(|| backend.clear_cache())?;
        let after = caught(|| backend.memory())?.cache;
        // Work on other threads may have filled it meanwhile.
        Ok(before.saturating_sub(after))
    }
}
