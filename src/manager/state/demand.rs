//! Demands: what is asked for now.

use crate::manager::state::pinned::PinKey;
use crate::manager::state::request::Request;
use crate::manager::state::waiter::Waiter;
use crate::sync::Arc;

/// What is asked for: a new guard's demand, or a live one's in place of what it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand<'a> {
    pub(crate) request: &'a Arc<Request>,
    /// What a resized guard holds until then.
    pub(crate) from: Option<&'a Arc<Request>>,
    /// The waiter, if it was in the queue.
    pub(crate) waiter: Option<&'a Waiter>,
    /// Its key among the pinned demands, now or later.
    pub(crate) pin: Option<PinKey>,
    /// It waits for pinned demands rather than being refused beside them.
    pub(crate) waits_for_pinned: bool,
}

impl<'a> From<&'a Arc<Request>> for Demand<'a> {
    fn from(request: &'a Arc<Request>) -> Self {
        Self {
            request,
            from: None,
            waiter: None,
            pin: None,
            waits_for_pinned: false,
        }
    }
}

impl Demand<'_> {
    pub(crate) fn held(&self) -> u64 {
        self.from.map_or(0, |from| from.bytes())
    }
}

impl Waiter {
    /// What it waits for.
    pub(crate) fn demand(&self) -> Demand<'_> {
        Demand {
            request: &self.request,
            from: self.from.as_ref(),
            waiter: Some(self),
            pin: self.pin,
            waits_for_pinned: self.waits_for_pinned,
        }
    }
}
