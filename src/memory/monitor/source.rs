//! Where readings come from.

use super::caught::caught;
use super::cleanup::Cleanups;
use super::uncounted::Registry;
use crate::clock::Clock;
use crate::ffi::DeviceKind;
use crate::memory::Error;
use crate::memory::thresholds::Thresholds;
use crate::{Error as CoordinatorError, Manager};
use std::process;
use std::sync::Arc;

/// Where readings come from.
#[derive(Debug)]
pub(super) struct Source {
    /// Locks and threads are this process's: in a forked child a lock may be held for ever.
    pub(super) process: u32,
    pub(super) manager: Manager,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) thresholds: Thresholds,
    /// As the program states it.
    pub(super) budget: Option<u64>,
    pub(super) uncounted: Arc<Registry>,
    pub(super) cleanups: Cleanups,
    #[cfg(any(feature = "metrics", feature = "watch"))]
    pub(super) watched: super::watched::Watched,
}

impl Source {
    pub(super) fn is_own(&self) -> bool {
        self.process == process::id()
    }

    /// Fails in a forked child.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_own() {
            Ok(())
        } else {
            Err(CoordinatorError::Forked.into())
        }
    }

    /// Whether MLX's memory is not the process's.
    pub(super) fn is_apart(&self) -> bool {
        self.manager.device().kind == DeviceKind::Cuda
    }

    pub(super) fn footprint(&self) -> Option<u64> {
        let backend = self.manager.backend();
        caught(|| Ok(backend.footprint())).ok().flatten()
    }
}
