//! The limits of a run: what was there before each, and how they come back.

use crate::OwnedGuard;
use crate::ffi::{Backend, BackendError, CacheLimit};
use crate::print::Name;
use crate::train::claim::Claim;
use crate::train::error::{Error, NotRestored, RunLimit};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

/// Told of limits that did not come back, where nothing can be returned.
pub(in crate::train) type Listener = Box<dyn FnOnce(&Error) + Send>;

/// What a run has set, put back when it is dropped.
pub(in crate::train) struct Limits {
    backend: Arc<dyn Backend>,
    guard: Option<OwnedGuard>,
    memory_before: Option<u64>,
    cache: Option<CacheLimit>,
    listener: Option<Listener>,
    /// Given up after all is set back.
    claim: Claim,
}

impl Limits {
    pub(in crate::train) fn new(
        backend: Arc<dyn Backend>,
        claim: Claim,
        listener: Option<Listener>,
    ) -> Self {
        Self {
            backend,
            guard: None,
            memory_before: None,
            cache: None,
            listener,
            claim,
        }
    }

    pub(super) fn set_guard(&mut self, guard: OwnedGuard) {
        self.guard = Some(guard);
    }

    pub(in crate::train) fn set_memory(&mut self, bytes: u64) -> Result<(), BackendError> {
        let before = caught(|| self.backend.set_memory_limit(bytes))?;
        self.memory_before.get_or_insert(before);
        Ok(())
    }

    /// Sets the limit of the cache. Under pressure a lower one may be in force for a while.
    pub(super) fn set_cache(&mut self, bytes: u64) -> Result<(), BackendError> {
        if let Some(cache) = &self.cache {
            caught(|| cache.set(bytes))?;
        } else {
            let cache = CacheLimit::of(&self.backend);
            caught(|| cache.set(bytes))?;
            self.cache = Some(cache);
        }
        Ok(())
    }

    /// The limit of the cache as it is without a run, and without pressure.
    pub(super) fn learn_cache(&self) -> Result<u64, BackendError> {
        caught(|| CacheLimit::of(&self.backend).before())
    }

    /// Puts each limit back, whatever becomes of the others.
    pub(in crate::train) fn restore(&mut self) -> Result<(), Error> {
        if !self.claim.is_own() {
            return Ok(());
        }
        let mut failed = Vec::new();
        let backend = &self.backend;
        if let Some(before) = self.memory_before.take() {
            let set = caught(|| backend.set_memory_limit(before));
            failed.extend(failure(RunLimit::Memory, Some(before), set));
        }
        if let Some(cache) = self.cache.take() {
            let before = caught(|| cache.before()).ok();
            let withdrawn = caught(|| cache.withdraw());
            failed.extend(failure(RunLimit::Cache, before, withdrawn));
        }
        if let Some(guard) = self.guard.take()
            && let Some(error) = guard.release().error
        {
            failed.push(NotRestored {
                limit: RunLimit::Wired,
                before: None,
                error: error.into(),
            });
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Error::NotRestored { failed })
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        let restored = self.restore();
        if let (Err(error), Some(listener)) = (restored, self.listener.take()) {
            // A drop in unwinding would end the process.
            let _panicked = panic::catch_unwind(AssertUnwindSafe(|| listener(&error)));
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("memory_before", &self.memory_before)
            .field("cache", &self.cache)
            .field("guard", &self.guard.is_some())
            .finish_non_exhaustive()
    }
}

fn failure<T>(
    limit: RunLimit,
    before: Option<u64>,
    set: Result<T, BackendError>,
) -> Option<NotRestored> {
    set.err().map(|error| NotRestored {
        limit,
        before,
        error: error.into(),
    })
}

/// Calls the backend; a panic is a failure of the call.
pub(in crate::train) fn caught<T>(
    call: impl FnOnce() -> Result<T, BackendError>,
) -> Result<T, BackendError> {
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no message".to_owned());
        Err(BackendError::new("a call of the backend").with_message(format!("panicked: {text}")))
    })
}

impl fmt::Display for NotRestored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error.to_string();
        write!(f, "the {}", self.limit)?;
        if let Some(before) = self.before {
            write!(f, ", which was {before} bytes,")?;
        }
        write!(f, " did not come back ({})", Name::whole(&error))
    }
}
