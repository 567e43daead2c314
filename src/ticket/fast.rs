//! Acquiring and releasing without the lock: the few atomic operations that nearly every guard costs.

use super::Ticket;
use super::guess::{as_guessed, guess, remember_word};
use super::raw::Raw;
use super::route::Route;
use crate::Error;
use crate::manager::state::group::{Gates, SizeCount};
use crate::manager::state::pinned::PinKey;
use crate::manager::state::word::{OPTIMISTIC_BYTES, Word};
use crate::sync::Ordering;
use crate::{fork, holders};
use std::panic::Location;

/// What the fast path found.
pub(super) enum Fast {
    /// The demand is counted and covered; the word with it.
    Admitted(Word),
    /// The demand is counted; the limit does not cover it yet.
    Added(Word),
    /// Nothing was counted.
    Closed,
}

impl Ticket {
    // What runs for nearly every guard is inlined into the caller whatever its size: as calls, the few functions below
    // cost more than what they do. The rest is kept out of it.

    /// Counts the demand and records its guard, if that needs no lock.
    ///
    /// The record comes first: a store between two read-modify-writes must reach the cache before the second begins, and
    /// costs a quarter of BASE there.
    #[inline(always)]
    pub(super) fn count_and_record(
        &self,
        location: &'static Location<'static>,
    ) -> Result<Raw, Fast> {
        // Relaxed: a stale value only sends the thread to the lock, or past it to a cover that is closed or below
        // `admit`.
        let admit = self.group.gates.admit.load(Ordering::Relaxed);
        if admit == 0 {
            return Err(Fast::Closed);
        }
        let Some(record) = holders::record_in_slot(self.id, location) else {
            return self.count_then_record(admit, location);
        };
        match self.count_below(admit) {
            Fast::Admitted(word) => Ok(Raw::fast(word, record)),
            other => {
                holders::forget_refused(record);
                Err(other)
            }
        }
    }

    /// [`count_and_record`](Self::count_and_record) where no slot is free: a refusal should cost neither a lock nor
    /// memory.
    #[cold]
    #[inline(never)]
    fn count_then_record(
        &self,
        admit: u64,
        location: &'static Location<'static>,
    ) -> Result<Raw, Fast> {
        let admit = if fork::is_child() { 0 } else { admit };
        match self.count_below(admit) {
            Fast::Admitted(word) => Ok(Raw::fast(word, self.record(location))),
            other => Err(other),
        }
    }

    /// Counts the demand if that needs no lock.
    pub(super) fn count_unrecorded(&self) -> Fast {
        self.count_below(self.group.gates.admit.load(Ordering::Relaxed))
    }

    /// [`count_unrecorded`](Self::count_unrecorded) with what was read from `admit`.
    #[inline(always)]
    fn count_below(&self, admit: u64) -> Fast {
        match self.route {
            Route::Add if admit != 0 => {
                let guess = Word(guess().0.wrapping_add(self.demand));
                let word = as_guessed(self.add_demand(), guess);
                // Too many bytes are never covered.
                self.check_cover(word, word.sum(), word.needs_lock())
            }
            Route::Swap => match self.swap_in_demand(admit, u64::MAX) {
                Some(word) => self.check_cover(word, word.sum(), false),
                None => Fast::Closed,
            },
            Route::SwapIfFew => {
                let residents = self.group.residents();
                let most = self.most.saturating_add(residents.count());
                match self.swap_in_demand(admit, most) {
                    Some(word) => {
                        // One may have left before the swap, and another guard have taken its place in the word.
                        let have_changed = self.group.residents() != residents;
                        self.check_cover(word, word.sum(), have_changed)
                    }
                    None => Fast::Closed,
                }
            }
            _ => self.count_with_size(admit),
        }
    }

    /// `must_lock`: the demand is judged under the lock, whether it is covered or not.
    #[inline(always)]
    fn check_cover(&self, word: Word, basis: u64, must_lock: bool) -> Fast {
        if basis < self.group.gates.cover.load(Ordering::Acquire) && !must_lock {
            Fast::Admitted(word)
        } else {
            Fast::Added(word)
        }
    }

