//! Where a guard is recorded, and how it is released.

use super::slot::SLOTS;

/// Set in the records of owned guards.
const OWNED: u64 = 1 << 63;
/// Set in the records of guards in a slot whose release is not the fast one.
const SLOW: u64 = 1 << 62;
/// Set in the records of borrowed guards that the slow path gave.
const STAYS: u64 = 1 << 61;
/// Set in the records of guards that their group lists.
const LISTED: u64 = 1 << 60;
/// Below it the number in a shard, above it the shard.
const SHARD: u32 = 57;
/// Set in the numbers of guards that were in a slot before they were listed.
const OF_SLOT: u64 = 1 << (SHARD - 1);
/// How many shards a group's list may have.
pub(super) const SHARDS: usize = 1 << (LISTED.trailing_zeros() - SHARD);

/// Where a guard is recorded.
///
/// | bits | slot of a borrowed guard | slot of an owned guard | list of the group |
/// | --- | --- | --- | --- |
/// | 0..57 | 0..6: its index | its block's address, with its index in the bits that are 0 there | its number in its shard |
/// | 57..60 | 0 | 0 | its shard |
/// | 60 | 0 | 0 | 1 |
/// | 61, 62 | [`STAYS`], [`SLOW`] | likewise | likewise |
/// | 63 | 0 | 1 | whether it is owned |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record(u64);

/// [`Record`], decoded.
pub(super) enum Home {
    /// A slot of its own thread.
    Slot(usize),
    /// A slot of the thread that acquired it, at first; with the address of its block.
    Owned(*const (), usize),
    /// The list of its group.
    Listed(Listing),
}

/// A place in the list of a group.
#[derive(Clone, Copy)]
pub(super) struct Listing {
    pub(super) shard: usize,
    pub(super) number: u64,
}

impl Listing {
    /// That of a guard that was in a slot of a block.
    pub(super) fn of_slot<B>(shard: usize, block: *const B, index: usize) -> Self {
        let number = OF_SLOT | (block.addr() | index) as u64;
        Self { shard, number }
    }
}

impl Record {
    /// Recorded nowhere.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// In a slot of the calling thread.
    #[inline]
    pub(super) fn in_slot(index: u32) -> Self {
        Self(u64::from(index))
    }

    /// In a slot for owned guards, of a block whose address [fits](Self::has_room_for).
    pub(super) fn in_owned_slot<B>(block: *const B, index: u32) -> Self {
        Self(OWNED | block.expose_provenance() as u64 | u64::from(index))
    }

    /// Whether a record has room for the address of a block.
    pub(super) fn has_room_for<B>(block: *const B) -> bool {
        (block.addr() as u64) < OF_SLOT
    }

    pub(super) fn listed(owned: bool, listing: Listing) -> Self {
        let Listing { shard, number } = listing;
        let kind = if owned { OWNED | LISTED } else { LISTED };
        Self(kind | (shard as u64) << SHARD | number)
    }

    /// Whether it is of a borrowed guard, which belongs to its thread.
    pub(crate) fn is_borrowed(self) -> bool {
        self.0 & OWNED == 0
    }

    /// Whether it is in the list of its group.
    pub(crate) fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    /// Whether [`forget_slot`](super::forget_slot) will do.
    #[inline]
    pub(crate) fn is_plain_slot(self) -> bool {
        self.0 < SLOTS as u64
    }

    /// The slot of a [plain](Self::is_plain_slot) one.
    #[inline]
    pub(super) fn plain_slot(self) -> usize {
        (self.0 % SLOTS as u64) as usize
    }

    /// The same record, of a guard whose release is not the fast one: no longer plain.
    #[must_use]
    pub(crate) fn slow(self) -> Self {
        Self(self.0 | SLOW)
    }

    /// The same record, of a borrowed guard that the slow path gave.
    #[must_use]
    pub(crate) fn staying(self) -> Self {
        Self(self.0 | SLOW | STAYS)
    }

    /// Whether it is of a borrowed guard that the slow path gave.
    pub(crate) fn stays(self) -> bool {
        self.is_borrowed() && self.0 & STAYS != 0
    }

    pub(super) fn home(self) -> Home {
        let number = self.0 & ((1 << SHARD) - 1);
        if self.is_listed() {
            let shard = (self.0 >> SHARD) as usize % SHARDS;
            return Home::Listed(Listing { shard, number });
        }
        let index = self.plain_slot();
        if self.is_borrowed() {
            return Home::Slot(index);
        }
        let address = number as usize - index;
        Home::Owned(std::ptr::with_exposed_provenance(address), index)
    }
}
