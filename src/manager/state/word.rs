//! A group's state word: what its live guards demand, in one atomic.
//!
//! | bits | field | |
//! | --- | --- | --- |
//! | 0 | `WAITERS` | a waiter is in the group's queue or about to enter it, or is set aside by the pressure alone: acquire and release look under the lock |
//! | 1..19 | driving | live driving guards; the top bit is spare |
//! | 19..64 | sum | bytes of the live guards of every kind; the top bit is spare |
//!
//! A group holds at most [`MAX_SUM`] bytes and [`MAX_DRIVING`] driving guards. The spare bits take
//! what optimistic additions put on top before they see that they must be undone: an addition of at
//! most [`OPTIMISTIC_BYTES`] needs 4,096 threads between their add and their undo to reach bit 64.

use static_assertions::{assert_eq_size, const_assert, const_assert_eq};
use std::fmt;

const WAITERS_BIT: u64 = 1;
const DRIVING_SHIFT: u32 = 1;
const DRIVING_BITS: u32 = 18;
const SUM_SHIFT: u32 = DRIVING_SHIFT + DRIVING_BITS;
const SUM_BITS: u32 = 45;
const DRIVING_MASK: u64 = ((1 << DRIVING_BITS) - 1) << DRIVING_SHIFT;
/// The spare bits: set only while an addition that must be undone is still in the word.
const OVERFLOW: u64 = (1 << 63) | (1 << (SUM_SHIFT - 1));

/// The most bytes that the live guards of one group can have, 16 TiB less one byte.
pub(crate) const MAX_SUM: u64 = (1 << (SUM_BITS - 1)) - 1;
/// The most driving guards that one group can have.
pub(crate) const MAX_DRIVING: u64 = (1 << (DRIVING_BITS - 1)) - 1;
/// The largest demand that is added before it is checked; larger ones are checked before.
pub(crate) const OPTIMISTIC_BYTES: u64 = 1 << 32;

const_assert_eq!(SUM_SHIFT + SUM_BITS, 64);
const_assert_eq!(MAX_DRIVING, 131_071);
const_assert_eq!(MAX_SUM, (1 << 44) - 1);
const_assert!(WAITERS_BIT & DRIVING_MASK == 0);
const_assert!(DRIVING_MASK < 1 << SUM_SHIFT);
assert_eq_size!(Word, u64);