    #[inline(never)]
    fn count_with_size(&self, admit: u64) -> Fast {
        let (Route::Counted, Some(count), 1..) = (self.route, &self.size_count, admit) else {
            return Fast::Closed;
        };
        // Relaxed: ordered by the word's addition that follows.
        let listed = count.0.fetch_add(1, Ordering::Relaxed) & SizeCount::UNLISTED == 0;
        let word = if !listed {
            None
        } else if self.bytes <= OPTIMISTIC_BYTES {
            Some(self.add_demand())
        } else {
            self.swap_in_demand(admit, u64::MAX)
        };
        let Some(word) = word else {
            if count.0.fetch_sub(1, Ordering::Relaxed) == 1 {
                // The last guard of this size may have left meanwhile, and taken this count for another guard.
                self.look_under_lock();
            }
            return Fast::Closed;
        };
        let must_lock = word.overflows() || word.needs_lock();
        self.check_cover(word, self.bytes, must_lock)
    }

    /// Adds the demand.
    #[inline(always)]
    fn add_demand(&self) -> Word {
        // AcqRel: after a session's read of this word the thread sees the covers that it closed before; and the session
        // sees the size count.
        let old = self.group.word.fetch_add(self.demand, Ordering::AcqRel);
        Word(old.wrapping_add(self.demand))
    }

    /// Adds the demand if the group stays below `admit`, no waiter waits, and no more than `most` drive.
    #[inline(always)]
    fn swap_in_demand(&self, admit: u64, most: u64) -> Option<Word> {
        let guess = guess();
        let seen = match guess.joined(self.demand, admit, most) {
            Some(next) => {
                let word = &self.group.word;
                match word.compare_exchange(guess.0, next.0, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => return Some(next),
                    Err(now) => Word(now),
                }
            }
            // That the guess leaves no room says nothing: it may be another group's.
            None => self.word_now(),
        };
        self.swap_in_demand_from(seen, admit, most)
    }

