//! Of what there is but one at a time on each backend: a run or a measurement.

use super::Error;
use crate::ffi::Backend;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The limits, and the record of the peak: for a run. Each of its steps resets it.
    Limits,
    /// The record of the peak: for a measurement, which resets it, too.
    Peak,
}

/// What is claimed now, of which backend, and where that was done.
static LIVE: Mutex<Vec<(Claimed, usize, &'static Location<'static>)>> = Mutex::new(Vec::new());

/// The right to something. What has it keeps the backend, so no other has its address meanwhile.
#[derive(Debug)]
pub(super) struct Claim {
    backend: usize,
    process: u32,
}

impl Claim {
    pub(super) fn of(
        claimed: Claimed,
        backend: &Arc<dyn Backend>,
        place: &'static Location<'static>,
    ) -> Result<Self, Error> {
        let address = Arc::as_ptr(backend).addr();
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |(_, backend, _): &&(Claimed, usize, _)| *backend == address;
        if let Some(&(other, _, place)) = live.iter().find(is_same) {
            return Err(match other {
                Claimed::Limits => Error::RunInProgress { place },
                Claimed::Peak => Error::MeasurementInProgress { place },
            });
        }
        live.push((claimed, address, place));
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
            live.retain(|(_, backend, _)| *backend != self.backend);
        }
    }
}
