//! The slots of one thread for owned guards.
//!
//! A thread has one block at a time and takes slots of it without a lock. A guard that another thread releases is forgotten
//! under the block's lock; the block's own thread finds its slot free when it has no other left.
//!
//! If none is free then, or when the thread ends, the block is *retired*: its guards are listed by their groups from then on,
//! each under a number that its record gives as well, and the thread goes on with another block. So guards that live for
//! long are listed, and those that come and go have slots. A retired block stays until the last guard that was in it has
//! gone: each of them has a reference to it then.

use super::listed::{Entry, Listed, shard_of};
use super::record::{Listing, Record};
use super::recorded::{GuardLocation, Recorded};
use super::slot::Slot;
use crate::sync::Thread;
use crate::sync::unmodelled::Mutex;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(super) const SLOTS: usize = 32;
/// The mask of free slots of a block that has no guard.
pub(super) const ALL_FREE: u64 = (1 << SLOTS) - 1;

#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Block {
    slots: [OwnedSlot; SLOTS],
    thread: Thread,
    /// Whether it is retired. Held by all but the block's own thread while they free a slot.
    retired: Mutex<bool>,
}

#[derive(Debug)]
struct OwnedSlot {
    slot: Slot,
    /// Where the guard will be listed if it stays.
    list: AtomicPtr<Listed>,
}

impl OwnedSlot {
    const fn new() -> Self {
        Self {
            slot: Slot::new(),
            list: AtomicPtr::new(std::ptr::null_mut()),
        }
    }
}

impl Block {
    pub(super) fn new(thread: Thread) -> Self {
        Self {
            slots: [const { OwnedSlot::new() }; SLOTS],
            thread,
            retired: Mutex::new(false),
        }
    }

    /// Records a guard, on the block's own thread. The guard keeps the group whose list this is.
    pub(super) fn take(&self, index: u32, ticket: u64, list: &Listed, location: GuardLocation) {
        let own = &self.slots[index as usize % SLOTS];
        let list = std::ptr::from_ref(list).cast_mut();
        // Relaxed: only the block's own thread reads it.
        own.list.store(list, Ordering::Relaxed);
        own.slot.take(ticket, location);
    }

    /// Forgets a guard: on the block's own thread, or under the lock; while it is not retired.
    pub(super) fn free(&self, index: usize) {
        self.slots[index % SLOTS].slot.free();
    }

    /// The free slots. On the block's own thread; what other threads free is among them.
    pub(super) fn free_slots(&self) -> u64 {
        let free = |(index, own): (usize, &OwnedSlot)| u64::from(own.slot.ticket() == 0) << index;
        self.slots.iter().enumerate().map(free).sum()
    }

    /// The guards in the first `most` slots.
    pub(super) fn read(&self, most: usize, visit: &mut impl FnMut(Recorded<'_>)) {
        for own in self.slots.iter().take(most) {
            if let Some((ticket, location, ())) = own.slot.read(|| ()) {
                visit(Recorded {
                    ticket,
                    kept: None,
                    location,
                    thread: &self.thread,
                    of_thread: false,
                    since: None,
                    leaked: false,
                    ended: false,
                });
            }
        }
    }

    /// The same guards as entries of lists.
    fn entry(&self, index: usize) -> Option<Entry> {
        let (ticket, location, ()) = self.slots[index].slot.read(|| ())?;
        Some(Entry::owned(ticket, location, self.thread.clone()))
    }

    /// Where a guard that was in a slot is listed.
    fn listing(self: &Arc<Self>, index: usize) -> Listing {
        Listing::of_slot(shard_of(self.thread.id()), Arc::as_ptr(self), index)
    }
}

/// Has the block's guards listed from now on, on its own thread, which takes no slot of it any more.
pub(super) fn retire(block: &Arc<Block>) {
    let mut retired = block.retired.lock();
    *retired = true;
    for (index, own) in block.slots.iter().enumerate() {
        let Some(entry) = block.entry(index) else {
            continue;
        };
        // Relaxed: this thread stored it.
        let list = own.list.load(Ordering::Relaxed);
        // SAFETY: the guard in the slot keeps its group, and its release waits for the lock that is held here.
        unsafe { &*list }.insert(block.listing(index), entry);
        own.slot.free();
        // The guard's, from now on.
        mem::forget(Arc::clone(block));
    }
}

/// Forgets a guard that was recorded in a slot of `block`, on any thread.
///
/// # Safety
///
/// The caller has that guard, and its record is this.
pub(super) unsafe fn forget(block: *const Block, index: usize, list: &Listed) {
    // SAFETY: the caller has a guard of it.
    let block = unsafe { retain(block) };
    let retired = block.retired.lock();
    if !*retired {
        return block.free(index);
    }
    drop(retired);
    drop(list.remove(block.listing(index)));
    // SAFETY: the guard's reference, which it has no more use for.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(&block)) };
}

/// Has a guard that was recorded in a slot of `block` listed whether the block is retired or not, on any thread. Returns its
/// record from now on.
///
/// # Safety
///
/// As for [`forget`].
pub(super) unsafe fn relist(block: *const Block, index: usize, list: &Listed) -> Option<Record> {
    // SAFETY: the caller has a guard of it.
    let block = unsafe { retain(block) };
    let retired = block.retired.lock();
    if !*retired {
        let listed = block.entry(index).map(|entry| list.add(entry));
        block.free(index);
        return listed;
    }
    drop(retired);
    let listed = list.renumber(block.listing(index));
    // SAFETY: the guard's reference, which it has no more use for.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(&block)) };
    listed
}

/// A reference to the block, so that it outlives its lock.
///
/// # Safety
///
/// A guard that was recorded in a slot of it has not been forgotten.
unsafe fn retain(block: *const Block) -> Arc<Block> {
    // SAFETY: a block stays while a guard of it lives: while it is in use it is its thread's, which retires it before it
    // lets go of it, and then each guard in it has a reference.
    unsafe {
        Arc::increment_strong_count(block);
        Arc::from_raw(block)
    }
}
