//! Live guards, as people are told of them.

use crate::kind::Kind;
use crate::sync::{Arc, ThreadId};
use std::panic::Location;
use std::time::Duration;

/// One live guard, as [`Manager::holders`](crate::Manager::holders) tells it. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Holder {
    /// Its ticket's [id](crate::Ticket::id).
    pub ticket: u64,
    /// Its size.
    pub bytes: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its policy's label.
    pub policy: Arc<str>,
    /// Its ticket's name.
    pub label: Option<Arc<str>>,
    /// Where it was acquired.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::place"))]
    pub place: &'static Location<'static>,
    /// The thread that acquired it; while an owned guard grows, the one that grows it.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::thread"))]
    pub thread: ThreadId,
    /// That thread's name.
    pub thread_name: Option<String>,
    /// Whether only that thread can release it.
    pub bound: bool,
    /// How long it has been held, where that was recorded: after a wait, or while a subscriber listened.
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::serialize::duration::optional")
    )]
    pub age: Option<Duration>,
    /// Whether it can still be released.
    pub state: HolderState,
    /// The number of its group, as in [`Snapshot::groups`](crate::Snapshot::groups).
    pub group: usize,
}

/// Whether a live guard can still be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum HolderState {
    /// It may be. An owned guard that was forgotten ([`std::mem::forget`], a cycle of references) looks like this too.
    Held,
    /// It was [leaked](crate::Guard::leak) on purpose.
    Leaked,
    /// It was forgotten: a borrowed guard whose ticket is gone, or whose thread has ended. No thread can release it.
    Forgotten,
}
