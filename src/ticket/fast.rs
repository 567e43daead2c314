//! Acquiring and releasing without the lock: the few atomic operations that nearly every guard costs.

use super::Ticket;
use crate::manager::group::{Group, Reads};
use crate::manager::word::Word;
use crate::sync::Ordering;

/// How the fast path counts a ticket's demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Adds, then looks: the policy never refuses.
    Add,
    /// Looks, then compares and swaps.
    Swap,
    /// Everything happens under the lock.
    Locked,
}

/// What the fast path found.
pub(super) enum Fast {
    /// The demand is counted and covered; the group's sum with it.
    Admitted(u64),
    /// The demand is counted; the limit does not cover it yet.
    Added(Word),
    /// Nothing was counted.
    Closed,
}

impl Ticket {
    /// Counts the demand if that needs no lock.
    #[inline]
    pub(super) fn enter(&self) -> Fast {
        let reads = &self.group.reads;
        // Relaxed: a stale value only sends us to the lock, or past it to a closed cover.
        let admit = reads.admit.load(Ordering::Relaxed);
        if admit == 0 || self.route == Route::Locked {
            return Fast::Closed;
        }
        if let Some(count) = &self.size_count {
            // Relaxed: ordered by the word's addition that follows.
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let word = if self.route == Route::Add {
            // AcqRel: after a session's read of this word we see the covers that it closed before; and it sees
            // our size count.
            let old = self.group.word.fetch_add(self.demand, Ordering::AcqRel);
            Word(old.wrapping_add(self.demand))
        } else {
            match self.swap_in(admit) {
                Some(word) => word,
                None => return Fast::Closed,
            }
        };
        let basis = if self.size_count.is_some() {
            self.bytes
        } else {
            word.sum()
        };
        if basis < reads.cover.load(Ordering::Acquire) && !word.overflows() {
            Fast::Admitted(word.sum())
        } else {
            Fast::Added(word)
        }
    }

    /// Adds the demand if the group stays below `admit` and nobody waits.
    #[inline]
    fn swap_in(&self, admit: u64) -> Option<Word> {
        let word = &self.group.word;
        let mut seen = Word(word.load(Ordering::Relaxed));
        loop {
            let next = seen
                .checked_add(self.demand)
                .filter(|next| !seen.has_waiters() && next.sum() < admit);
            let Some(next) = next else {
                if let Some(count) = &self.size_count {
                    count.0.fetch_sub(1, Ordering::Relaxed);
                }
                return None;
            };
            match word.compare_exchange_weak(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(now) => seen = Word(now),
            }
        }
    }

    /// Releases a guard that the fast path gave. Returns false if it must be released
    /// [under the lock](Self::leave).
    #[inline]
    pub(super) fn leave_fast(&self) -> bool {
        let flags = self.group.reads.flags.load(Ordering::Relaxed);
        let looks = flags & (Reads::ALWAYS | Reads::ASKS) != 0;
        if looks && (flags & Reads::ALWAYS != 0 || self.may_lower(flags)) {
            return false;
        }
        self.leave_unlocked();
        true
    }

    /// Releases a guard, under the lock if everything looks there.
    pub(super) fn leave(&self) {
        let flags = self.group.reads.flags.load(Ordering::Relaxed);
        if self.route == Route::Locked || flags & Reads::ALWAYS != 0 {
            self.info.manager.release_counted(self);
        } else {
            self.leave_unlocked();
        }
    }

    #[inline]
    fn leave_unlocked(&self) {
        let Group { word, reads, .. } = &*self.group;
        let last = match &self.size_count {
            // Relaxed: ordered by the word's subtraction.
            Some(count) => count.0.fetch_sub(1, Ordering::Relaxed) == 1,
            None => false,
        };
        // AcqRel: after a session's second read of this word we see the floor and flags that it published before;
        // and it sees our subtraction otherwise.
        let old = word.fetch_sub(self.demand, Ordering::AcqRel);
        let word = Word(old.wrapping_sub(self.demand));
        let floor = reads.floor.load(Ordering::Acquire);
        let flags = reads.flags.load(Ordering::Acquire);
        let may_shrink = match &self.size_count {
            Some(_) => last && self.bytes >= floor,
            None => word.sum() < floor,
        };
        let may_end = word.driving() == 0 && flags & Reads::ANCHORED_ELSEWHERE == 0;
        if word.has_waiters() || may_shrink || may_end || flags & Reads::ALWAYS != 0 {
            self.left();
        }
    }

    #[cold]
    #[inline(never)]
    fn left(&self) {
        let manager = &self.info.manager;
        manager.after_release(&mut manager.lock(), self);
    }

    /// Whether releasing a guard now may lower the limit, so that its work must be finished first. May err
    /// on the side of yes.
    #[inline]
    pub(super) fn may_lower(&self, flags: u32) -> bool {
        if flags & Reads::ALWAYS != 0 {
            return true;
        }
        let word = Word(self.group.word.load(Ordering::Relaxed));
        let floor = self.group.reads.floor.load(Ordering::Relaxed);
        let ends = word.driving() <= 1 && flags & Reads::ANCHORED_ELSEWHERE == 0;
        let shrinks = match &self.size_count {
            Some(count) => count.0.load(Ordering::Relaxed) <= 1 && self.bytes >= floor,
            None => word.sum() - self.bytes.min(word.sum()) < floor,
        };
        (ends && self.kind.is_driving()) || shrinks
    }

    /// The flags that sessions publish.
    pub(super) fn flags(&self) -> u32 {
        self.group.reads.flags.load(Ordering::Acquire)
    }

    /// Counts the demand, under the lock. Returns the word with it.
    pub(crate) fn add(&self) -> Word {
        if let Some(count) = &self.size_count {
            // Relaxed: ordered by the word's addition that follows.
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let old = self.group.word.fetch_add(self.demand, Ordering::AcqRel);
        Word(old.wrapping_add(self.demand))
    }

    /// Counts the demand in place of another's of the same group and kind, under the lock.
    pub(crate) fn add_in_place_of(&self, from: &Self) -> Word {
        // The larger of the two counts throughout.
        if let Some(count) = &self.size_count {
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let change = self.demand.wrapping_sub(from.demand);
        let old = self.group.word.fetch_add(change, Ordering::AcqRel);
        if let Some(count) = &from.size_count {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        Word(old.wrapping_add(change))
    }

    /// Takes the demand out of the group's word. Returns the word without it.
    pub(crate) fn subtract(&self) -> Word {
        if let Some(count) = &self.size_count {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        let old = self.group.word.fetch_sub(self.demand, Ordering::AcqRel);
        Word(old.wrapping_sub(self.demand))
    }
}
