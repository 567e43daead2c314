//! The limit of MLX's cache, where several parts of a program have a say in it.

use crate::backend::{Backend, BackendError};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A say in the limit of MLX's cache, until it is dropped.
///
/// That limit is one number for the process, and MLX tells it only to the call that sets another. Two parts that each set it and
/// put back what they found undo each other's work: what the second found may be the first one's. So the says are kept
/// together. In force is what was [set](Self::set) last, or else what was there before all of them, but no more than any part
/// [lowers](Self::lower_to) it to. When the last is withdrawn, what was there before is back.
///
/// A limit that other code sets meanwhile is taken for what was there before, when it is found: at the next change.
///
/// A [`Run`](crate::train::Run) sets it so, and [`Pressure::mlx_cache`](crate::memory::Pressure::mlx_cache) lowers it.
///
/// ```
/// use mlx_wired::Manager;
/// use mlx_wired::ffi::{Backend, CacheLimit, RecordingBackend};
///
/// let backend = RecordingBackend::cpu().build();
/// backend.set_cache_limit(900)?;
/// let manager = Manager::builder().backend(backend.clone()).build()?;
///
/// let low = CacheLimit::of(manager.backend());
/// low.lower_to(100)?;
/// let governed = CacheLimit::of(manager.backend());
/// governed.set(500)?;
/// assert_eq!(backend.cache_limit(), 100);
/// drop(low);
/// assert_eq!(backend.cache_limit(), 500);
/// drop(governed);
/// assert_eq!(backend.cache_limit(), 900);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In a forked child dropping one does nothing.
pub struct CacheLimit {
    shared: Arc<Shared>,
    number: u64,
}

/// All says in the limit of one backend.
struct Shared {
    backend: Arc<dyn Backend>,
    process: u32,
    /// Held around calls of the backend: what one part finds must not be what another is about to change.
    state: Mutex<State>,
}

/// In bytes.
#[derive(Debug, Default)]
struct State {
    /// What was there before; known while anything is set.
    before: Option<u64>,
    applied: u64,
    /// By the number of the part.
    wishes: Vec<(u64, Wish)>,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Set(u64),
    LowerTo(u64),
}

/// Those in use. A backend that is listed is kept, so no other has its address.
static ALL: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl CacheLimit {
    /// Says nothing as yet about the limit of this backend. Those of a backend know each other by its `Arc`:
    /// [`Manager::backend`](crate::Manager::backend).
    #[must_use]
    pub fn of(backend: &Arc<dyn Backend>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self {
            shared: Shared::of(backend),
            number: COUNT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Sets the limit, in bytes, in place of what this part said before. Returns what is in force: less where another part lowers
    /// it.
    ///
    /// # Errors
    ///
    /// As [`Backend::set_cache_limit`]: this part has said nothing then but what it had before.
    ///
    /// # Blocking
    ///
    /// On MLX's CPU build for the work of all threads.
    pub fn set(&self, bytes: u64) -> Result<u64, BackendError> {
        self.apply_wish(Wish::Set(bytes))
    }

    /// Lowers the limit to so many bytes, in place of what this part said before, if it is higher. Returns what is in force.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    ///
    /// # Blocking
    ///
    /// As [`set`](Self::set).
    pub fn lower_to(&self, bytes: u64) -> Result<u64, BackendError> {
        self.apply_wish(Wish::LowerTo(bytes))
    }

    /// What is in force, in bytes, when no part says anything.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set): where it is not known, it is learned by setting a high one for a moment, which lets nothing go.
    ///
    /// # Blocking
    ///
    /// As [`set`](Self::set).
    pub fn before(&self) -> Result<u64, BackendError> {
        let state = self.shared.lock();
        if let Some(before) = state.before {
            return Ok(before);
        }
        let backend = &self.shared.backend;
        let found = backend.set_cache_limit(isize::MAX as u64)?;
        backend.set_cache_limit(found)?;
        Ok(found)
    }

    /// Takes back what this part said. Dropping it does the same.
    ///
    /// # Errors
    ///
    /// As [`Backend::set_cache_limit`]: then the limit stays as it is until another part changes it.
    ///
    /// # Blocking
    ///
    /// As [`set`](Self::set).
    pub fn withdraw(&self) -> Result<(), BackendError> {
        let mut state = self.shared.lock();
        if state.replace(self.number, None).is_some() {
            state.apply(&*self.shared.backend)?;
        }
        Ok(())
    }

    fn apply_wish(&self, wish: Wish) -> Result<u64, BackendError> {
        let mut state = self.shared.lock();
        let earlier = state.replace(self.number, Some(wish));
        if let Err(error) = state.apply(&*self.shared.backend) {
            state.replace(self.number, earlier);
            return Err(error);
        }
        Ok(state.applied)
    }
}

impl Drop for CacheLimit {
    fn drop(&mut self) {
        if self.shared.process == std::process::id() {
            // A backend may be the program's, and a drop in unwinding would end the process.
            if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| self.withdraw().ok())) {
                std::mem::forget(payload);
            }
        }
    }
}

impl fmt::Debug for CacheLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLimit").finish_non_exhaustive()
    }
}

impl Shared {
    fn of(backend: &Arc<dyn Backend>) -> Arc<Self> {
        let new = || {
            Arc::new(Self {
                backend: backend.clone(),
                process: std::process::id(),
                state: Mutex::default(),
            })
        };
        if crate::fork::is_child() {
            // The lock may be held for ever.
            return new();
        }
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|it| it.strong_count() > 0);
        let mut found = all.iter().filter_map(Weak::upgrade);
        let found = found.find(|it| Arc::ptr_eq(&it.backend, backend));
        found.unwrap_or_else(|| {
            let shared = new();
            all.push(Arc::downgrade(&shared));
            shared
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts what a part says in the place of what it said.
    fn replace(&mut self, number: u64, wish: Option<Wish>) -> Option<Wish> {
        let index = self.wishes.iter().position(|(other, _)| *other == number);
        let earlier = index.map(|index| self.wishes.remove(index).1);
        self.wishes.extend(wish.map(|wish| (number, wish)));
        earlier
    }

    /// What is to be in force.
    fn target(&self) -> u64 {
        let mut target = self.before.unwrap_or(u64::MAX);
        let mut most = u64::MAX;
        for (_, wish) in &self.wishes {
            match *wish {
                Wish::Set(bytes) => target = bytes,
                Wish::LowerTo(bytes) => most = most.min(bytes),
            }
        }
        target.min(most)
    }

    fn apply(&mut self, backend: &dyn Backend) -> Result<(), BackendError> {
        let target = self.target();
        let is_known = self.before.is_some();
        let is_in_force = is_known && target == self.applied;
        if !is_in_force && (is_known || !self.wishes.is_empty()) {
            let found = backend.set_cache_limit(target)?;
            if !is_known || found != self.applied {
                self.before = Some(found);
            }
            self.applied = target;
            let target = self.target();
            if target != self.applied {
                backend.set_cache_limit(target)?;
                self.applied = target;
            }
        }
        if self.wishes.is_empty() {
            self.before = None;
        }
        Ok(())
    }
}