    /// [`swap_in_demand`](Self::swap_in_demand) with what the word was seen to be.
    #[inline(never)]
    fn swap_in_demand_from(&self, mut seen: Word, admit: u64, most: u64) -> Option<Word> {
        let word = &self.group.word;
        loop {
            let next = seen.joined(self.demand, admit, most)?;
            match word.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => seen = Word(now),
            }
        }
    }

    /// Takes the demand of a guard that the fast path gave out of the word, if it sees that this lowers nothing: by what
    /// stays, or by the word, if that is still as it was at its admission. Returns what is left, or `None` with nothing
    /// done.
    #[inline(always)]
    pub(super) fn subtract_if_floor_kept(&self, admitted: Word, gates: &Gates) -> Option<Word> {
        let floor = gates.floor.load(Ordering::Relaxed);
        // Acquire: a guard that is seen to stay is in the word, too.
        let left = if self.group.staying.load(Ordering::Acquire) >= floor {
            self.subtract_demand()
        } else {
            let left = Word(admitted.0.wrapping_sub(self.demand));
            if !left.keeps(floor) {
                return None;
            }
            let word = &self.group.word;
            // AcqRel: as in `subtract_demand`.
            let swapped =
                word.compare_exchange(admitted.0, left.0, Ordering::AcqRel, Ordering::Relaxed);
            swapped.ok()?;
            left
        };
        remember_word(left);
        Some(left)
    }

    /// Releases a guard that the fast path gave and whose demand was not [subtracted so](Self::subtract_if_floor_kept).
    /// Returns false, with nothing done, if its work must be finished first or everything looks under the lock.
    pub(super) fn try_release_unlocked(&self) -> bool {
        let flags = self.group.gates.flags.load(Ordering::Relaxed);
        if flags & (Gates::ALWAYS | Gates::FINISHES) != 0 {
            return false;
        }
        if flags & Gates::FINISHES_IF_LOWERING != 0 {
            let word = self.word_now();
            let lowers = if self.route == Route::Counted {
                let staying = Word(self.group.staying.load(Ordering::Acquire));
                (Self::may_end(staying, 0, flags) && Self::may_end(word, 1, flags))
                    || self.may_shrink(staying)
            } else {
                Self::may_end(word, 1, flags) || self.may_shrink(word)
            };
            if lowers {
                return false;
            }
        }
        self.release_unlocked();
        true
    }

    /// Releases a guard, under the lock if everything looks there. Returns the call of the setter that failed, if one of
    /// its own did.
    pub(super) fn release_demand(&self, pin: Option<PinKey>) -> Option<Box<Error>> {
        let flags = self.group.gates.flags.load(Ordering::Relaxed);
        if self.route == Route::Locked || self.is_grown() || flags & Gates::ALWAYS != 0 {
            return self.info.manager.release_counted(self.request(), pin);
        }
        let (word, last) = self.subtract_with_size();
        if self.concerns_others(word, last) {
            self.look_under_lock()
        } else {
            None
        }
    }

    pub(super) fn release_unlocked(&self) {
        let (word, last) = self.subtract_with_size();
        self.look_under_lock_if_needed(word, last);
    }

    /// Takes the demand out of the word, and before out of those of its size where they are counted. Returns what is left,
    /// and whether it was the last of its size.
    fn subtract_with_size(&self) -> (Word, bool) {
        let last = match &self.size_count {
            // Relaxed: ordered by the word's subtraction.
            Some(count) => count.0.fetch_sub(1, Ordering::Relaxed) == 1,
            None => false,
        };
        (self.subtract_and_remember(), last)
    }

    /// Takes the demand out of the word. Returns what is left.
    fn subtract_and_remember(&self) -> Word {
        let left = self.subtract_demand();
        remember_word(left);
        left
    }

    #[inline(always)]
    fn subtract_demand(&self) -> Word {
        // AcqRel: after a session's second read of this word the thread sees the floor and flags that it published
        // before. Else the session sees the subtraction.
        let old = self.group.word.fetch_sub(self.demand, Ordering::AcqRel);
        Word(old.wrapping_sub(self.demand))
    }

    /// Counts the demand among what [stays](crate::manager::state::group::Group::staying), after it is in the word.
    pub(super) fn add_staying(&self) {
        if self.may_stay() {
            self.group.staying.fetch_add(self.demand, Ordering::Release);
        }
    }

    fn may_stay(&self) -> bool {
        self.kind.is_driving() && !self.group.custom
    }

    /// Undoes [`add_staying`](Self::add_staying), before the demand is taken out of the word.
    pub(super) fn subtract_staying(&self) {
        if self.may_stay() {
            self.group.staying.fetch_sub(self.demand, Ordering::Release);
        }
    }

    /// Looks under the lock after a release that concerns others. `last`: of its size.
    #[inline]
    pub(super) fn look_under_lock_if_needed(&self, word: Word, last: bool) {
        if self.concerns_others(word, last) {
            self.look_under_lock();
        }
    }

    #[inline]
    fn concerns_others(&self, word: Word, last: bool) -> bool {
        let gates = &self.group.gates;
        let may_shrink = match &self.size_count {
            Some(_) => last && self.bytes >= gates.size_floor.load(Ordering::Acquire),
            None => word.0 < gates.shrink_floor.load(Ordering::Acquire),
        };
        let flags = gates.flags.load(Ordering::Acquire);
        let may_end = Self::may_end(word, 0, flags);
        word.has_waiters() || may_shrink || may_end || flags & Gates::ALWAYS != 0
    }

    #[cold]
    #[inline(never)]
    fn look_under_lock(&self) -> Option<Box<Error>> {
        if fork::is_child() {
            return None;
        }
        let manager = &self.info.manager;
        let mut core = manager.lock();
        manager.after_release(&mut core, self.request());
        core.take_failure()
    }

    /// Whether releasing a guard now may lower the limit, so that its work must be finished first. May err
    /// on the side of yes.
    pub(super) fn may_lower(&self, flags: u32) -> bool {
        let word = self.word_now();
        flags & Gates::ALWAYS != 0
            || self.may_shrink(word)
            || (self.kind.is_driving() && Self::may_end(word, 1, flags))
    }

    /// Whether no driving guard is left beside so many.
    fn may_end(word: Word, beside: u64, flags: u32) -> bool {
        word.driving() <= beside && flags & Gates::ANCHORED_ELSEWHERE == 0
    }

    fn may_shrink(&self, word: Word) -> bool {
        let gates = &self.group.gates;
        let left = word.0.saturating_sub(self.demand);
        match &self.size_count {
            Some(count) => {
                let floor = gates.size_floor.load(Ordering::Relaxed);
                count.0.load(Ordering::Relaxed) <= 1 && self.bytes >= floor
            }
            None => left < gates.shrink_floor.load(Ordering::Relaxed),
        }
    }

    /// What sessions publish for it.
    #[inline(always)]
    pub(super) fn gates(&self) -> &Gates {
        &self.group.gates
    }

    fn word_now(&self) -> Word {
        Word(self.group.word.load(Ordering::Relaxed))
    }

    /// The flags that sessions publish.
    pub(super) fn flags(&self) -> u32 {
        self.group.gates.flags.load(Ordering::Acquire)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
