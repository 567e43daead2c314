//! One run scope at a time for each backend.

use crate::ffi::Backend;
use crate::train::Error;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// The backends of the scopes that live, and where these were started.
static LIVE: Mutex<Vec<(usize, &'static Location<'static>)>> = Mutex::new(Vec::new());

/// The right to change a backend's limits. Its scope keeps the backend, so no other has its address meanwhile.
#[derive(Debug)]
pub(super) struct Claim {
    backend: usize,
    process: u32,
}

impl Claim {
    pub(super) fn of(
        backend: &Arc<dyn Backend>,
        place: &'static Location<'static>,
    ) -> Result<Self, Error> {
        let address = Arc::as_ptr(backend).addr();
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, place)) = live.iter().find(|(other, _)| *other == address) {
            return Err(Error::RunInProgress { place });
        }
        live.push((address, place));
        Ok(Self {
            backend: address,
            process: std::process::id(),
        })
    }

    /// Whether this is the process that claimed it. In a forked child what would be set back is the parent's, and the lock
    /// may be held for ever.
    pub(super) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_own() {
            let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
            live.retain(|(backend, _)| *backend != self.backend);
        }
    }
}
