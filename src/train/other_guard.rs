//! Guards that lived while something was measured.

use crate::{Event, Holder};
use std::panic::Location;
use std::sync::Arc;

/// A guard that lived while something was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherGuard {
    /// Its ticket's name.
    pub label: Option<Arc<str>>,
    /// Its policy's label.
    pub policy: Arc<str>,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it was acquired.
    pub place: Option<&'static Location<'static>>,
    /// The name of the thread that acquired it.
    pub thread_name: Option<Arc<str>>,
}

impl OtherGuard {
    /// How many an error lists.
    pub const LISTED: usize = 5;
}

impl From<Holder> for OtherGuard {
    fn from(holder: Holder) -> Self {
        Self {
            label: holder.label,
            policy: holder.policy,
            bytes: holder.bytes,
            place: Some(holder.place),
            thread_name: holder.thread_name.map(Arc::from),
        }
    }
}

impl From<Event> for OtherGuard {
    fn from(event: Event) -> Self {
        Self {
            label: event.label,
            policy: event.policy.unwrap_or_else(|| Arc::from("")),
            bytes: event.size.unwrap_or(0),
            place: event.place,
            thread_name: event.thread_name,
        }
    }
}
