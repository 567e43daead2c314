//! Where a guard is recorded, and how it is released.

use super::SLOTS;

/// Set in the keys of owned guards.
pub(super) const OWNED: u64 = 1 << 63;
/// Set in the records of guards in a slot whose release is not the fast one.
const MARKED: u64 = 1 << 62;
/// Set in the records of borrowed guards that were admitted under the lock.
const STAYS: u64 = 1 << 61;

/// Where a guard is recorded: a slot of its thread's slab, or from 64 on a place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record(pub(super) u64);

impl Record {
    /// Recorded nowhere.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// Whether it is of a borrowed guard, which belongs to its thread.
    pub(crate) fn is_bound(self) -> bool {
        self.0 & OWNED == 0
    }

    /// Whether [`forget_slot`] will do.
    #[inline]
    pub(crate) fn is_plain_slot(self) -> bool {
        self.0 < SLOTS as u64
    }

    /// The same record, no longer plain.
    #[must_use]
    pub(crate) fn marked(self) -> Self {
        Self(self.0 | MARKED)
    }

    /// The same record, of a guard that was admitted under the lock.
    #[must_use]
    pub(crate) fn staying(self) -> Self {
        Self(self.0 | MARKED | STAYS)
    }

    /// Whether it is of a borrowed guard that was admitted under the lock.
    pub(crate) fn stays(self) -> bool {
        self.is_bound() && self.0 & STAYS != 0
    }

    /// Its key in the list, if it has no slot.
    pub(super) fn key(self) -> u64 {
        self.0 & !(MARKED | STAYS)
    }

    /// Its slot, if it has one.
    pub(super) fn slot(self) -> Option<usize> {
        let index = self.key();
        (index < SLOTS as u64).then_some(index as usize)
    }
}
