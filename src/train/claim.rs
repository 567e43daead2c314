//! What can be done but once at a time on each backend.

use super::Error;
use crate::ffi::Backend;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The limits: for a run.
    Limits,
    /// The record of the peak: for a measurement. Each run of one resets it.
    Peak,
}

/// What is claimed now, of which backend, and where that was done.
static LIVE: Mutex<Vec<(Claimed, usize, &'static Location<'static>)>> = Mutex::new(Vec::new());

/// The right to something. What has it keeps the backend, so no other has its address meanwhile.
#[derive(Debug)]
pub(super) struct Claim {
    claimed: Claimed,
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
        let is_same =
            |(what, backend, _): &&(Claimed, usize, _)| (*what, *backend) == (claimed, address);
        if let Some(&(_, _, place)) = live.iter().find(is_same) {
            return Err(match claimed {
                Claimed::Limits => Error::RunInProgress { place },
                Claimed::Peak => Error::MeasurementInProgress { place },
            });
        }
        live.push((claimed, address, place));
        Ok(Self {
            claimed,
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
            live.retain(|(what, backend, _)| (*what, *backend) != (self.claimed, self.backend));
        }
    }
}
