//! The slots of one thread, and those of all threads.

use super::block::{self, Block};
use super::recorded::Recorded;
use super::since::{decode, encode};
use super::slot::{SLOTS, Slot};
use crate::sync::Thread;
use crate::sync::unmodelled::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// How many slots of each kind a bounded look reads, over all threads. Of 16 threads or fewer it reads each slot; of more,
/// so many fewer of each; of more than 256, none of some.
const LOOKED_AT: usize = 1024;
/// The fewest slots of a thread that are read, if any are: those that it takes first, on one cache line.
const FIRST: usize = 4;

/// The slots of one thread for borrowed guards. Two threads never write to one cache line, nor does a thread read next to
/// what a thread writes for each guard: the alignment is that of `CachePadded` where lines are fetched in pairs.
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Slab {
    pub(super) slots: [Slot; SLOTS],
    /// When the guards were acquired, where that is known: see [`encode`].
    since: [AtomicU64; SLOTS],
    /// The slots of guards that were leaked on purpose.
    leaked: AtomicU64,
    /// The thread has ended, with guards still recorded.
    ended: AtomicBool,
    /// The slab's number in [`Slabs`].
    number: u64,
    /// `None` in the one that stands in for none.
    thread: Option<Thread>,
    /// The slots for owned guards, if the thread has acquired one.
    pub(super) owned: Mutex<Option<Arc<Block>>>,
}

impl Slab {
    pub(super) const fn new(number: u64, thread: Option<Thread>) -> Self {
        Self {
            slots: [const { Slot::new() }; SLOTS],
            since: [const { AtomicU64::new(0) }; SLOTS],
            leaked: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            number,
            thread,
            owned: Mutex::new(None),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether a borrowed guard is recorded in it. Exact where no more will be.
    pub(super) fn is_used(&self) -> bool {
        self.slots.iter().any(|slot| slot.ticket() != 0)
    }

    pub(super) fn note_since(&self, index: usize, at: Instant) {
        // A reader that misses it says that the time is unknown. Release: one that sees it sees whose it is.
        self.since[index].store(encode(at), Ordering::Release);
    }

    pub(super) fn forget_since(&self, index: usize) {
        // Relaxed: the number, which the next guard stores with Release, comes after it.
        self.since[index].store(0, Ordering::Relaxed);
    }

    pub(super) fn note_leak(&self, index: usize) {
        // The slot is never free again, so the bit never has to go.
        self.leaked.fetch_or(1 << index, Ordering::Relaxed);
    }

    /// The guards in the first `most` slots of each kind.
    fn read(&self, most: usize, visit: &mut impl FnMut(Recorded<'_>)) {
        let Some(thread) = &self.thread else { return };
        for (index, slot) in self.slots.iter().enumerate().take(most) {
            let since = || self.since[index].load(Ordering::Acquire);
            if let Some((ticket, location, since)) = slot.read(since) {
                visit(Recorded {
                    ticket,
                    kept: None,
                    location,
                    thread,
                    of_thread: true,
                    since: decode(since),
                    leaked: self.leaked.load(Ordering::Relaxed) & (1 << index) != 0,
                    ended: self.has_ended(),
                });
            }
        }
        let owned = self.owned.lock().clone();
        if let Some(owned) = owned {
            owned.read(most, visit);
        }
    }
}

/// The slabs of all threads that live, and of those that have ended while guards of theirs lived on.
static SLABS: Mutex<Slabs> = Mutex::new(Slabs {
    all: BTreeMap::new(),
    next: 1,
    reap_at: 0,
});

struct Slabs {
    all: BTreeMap<u64, Arc<Slab>>,
    next: u64,
    /// How many there may be before those of ended threads are looked through.
    reap_at: usize,
}

/// A slab for `thread`. It stays until the thread has [ended](end) and no borrowed guard is in it.
pub(super) fn add(thread: Thread) -> Arc<Slab> {
    let mut slabs = SLABS.lock();
    if slabs.all.len() >= slabs.reap_at {
        // Their last guards were released by the destructors of other locals.
        slabs
            .all
            .retain(|_, slab| !slab.has_ended() || slab.is_used());
        // Until the number has doubled, so that a thread costs a constant on average.
        slabs.reap_at = (slabs.all.len() * 2).max(16);
    }
    let number = slabs.next;
    slabs.next += 1;
    let slab = Arc::new(Slab::new(number, Some(thread)));
    slabs.all.insert(number, Arc::clone(&slab));
    slab
}

/// Frees the slab of a thread that ends, unless a borrowed guard lives in it.
pub(super) fn end(slab: &Slab) {
    if let Some(owned) = &*slab.owned.lock() {
        block::retire(owned);
    }
    let mut slabs = SLABS.lock();
    // Under the lock, by which a thread that looks for slabs of ended threads sees all that this one has recorded: a slab
    // that it takes for unused is freed.
    slab.ended.store(true, Ordering::Relaxed);
    let unused = !slab.is_used();
    let removed = unused.then(|| slabs.all.remove(&slab.number));
    drop(slabs);
    drop(removed);
}

/// Every guard in a slot, of any manager.
pub(crate) fn all(mut visit: impl FnMut(Recorded<'_>)) {
    for slab in SLABS.lock().all.values() {
        slab.read(SLOTS, &mut visit);
    }
}

/// The guards in the slots that a bounded look reads, of any manager: see [`LOOKED_AT`].
pub(crate) fn some(mut visit: impl FnMut(Recorded<'_>)) {
    let slabs = SLABS.lock();
    let each = (LOOKED_AT / slabs.all.len().max(1)).clamp(FIRST, SLOTS);
    for slab in slabs.all.values().take(LOOKED_AT / each) {
        slab.read(each, &mut visit);
    }
}

/// The tickets of all borrowed guards in slots. Returns how many slots there are.
pub(crate) fn borrowed_tickets(mut visit: impl FnMut(u64)) -> usize {
    let slabs = SLABS.lock();
    for slab in slabs.all.values() {
        let tickets = slab.slots.iter().map(Slot::ticket);
        tickets.filter(|ticket| *ticket != 0).for_each(&mut visit);
    }
    slabs.all.len() * SLOTS
}

/// How many slabs there are.
#[cfg(all(test, not(any(loom, shuttle))))]
pub(super) fn count() -> usize {
    SLABS.lock().all.len()
}
