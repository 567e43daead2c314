//! One group: the part that the fast path touches.

use crate::holders::Listed;
use crate::manager::state::word::Word;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, unmodelled};
use crossbeam::utils::CachePadded;

/// What acquires and releases touch without a lock.
#[derive(Debug)]
pub(crate) struct Group {
    /// See [`Word`]. Every acquire and release writes it, so it has a cache line to itself.
    pub(crate) word: CachePadded<AtomicU64>,
    /// Seldom written (opened by sessions only), so acquires and releases find it in their own cache.
    pub(crate) gates: CachePadded<Gates>,
    /// What driving guards demand whose release is never the fast one: owned guards, and those that the slow path gave.
    /// Added after it is in the word and subtracted before, so the word has at least this; and seldom written, so
    /// releases find it in their own cache. Always 0 in a custom group.
    pub(crate) staying: CachePadded<AtomicU64>,
    /// Where the rest is, in [`Core::groups`](crate::manager::state::core::Core::groups).
    pub(crate) index: usize,
    /// Held while a custom policy judges admission to this group, so that its sizes stand still.
    /// Taken before the manager's lock.
    pub(crate) judge: Mutex<()>,
    /// Whether the policies of this group are the user's own. Then everything is done under `judge` and the
    /// manager's lock.
    pub(crate) custom: bool,
    /// How many waiters it has, in its queue and set aside. Written under the lock, read for figures.
    pub(crate) waiters: unmodelled::AtomicU64,
    /// Its guards that are in no thread's slots.
    pub(crate) listed: Listed,
}

/// What sessions publish for the fast path.
#[derive(Debug)]
pub(crate) struct Gates {
    /// One more than the largest sum that may be admitted without the lock; 0 is closed.
    pub(crate) admit: AtomicU64,
    /// One more than the largest basis that the limit covers and the word can hold; 0 is closed. The basis is the
    /// group's sum, or for Max and Peak the guard's own size.
    pub(crate) cover: AtomicU64,
    /// The word below which what a release leaves may allow a shrink: the least with a driving guard. `u64::MAX` where each
    /// release must look further: under the lock, at its own size, or since it finishes its work first.
    pub(crate) floor: AtomicU64,
    /// The same for releases that are past that look, by the sum alone: not raised for those that finish their work.
    pub(crate) shrink_floor: AtomicU64,
    /// For Max and Peak: from which size on the last guard of its size may allow a shrink when it is released.
    pub(crate) size_floor: AtomicU64,
    /// See [`Residents`]. It never counts more than the word: raised after the word, and lowered before it. Under the
    /// lock alone.
    pub(crate) residents: AtomicU64,
    /// [`Gates::ALWAYS`] and the others.
    pub(crate) flags: AtomicU32,
}

/// A decoded copy of [`Gates::residents`]: how many live, in the lower half, and how often that has changed, in the
/// upper. By the number alone another resident that has come would look like one that has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Residents(u64);

impl Residents {
    /// What one adds that comes.
    pub(crate) const COMES: u64 = (1 << 32) + 1;
    /// What one adds that goes: one less, and one more change.
    pub(crate) const GOES: u64 = (1 << 32) - 1;

    pub(crate) const fn count(self) -> u64 {
        self.0 & u32::MAX as u64
    }
}

impl Gates {
    /// Every release looks under the lock.
    pub(crate) const ALWAYS: u32 = 1;
    /// Another group's driving guards keep the epoch open.
    pub(crate) const ANCHORED_ELSEWHERE: u32 = 2;
    /// A release that may lower the limit finishes its work first.
    pub(crate) const FINISHES_IF_LOWERING: u32 = 4;
    /// Each release finishes its work first, on its way out of the fast path. Goes with a `floor` of `u64::MAX`.
    pub(crate) const FINISHES: u32 = 8;
}

impl Gates {
    /// Sends every acquire and release to the lock.
    pub(crate) fn close(&self) {
        self.admit.store(0, Ordering::Release);
        self.cover.store(0, Ordering::Release);
        self.send_to_lock(0);
    }

    /// Sends every release to the lock.
    pub(crate) fn send_to_lock(&self, if_lowering: u32) {
        self.floor.store(u64::MAX, Ordering::Release);
        self.shrink_floor.store(u64::MAX, Ordering::Release);
        self.flags
            .store(Self::ALWAYS | if_lowering, Ordering::Release);
    }
}

impl Group {
    pub(crate) fn new(index: usize, custom: bool) -> Self {
        Self {
            word: CachePadded::new(AtomicU64::new(0)),
            gates: CachePadded::new(Gates {
                admit: AtomicU64::new(0),
                cover: AtomicU64::new(0),
                floor: AtomicU64::new(u64::MAX),
                shrink_floor: AtomicU64::new(u64::MAX),
                size_floor: AtomicU64::new(0),
                residents: AtomicU64::new(0),
                flags: AtomicU32::new(Gates::ALWAYS),
            }),
            staying: CachePadded::new(AtomicU64::new(0)),
            index,
            judge: Mutex::new(()),
            custom,
            waiters: unmodelled::AtomicU64::new(0),
            listed: Listed::default(),
        }
    }

    /// Sets `WAITERS`, which sends every acquire and release from here on to the lock.
    pub(crate) fn set_waiters(&self) {
        // In a custom group they go there anyway.
        if !self.custom {
            self.word.fetch_or(Word::WAITERS, Ordering::AcqRel);
        }
    }

    /// Undoes [`set_waiters`](Self::set_waiters).
    pub(crate) fn clear_waiters(&self) {
        if !self.custom {
            self.word.fetch_and(!Word::WAITERS, Ordering::AcqRel);
        }
    }

    /// How many active guards live, by a word that was read under the lock: there it and the number of residents agree.
    pub(crate) fn active(&self, word: Word) -> u64 {
        word.driving().saturating_sub(self.residents().count())
    }

    /// How many residents live, and how often that has changed.
    pub(crate) fn residents(&self) -> Residents {
        // Acquire: those that are counted are in the word that the caller swaps after this.
        Residents(self.gates.residents.load(Ordering::Acquire))
    }

    /// The word as it is; decisions that must not miss an addition use [`Group::read`].
    pub(crate) fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Reads the word by a read-modify-write: a thread that adds later sees everything stored before this.
    pub(crate) fn read(&self) -> Word {
        Word(self.word.fetch_add(0, Ordering::AcqRel))
    }
}

/// How many live guards of one size there are, for policies that need the largest. Every acquire and release of that
/// size writes it.
///
/// As with [groups](crate::manager::state::groups), only the listed sizes are looked at: those of live guards, and a few more. A count that
/// is not listed says so itself, so an acquire without the lock finds it out as it counts.
#[derive(Debug)]
pub(crate) struct SizeCount(pub(crate) CachePadded<AtomicU64>);

impl SizeCount {
    /// Set in the count of a size that is not listed.
    pub(crate) const UNLISTED: u64 = 1 << 63;

    pub(crate) fn unlisted() -> Self {
        Self(CachePadded::new(AtomicU64::new(Self::UNLISTED)))
    }

    /// Whether no guard of this size lives.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Acquire) & !Self::UNLISTED == 0
    }

    /// Makes an acquire without the lock come for it, unless a guard of this size lives.
    pub(crate) fn strike_off(&self) -> bool {
        // AcqRel: an acquire that counts itself later sees `UNLISTED`.
        let swap = self
            .0
            .compare_exchange(0, Self::UNLISTED, Ordering::AcqRel, Ordering::Relaxed);
        swap.is_ok()
    }
}
