//! What people want to know of a guard's ticket.

use crate::kind::Kind;
use std::sync::Arc;

/// What people want to know of a ticket.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) bytes: u64,
    /// Its group's index, which stays its own as long as the ticket or a guard of it lives.
    pub(crate) group: usize,
    pub(crate) kind: Kind,
    pub(crate) policy: Arc<str>,
    pub(crate) label: Option<Arc<str>>,
    /// What a pinned demand leaves for active demands.
    pub(crate) room: u64,
    /// A pinned demand that its program gives back when it is asked.
    pub(crate) evictable: bool,
    /// Of a resized guard: the ticket that it was acquired with. A guard keeps what it was resized to itself.
    pub(crate) origin: Option<u64>,
    /// Of a resized guard: it was grown.
    pub(crate) grown: bool,
}
