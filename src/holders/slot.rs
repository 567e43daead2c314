//! One slot for a guard's record, and which slots of a thread are free.

use super::recorded::GuardLocation;
use std::panic::Location;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// For borrowed guards. The last one is never used.
pub(super) const SLOTS: usize = 64;
/// Set in the masks of free slots of a thread that ends: what becomes free stays so.
pub(super) const CLOSED: u64 = 1 << (SLOTS - 1);
/// The mask of free slots of a thread that has no borrowed guard.
pub(super) const ALL_FREE: u64 = CLOSED - 1;
/// One recorded guard.
#[derive(Debug)]
pub(super) struct Slot {
    /// The ticket's number; 0 if free.
    ticket: AtomicU64,
    location: AtomicPtr<Location<'static>>,
}

impl Slot {
    pub(super) const fn new() -> Self {
        Self {
            ticket: AtomicU64::new(0),
            location: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Records a guard, on the slot's own thread.
    #[inline]
    pub(super) fn take(&self, ticket: u64, location: GuardLocation) {
        self.location
            .store(std::ptr::from_ref(location).cast_mut(), Ordering::Release);
        self.rename(ticket);
    }

    /// Forgets the guard. Where the slab's thread has ended, this is the last access: others may free the slab.
    #[inline]
    pub(super) fn free(&self) {
        self.ticket.store(0, Ordering::Release);
    }

    /// Records that the guard has another ticket.
    #[inline]
    pub(super) fn rename(&self, ticket: u64) {
        self.ticket.store(ticket, Ordering::Release);
    }

    /// The ticket's number; 0 if free.
    pub(super) fn ticket(&self) -> u64 {
        // Acquire: what the slot's next guard writes comes after what its last one did.
        self.ticket.load(Ordering::Acquire)
    }

    /// The ticket's number and the location, with what `more` reads of the same guard.
    pub(super) fn read<R>(&self, more: impl FnOnce() -> R) -> Option<(u64, GuardLocation, R)> {
        let ticket = self.ticket();
        if ticket == 0 {
            return None;
        }
        let location = self.location.load(Ordering::Acquire);
        let more = more();
        if self.ticket() != ticket {
            return None;
        }
        // SAFETY: `location` was stored before the ticket's number that was loaded with Acquire, or later; every value
        // stored there comes from a `&'static Location<'static>`.
        Some((ticket, unsafe { &*location }, more))
    }
}
