//! What the program gives back when it is asked to.

use super::Monitor;
use super::reading::caught;
use crate::memory::Error;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type Function = dyn Fn() -> u64 + Send + Sync;

/// A registered function that gives memory back. Dropping it takes the function off. Made by
/// [`Monitor::on_cleanup`].
#[must_use = "dropping it takes the function off again"]
pub struct Cleanup {
    cleanups: Weak<Cleanups>,
    number: u64,
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let Some(cleanups) = self.cleanups.upgrade() else {
            return;
        };
        if !cleanups.is_own() {
            return;
        }
        // What it has captured may take locks of the program's as it goes.
        let gone = {
            let mut list = cleanups.lock();
            let place = list.functions.iter().position(|it| it.0 == self.number);
            place.map(|place| list.functions.remove(place))
        };
        drop(gone);
    }
}

impl fmt::Debug for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleanup").finish_non_exhaustive()
    }
}

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

#[derive(Debug)]
pub(super) struct Cleanups {
    /// In a forked child the lock may be held for ever.
    process: u32,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    next: u64,
    functions: Vec<(u64, Arc<Function>)>,
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("functions", &self.functions.len())
            .finish_non_exhaustive()
    }
}

impl Cleanups {
    pub(super) fn new() -> Self {
        Self {
            process: std::process::id(),
            list: Mutex::default(),
        }
    }

    fn add(self: &Arc<Self>, function: Arc<Function>) -> Cleanup {
        if !self.is_own() {
            return Cleanup {
                cleanups: Weak::new(),
                number: 0,
            };
        }
        let mut list = self.lock();
        let number = list.next;
        list.next += 1;
        list.functions.push((number, function));
        Cleanup {
            cleanups: Arc::downgrade(self),
            number,
        }
    }

    /// Calls all, without a lock held.
    fn run(&self) -> Cleaned {
        let functions: Vec<_> = self
            .lock()
            .functions
            .iter()
            .map(|it| it.1.clone())
            .collect();
        let mut cleaned = Cleaned::default();
        for function in functions {
            match panic::catch_unwind(AssertUnwindSafe(|| function())) {
                Ok(bytes) => cleaned.functions = cleaned.functions.saturating_add(bytes),
                Err(_) => cleaned.panics += 1,
            }
        }
        cleaned
    }

    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor {
    /// Registers a function that gives back what the program can do without, and says how many bytes that was. Registered
    /// until the handle is dropped.
    ///
    /// [`force_cleanup`](Self::force_cleanup) calls it, on its own thread and with no lock held: it may use the monitor and
    /// the manager. A panic in it is counted and goes no further. In a forked child nothing is registered.
    pub fn on_cleanup(&self, function: impl Fn() -> u64 + Send + Sync + 'static) -> Cleanup {
        self.shared.source.cleanups.add(Arc::new(function))
    }

    /// Gives back what can be given back at once: calls the functions that are [registered](Self::on_cleanup), then frees
    /// MLX's cache.
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
