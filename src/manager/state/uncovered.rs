//! Admitted demands that the limit does not cover yet.

use crate::backend::BackendError;
use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::sync::{Arc, ThreadId};

/// An admitted demand whose acquirer waits until the limit covers it.
#[derive(Clone)]
pub(crate) struct Uncovered {
    pub(crate) request: Arc<Request>,
    /// What a resized guard had before.
    pub(crate) from: Option<Arc<Request>>,
    /// Its key among the pinned demands.
    pub(crate) pin: Option<PinKey>,
    /// The acquirer's.
    pub(crate) thread: ThreadId,
    pub(crate) thread_name: Option<Arc<str>>,
    pub(crate) call: CallState,
}

/// How far the call is that is to cover an admitted demand.
#[derive(Debug, Clone)]
pub(crate) enum CallState {
    /// A call must be made.
    Needed,
    /// The session's present call is to cover it.
    Called,
    /// A call has covered it; what is added later is not its concern.
    Done,
    Failed(Failure),
}

/// A set that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) limit: u64,
    pub(crate) error: BackendError,
    /// The demand stays, unwired.
    pub(crate) proceed: bool,
}
