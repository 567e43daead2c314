//! What the program gives back when it is asked to.

use crate::memory::reactions::registry::Registry;
use std::fmt;
use std::sync::Arc;

type Function = dyn Fn() -> u64 + Send + Sync;

/// What [`Monitor::force_cleanup`](super::Monitor::force_cleanup) has given back. Sizes in bytes.
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
pub(super) struct Cleanups(pub(super) Arc<Registry<Function>>);

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
    pub(super) fn run(&self) -> Cleaned {
        let mut cleaned = Cleaned::default();
        if !self.0.is_inside() {
            let bytes = &mut cleaned.functions;
            let panics = (self.0).call_each(|function| *bytes = bytes.saturating_add(function()));
            cleaned.panics = panics;
        }
        cleaned
    }
}
