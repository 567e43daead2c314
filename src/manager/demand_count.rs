//! Counting and releasing a request's demand under the manager's lock.

use super::request::Request;
use super::word::Word;
use crate::sync::{AtomicU64, Ordering};

impl Request {
    /// Counts the demand if the word is still `seen`.
    pub(crate) fn swap_from(&self, seen: Word) -> bool {
        if let Some(count) = self.size_count() {
            // Relaxed: ordered by the word's swap that follows.
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let new = seen.0.wrapping_add(self.demand());
        let swap = &self.group().word;
        let done = swap
            .compare_exchange(seen.0, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if let (false, Some(count)) = (done, self.size_count()) {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }

    /// Counts the demand. Returns the word with it.
    pub(crate) fn add(&self) -> Word {
        if let Some(count) = self.size_count() {
            // Relaxed: ordered by the word's addition that follows.
            self.change(&count.0, 1);
        }
        Word(self.change(&self.group().word, self.demand()))
    }

    /// Adds to a word of the group. Returns what it is then.
    fn change(&self, word: &AtomicU64, by: u64) -> u64 {
        if self.group().custom {
            // Nobody writes without the lock: no read-modify-write is needed.
            let new = word.load(Ordering::Relaxed).wrapping_add(by);
            word.store(new, Ordering::Release);
            new
        } else {
            word.fetch_add(by, Ordering::AcqRel).wrapping_add(by)
        }
    }

    /// Counts the demand in place of another's of the same group and kind.
    pub(crate) fn add_in_place_of(&self, from: &Self) -> Word {
        // The larger of the two counts throughout.
        if let Some(count) = self.size_count() {
            count.0.fetch_add(1, Ordering::Relaxed);
        }
        let change = self.demand().wrapping_sub(from.demand());
        let old = self.group().word.fetch_add(change, Ordering::AcqRel);
        if let Some(count) = from.size_count() {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        Word(old.wrapping_add(change))
    }

    /// Takes the demand out of the group's word. Returns the word without it.
    pub(crate) fn subtract(&self) -> Word {
        if let Some(count) = self.size_count() {
            self.change(&count.0, 1_u64.wrapping_neg());
        }
        Word(self.change(&self.group().word, self.demand().wrapping_neg()))
    }
}
