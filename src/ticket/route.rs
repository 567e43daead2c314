//! How the fast path counts a demand.

use crate::manager::state::request::Request;
use crate::manager::state::word::OPTIMISTIC_BYTES;

/// How the fast path counts a ticket's demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Adds, then looks: the policy never refuses.
    Add,
    /// Looks, then compares and swaps.
    Swap,
    /// The same, and looks at how many guards live.
    SwapIfFew,
    /// Either, and counts the guards of its size.
    Counted,
    /// Everything happens under the lock.
    Locked,
}

impl Route {
    /// A request's, which follows from the rest of it.
    pub(super) fn of(request: &Request) -> Self {
        if !request.is_fast() {
            Self::Locked
        } else if request.size_count().is_some() {
            Self::Counted
        } else if request.most_of_any_kind() < u64::MAX {
            Self::SwapIfFew
        } else if request.can_refuse() || request.bytes() > OPTIMISTIC_BYTES {
            Self::Swap
        } else {
            Self::Add
        }
    }
}
