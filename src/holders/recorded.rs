//! Recorded guards, as others see them.

use super::about::About;
use crate::sync::Thread;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

/// Where a guard was acquired.
pub(super) type GuardLocation = &'static Location<'static>;

/// A recorded guard, as others see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded<'a> {
    pub(crate) ticket: u64,
    /// What the ticket is, where the record tells.
    pub(crate) kept: Option<&'a Arc<About>>,
    pub(crate) location: GuardLocation,
    /// The thread that acquired it, or that grows it now.
    pub(crate) thread: &'a Thread,
    /// It belongs to its thread: only that thread can release it.
    pub(crate) of_thread: bool,
    /// When it was acquired, if that was recorded.
    pub(crate) since: Option<Instant>,
    /// It was leaked on purpose.
    pub(crate) leaked: bool,
    /// Its thread has ended, so a bound one can no longer be released.
    pub(crate) ended: bool,
}
