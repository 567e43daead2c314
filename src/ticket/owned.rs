//! Acquiring and releasing owned guards.
//!
//! As for borrowed ones, but for this: an owned guard [stays](crate::manager::state::group::Group::staying) for those that the
//! fast path gives, it has a ticket of its own, and its record may be freed by another thread.

use super::fast::Fast;
use super::raw::Raw;
use super::route::Route;
use super::{OwnedGuard, Ticket};
use crate::Error;
use crate::holders::{self, Record};
use crate::manager::state::group::Gates;
use crate::manager::state::word::Word;
use crate::sync::Ordering;
use crate::wait::Wait;
use std::panic::Location;
use std::time::Instant;

impl Ticket {
    /// An owned guard that the fast path gave.
    #[inline]
    pub(super) fn owned_guard(
        &self,
        word: Word,
        location: &'static Location<'static>,
    ) -> OwnedGuard {
        self.add_staying();
        let record = self.record_owned(location);
        OwnedGuard::new(self.clone(), Raw::fast(word, record))
    }

    /// The slow path of an owned guard.
    #[cold]
    #[inline(never)]
    pub(super) fn acquire_owned_slow(
        &self,
        fast: Fast,
        wait: Wait,
        location: &'static Location<'static>,
    ) -> Result<OwnedGuard, Error> {
        let admission = self.acquire_locked(fast, wait, location)?;
        self.add_staying();
        let record = match admission.since {
            None => self.record_owned(location),
            since => self.list_owned(location, since),
        };
        let raw = Raw::owned(admission, record);
        Ok(OwnedGuard::new(self.clone(), raw))
    }

    /// Records an owned guard.
    #[inline]
    fn record_owned(&self, location: &'static Location<'static>) -> Record {
        let in_slot = holders::record_owned_in_slot(self.id, &self.group.listed, location);
        in_slot.unwrap_or_else(|| self.list_owned(location, None))
    }

    /// Records an owned guard in its group's list, with when it was acquired if that is known.
    #[cold]
    #[inline(never)]
    fn list_owned(&self, location: &'static Location<'static>, since: Option<Instant>) -> Record {
        holders::list_owned(self.id, &self.group.listed, location, since)
    }

    /// Releases an owned guard, if that needs no lock and may lower nothing. Returns false, with nothing done, if it does
    /// not.
    #[inline]
    pub(super) fn release_owned_unlocked(&self) -> bool {
        let flags = self.group.gates.flags.load(Ordering::Relaxed);
        if self.route == Route::Locked || flags & Gates::FINISHES != 0 || self.may_lower(flags) {
            return false;
        }
        self.subtract_staying();
        self.release_unlocked();
        true
    }
}
