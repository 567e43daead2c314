//! Asking the program to give back what it can do without.

use super::Monitor;
use super::caught::caught;
use super::cleanup::Cleaned;
use crate::memory::{Error, Subscription};
use std::sync::Arc;

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