/// A decoded copy of a state word.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) const WAITERS: u64 = WAITERS_BIT;
    /// One driving guard, without its bytes.
    pub(crate) const DRIVES: u64 = 1 << DRIVING_SHIFT;

    /// What one guard adds to the word.
    pub(crate) const fn demand(bytes: u64, driving: bool) -> u64 {
        debug_assert!(bytes <= MAX_SUM);
        (bytes << SUM_SHIFT) | ((driving as u64) << DRIVING_SHIFT)
    }

    pub(crate) const fn sum(self) -> u64 {
        self.0 >> SUM_SHIFT
    }

    pub(crate) const fn driving(self) -> u64 {
        (self.0 & DRIVING_MASK) >> DRIVING_SHIFT
    }

    pub(crate) const fn has_waiters(self) -> bool {
        self.0 & WAITERS_BIT != 0
    }

    /// Whether the count is over its maximum.
    pub(crate) const fn drives_too_many(self) -> bool {
        self.0 & (1 << (SUM_SHIFT - 1)) != 0
    }

    /// Whether what was added without a look must be looked at under the lock: the count is over its maximum, or it passed
    /// a waiter. One test for both.
    #[inline(always)]
    pub(crate) const fn needs_lock(self) -> bool {
        self.0 & ((1 << (SUM_SHIFT - 1)) | WAITERS_BIT) != 0
    }

    /// Whether the sum or the count is over its maximum.
    pub(crate) const fn overflows(self) -> bool {
        self.0 & OVERFLOW != 0
    }

    /// The least word with so many bytes; `u64::MAX`, which no word is, if none has.
    pub(crate) const fn least(sum: u64) -> u64 {
        if sum <= MAX_SUM {
            sum << SUM_SHIFT
        } else {
            u64::MAX
        }
    }

    /// Whether a driving guard is left, and a sum of at least that of `floor`.
    #[inline(always)]
    pub(crate) const fn keeps(self, floor: u64) -> bool {
        self.0 >= floor && self.0 & DRIVING_MASK != 0
    }

    /// Whether a release that leaves this behind concerns no thread: it [keeps](Self::keeps) the floor, and none waits. Then
    /// the lowest bit is one of the driving guards'.
    #[inline(always)]
    pub(crate) const fn is_quiet(self, floor: u64) -> bool {
        self.0 >= floor && matches!(self.0.trailing_zeros(), DRIVING_SHIFT..SUM_SHIFT)
    }

    /// The word with `demand` added, if no thread waits, its sum stays below `admit`, and no more than `most` drive.
    #[inline(always)]
    pub(crate) const fn joined(self, demand: u64, admit: u64, most: u64) -> Option<Self> {
        match self.checked_add(demand) {
            Some(next) if next.is_joinable(admit) && next.driving() <= most => Some(next),
            _ => None,
        }
    }

    #[inline(always)]
    const fn is_joinable(self, admit: u64) -> bool {
        !self.has_waiters() && self.sum() < admit
    }

    /// The word with `demand` added, or `None` if a field would go over its maximum.
    #[inline(always)]
    pub(crate) const fn checked_add(self, demand: u64) -> Option<Self> {
        // Fields with free spare bits cannot carry into each other, so one test does for all four of them.
        let next = Self(self.0.wrapping_add(demand));
        if Self(self.0 | next.0).overflows() {
            None
        } else {
            Some(next)
        }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Word({:#018x}: sum {}, driving {}{})",
            self.0,
            self.sum(),
            self.driving(),
            if self.has_waiters() { ", waiters" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch_each_other() {
        let word = Word(Word::demand(MAX_SUM, true) | Word::WAITERS);
        assert_eq!((word.sum(), word.driving()), (MAX_SUM, 1));
        assert!(word.has_waiters() && !word.overflows());
        assert_eq!(
            format!("{word:?}"),
            "Word(0x7ffffffffff80003: sum 17592186044415, driving 1, waiters)"
        );
    }

    #[test]
    fn a_word_is_joined_below_admit_while_nobody_waits() {
        let word = Word(Word::demand(60, true));
        let demand = Word::demand(40, true);
        assert_eq!(
            word.joined(demand, 101, u64::MAX),
            Some(Word(word.0 + demand))
        );
        assert_eq!(word.joined(demand, 100, u64::MAX), None);
        assert_eq!(
            Word(word.0 | Word::WAITERS).joined(demand, 101, u64::MAX),
            None
        );
        let full = Word(Word::demand(MAX_SUM, false));
        assert_eq!(
            full.joined(Word::demand(1, false), u64::MAX, u64::MAX),
            None
        );
        assert_eq!(
            full.joined(Word::demand(MAX_SUM, false), u64::MAX, u64::MAX),
            None
        );
        let many = Word(MAX_DRIVING << DRIVING_SHIFT);
        assert_eq!(many.joined(Word::demand(0, true), u64::MAX, u64::MAX), None);
        // What must be undone is in it.
        let over = Word(OVERFLOW);
        assert_eq!(
            over.joined(Word::demand(MAX_SUM, true), u64::MAX, u64::MAX),
            None
        );
    }

    #[test]
    fn a_word_is_quiet_from_its_floor_on() {
        let floor = Word::least(60);
        assert!(Word(Word::demand(60, true)).is_quiet(floor));
        assert!(!Word(Word::demand(59, true)).is_quiet(floor));
        assert!(!Word(Word::demand(60, false)).is_quiet(floor));
        assert!(!Word(Word::demand(60, true) | Word::WAITERS).is_quiet(floor));
        let all = Word(Word::demand(MAX_SUM, true));
        assert!(all.is_quiet(Word::least(MAX_SUM)) && !all.is_quiet(Word::least(MAX_SUM + 1)));
    }

    #[test]
    fn an_addition_over_a_field_is_refused() {
        let full = Word(Word::demand(MAX_SUM, false));
        assert_eq!(full.checked_add(Word::demand(1, false)), None);
        assert!(full.checked_add(Word::demand(0, true)).is_some());
        let many = Word(MAX_DRIVING << DRIVING_SHIFT);
        assert_eq!(many.checked_add(Word::demand(0, true)), None);
        let more = Word(many.0 + Word::demand(0, true));
        assert!(more.overflows() && more.drives_too_many());
    }
}
