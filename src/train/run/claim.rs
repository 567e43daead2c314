//! One run scope at a time for each backend.

use crate::ffi::Backend;
use crate::train::Error;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// The backends of the scopes that live, and where these were started.
static LIVE: Mutex<Vec<(usize, &'static Location<'static>)>> = Mutex::new(Vec::new());

/// The right to change a backend's limits. Its scope keeps the backend, so no other has its address meanwhile.
#[derive(Debug)]
pub(super) struct Claim(usize);

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
        Ok(Self(address))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|(address, _)| *address != self.0);
    }
}
