//! Which thread holds what, and where: always known, at the cost of a few plain stores.
//!
//! A guard is recorded in one of three homes:
//!
//! * *A slot for a borrowed guard.* Each thread has a [`Slab`] with 63 of them. Only that thread writes them; others
//!   read them at any time. A slot holds the ticket's number and the location; the number is 0 while the slot is free.
//! * *A slot for an owned guard.* A thread that acquires owned guards has a [`Block`] with 32 of them. Only that thread takes
//!   them. When all are in use it has their guards listed and takes another block: guards that come and go have slots.
//! * *The list of its group* ([`Listed`]): guards beyond those slots, guards taken while a thread's locals are being
//!   destroyed, and owned guards of which there is more to tell (since when, that they grow, that they were leaked). It
//!   is a few maps, each behind a lock of its own; a thread keeps to one of them.
//!
//! So what a guard's record costs does not depend on how many others live, and no two threads meet there unless one
//! releases what the other acquired. A slab goes with its thread, or with the last borrowed guard in it. A map gives its
//! memory back when it is far emptier than it was.
//!
//! # Looking
//!
//! Everything that a manager's guards hold is in the slots of all threads and in the lists of its groups: [`all`]. An
//! error looks at a bounded number ([`some`] for the slots): what another manager's guards, or very many threads, have
//! in the slots that it reads, it passes over, and it may miss a guard in those that it does not read.
//!
//! A reader that holds the registry's lock meanwhile knows a forgotten guard from one that is just being released: see
//! [`Registry`](crate::manager::state::registry::Registry).
//!
//! # Orderings
//!
//! The owner stores the location, then the number, both with Release: a reader that sees the location sees that the
//! number of the slot's last guard is gone. A reader loads the number with Acquire, the location likewise, and the
//! number again: if both numbers agree and are not 0, the location belongs to a guard of that ticket, at worst to the
//! one acquired while the reader looked. When a guard was acquired is stored after that, and only for guards that came
//! by the lock; it is 0, unknown, whenever the slot changes hands.
//!
//! A guard of the fast path is recorded before it is counted, if a slot is free. If it is not counted then, its record
//! is forgotten. A guard that came by the lock is counted first.

mod about;
mod block;
mod forks;
mod listed;
mod numbers;
mod record;
mod recorded;
mod since;
mod slab;
mod slot;

pub(crate) use about::About;
pub(crate) use forks::watch_forks;
pub(crate) use listed::Listed;
pub(crate) use numbers::{ByNumber, shrink};
pub(crate) use record::Record;
pub(crate) use recorded::Recorded;
pub(crate) use slab::{all, borrowed_tickets, some};

use crate::fork;
use crate::sync::{current_thread, thread_local};
use block::Block;
use listed::Entry;
use record::Home;
use recorded::GuardLocation;
use slab::Slab;
use slot::{ALL_FREE, CLOSED, SLOTS};
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Stands in for a slab in threads that have none. Never written: no slot of it is free.
static NO_SLAB: Slab = Slab::new(0, None);

struct Local {
    /// [`NO_SLAB`], or one that is not freed before the thread has ended and no guard is in it.
    slab: Cell<*const Slab>,
    /// The free slots.
    free: Cell<u64>,
    /// The thread's block, if it has one.
    block: Cell<*const Block>,
    /// The free slots of the block, but for what other threads have freed.
    block_free: Cell<u64>,
    /// How many borrowed guards of this thread are listed.
    listed: Cell<u64>,
}

impl Local {
    /// The thread's slab. The caller has taken one of its slots, or has a guard in it.
    #[inline]
    fn slab(&self) -> &Slab {
        // SAFETY: a slab stays while its thread lives. After that it stays while a guard is in it, and no slot of it is taken
        // any more, since the masks of free slots are closed.
        unsafe { &*self.slab.get() }
    }

    /// The thread's block. The caller has taken one of its slots, or has a guard in it.
    #[inline]
    fn block(&self) -> &Block {
        // SAFETY: the slab has it until another takes its place here, or until the thread ends and closes the mask.
        unsafe { &*self.block.get() }
    }

    fn has_slab(&self) -> bool {
        !std::ptr::eq(self.slab.get(), &NO_SLAB)
    }
}

thread_local! {
    // Without a destructor, so that reaching it costs no check and it works until the thread is gone.
    static LOCAL: Local = const {
        Local {
            slab: Cell::new(&raw const NO_SLAB),
            free: Cell::new(0),
            block: Cell::new(std::ptr::null()),
            block_free: Cell::new(0),
            listed: Cell::new(0),
        }
    };

    static GIVE_BACK: GiveBack = const { GiveBack { slab: Cell::new(None), ended: OnceCell::new() } };
}

/// The calling thread's name. Told of once for each thread; none while its locals are being destroyed.
pub(crate) fn thread_name() -> Option<Arc<str>> {
    std::thread_local! {
        static NAME: Option<Arc<str>> = std::thread::current().name().map(Arc::from);
    }
    NAME.try_with(Clone::clone).ok().flatten()
}

/// Closes the slab of a forked child's only thread, so that it records nothing more.
#[cfg(all(unix, not(any(loom, shuttle))))]
fn close_slab() {
    LOCAL.with(|local| {
        local.free.set(local.free.get() | CLOSED);
        local.block_free.set(CLOSED);
    });
}

/// Gives the thread's slab back when the thread ends.
struct GiveBack {
    slab: Cell<Option<Arc<Slab>>>,
    /// Set when the thread ends, if borrowed guards of it were listed.
    ended: OnceCell<Arc<AtomicBool>>,
}

impl Drop for GiveBack {
    fn drop(&mut self) {
        if fork::is_child() {
            // Its locks may be held for ever, and its slab is the parent's.
            std::mem::forget(self.slab.take());
            return;
        }
        if let Some(ended) = self.ended.get() {
            // Told to people: it orders nothing.
            ended.store(true, Ordering::Relaxed);
        }
        let Some(slab) = self.slab.take() else { return };
        // From here on the thread only frees slots: a guard that still lives may yet be released by another local's
        // destructor. In a model the local may be gone; then no thread reaches the slab by it.
        let _closed = LOCAL.try_with(|local| {
            local.free.set(local.free.get() | CLOSED);
            local.block.set(std::ptr::null());
            local.block_free.set(CLOSED);
        });
        slab::end(&slab);
    }
}

/// Records a borrowed guard of the calling thread, if it has a slab with a free slot.
#[inline]
pub(crate) fn record_in_slot(ticket: u64, location: GuardLocation) -> Option<Record> {
    LOCAL.with(|local| {
        let free = local.free.get();
        // None is, or none may be used.
        if free.cast_signed() <= 0 {
            return None;
        }
        let index = free.trailing_zeros();
        local.free.set(free & !(1 << index));
        local.slab().slots[index as usize % SLOTS].take(ticket, location);
        Some(Record::in_slot(index))
    })
}

/// The same for an owned guard of the group that has this list.
#[inline]
pub(crate) fn record_owned_in_slot(
    ticket: u64,
    list: &Listed,
    location: GuardLocation,
) -> Option<Record> {
    LOCAL.with(|local| {
        let mut free = local.block_free.get();
        if free.cast_signed() <= 0 {
            free = find_owned_slots(local)?;
        }
        let index = free.trailing_zeros();
        local.block_free.set(free & !(1 << index));
        local.block().take(index, ticket, list, location);
        Some(Record::in_owned_slot(local.block.get(), index))
    })
}

/// Free slots for owned guards: those that others have freed, or a new block's. `None` where there can be none.
#[cold]
#[inline(never)]
fn find_owned_slots(local: &Local) -> Option<u64> {
    // A thread that ends takes no more.
    if local.block_free.get() != 0 || !(local.has_slab() || make_slab(local)) {
        return None;
    }
    if !local.block.get().is_null() {
        let free = local.block().free_slots();
        if free != 0 {
            return Some(free);
        }
    }
    let block = Arc::new(Block::new(current_thread()));
    if !Record::has_room_for(Arc::as_ptr(&block)) {
        return None;
    }
    local.block.set(Arc::as_ptr(&block));
    let mut owned = local.slab().owned.lock();
    if let Some(full) = &*owned {
        block::retire(full);
    }
    *owned = Some(block);
    Some(block::ALL_FREE)
}

/// Records a borrowed guard of the calling thread.
pub(crate) fn record(
    ticket: u64,
    about: &Arc<About>,
    list: &Listed,
    location: GuardLocation,
) -> Record {
    record_in_slot(ticket, location).unwrap_or_else(|| record_slow(ticket, about, list, location))
}

#[cold]
#[inline(never)]
fn record_slow(ticket: u64, about: &Arc<About>, list: &Listed, location: GuardLocation) -> Record {
    let made = LOCAL.with(|local| !local.has_slab() && make_slab(local));
    if made && let Some(record) = record_in_slot(ticket, location) {
        return record;
    }
    LOCAL.with(|local| local.listed.set(local.listed.get() + 1));
    let ended = |give_back: &GiveBack| Arc::clone(give_back.ended.get_or_init(Arc::default));
    list.add(Entry {
        kept: Some(Arc::clone(about)),
        // None while the thread's locals are being destroyed.
        ended: GIVE_BACK.try_with(ended).ok(),
        owned: false,
        ..Entry::owned(ticket, location, current_thread())
    })
}

/// Records an owned guard in its group's list, with when it was acquired if that is known.
pub(crate) fn list_owned(
    ticket: u64,
    list: &Listed,
    location: GuardLocation,
    since: Option<Instant>,
) -> Record {
    list.add(Entry {
        since,
        ..Entry::owned(ticket, location, current_thread())
    })
}

/// Gives the calling thread a slab. Returns false if the thread is ending.
#[cold]
#[inline(never)]
fn make_slab(local: &Local) -> bool {
    let made = GIVE_BACK.try_with(|give_back| {
        let slab = slab::add(current_thread());
        local.slab.set(Arc::as_ptr(&slab));
        give_back.slab.set(Some(slab));
    });
    if made.is_ok() {
        local.free.set(ALL_FREE);
    }
    made.is_ok()
}

/// Forgets a guard in a [plain slot](Record::is_plain_slot), on its own thread.
#[inline]
pub(crate) fn forget_slot(record: Record) {
    free(record.plain_slot());
}

/// [`forget_slot`], out of the callers' way.
#[cold]
#[inline(never)]
pub(crate) fn forget_refused(record: Record) {
    forget_slot(record);
}

#[inline]
fn free(index: usize) {
    LOCAL.with(|local| {
        local.slab().slots[index % SLOTS].free();
        local.free.set(local.free.get() | 1 << index);
    });
}

/// Forgets a guard wherever it is recorded; a borrowed one on its own thread.
pub(crate) fn forget(record: Record, list: &Listed) {
    match record.home() {
        Home::Slot(index) => {
            LOCAL.with(|local| local.slab().forget_since(index));
            free(index);
        }
        Home::Owned(block, index) => {
            let block: *const Block = block.cast();
            let own = LOCAL.try_with(|local| {
                let own = std::ptr::eq(local.block.get(), block);
                if own {
                    local.block().free(index);
                    local.block_free.set(local.block_free.get() | 1 << index);
                }
                own
            });
            // In a model the local may be gone.
            if !own.is_ok_and(|own| own) {
                // SAFETY: the caller has the guard, and forgets it once.
                unsafe { block::forget(block, index, list) };
            }
        }
        Home::Listed(listing) => {
            if record.is_borrowed() {
                LOCAL.with(|local| local.listed.set(local.listed.get() - 1));
            }
            drop(list.remove(listing));
        }
    }
}

/// Adds to a borrowed guard's record when it was acquired; on its own thread. Returns what it is recorded as from now on.
#[must_use]
pub(crate) fn note_since(record: Record, list: &Listed, at: Instant) -> Record {
    match record.home() {
        Home::Slot(index) => {
            LOCAL.with(|local| local.slab().note_since(index, at));
            record.slow()
        }
        Home::Owned(..) => record,
        Home::Listed(listing) => {
            list.change(listing, |entry| entry.since = Some(at));
            record
        }
    }
}

/// The record of a guard of which there is more to tell than an owned guard's slot has room for: if it was in one, it is
/// listed from now on.
#[must_use]
pub(crate) fn out_of_owned_slot(record: Record, list: &Listed) -> Record {
    let Home::Owned(block, index) = record.home() else {
        return record;
    };
    // SAFETY: the caller has the guard, whose record is another from now on.
    unsafe { block::relist(block.cast(), index, list) }.unwrap_or(Record::NONE)
}

/// Where a guard was acquired; a borrowed one on its own thread, an owned one out of its slot.
pub(crate) fn location_of(record: Record, list: &Listed) -> Option<GuardLocation> {
    match record.home() {
        Home::Slot(index) => LOCAL.with(|local| {
            let told = local.slab().slots[index % SLOTS].read(|| ())?;
            Some(told.1)
        }),
        Home::Owned(..) => None,
        Home::Listed(listing) => {
            let mut location = None;
            list.change(listing, |entry| location = Some(entry.location));
            location
        }
    }
}

/// Notes that a guard was leaked on purpose; a borrowed one on its own thread, an owned one out of its slot.
pub(crate) fn note_leak(record: Record, list: &Listed) {
    match record.home() {
        Home::Slot(index) => LOCAL.with(|local| local.slab().note_leak(index)),
        Home::Owned(..) => {}
        Home::Listed(listing) => list.change(listing, |entry| entry.leaked = true),
    }
}

/// Records that a guard has another ticket from now on, which it keeps itself; a borrowed one on its own thread, an owned
/// one out of its slot.
pub(crate) fn rename(record: Record, list: &Listed, ticket: u64) {
    match record.home() {
        Home::Slot(index) => LOCAL.with(|local| local.slab().slots[index].rename(ticket)),
        Home::Owned(..) => {}
        Home::Listed(listing) => list.change(listing, |entry| {
            entry.ticket = ticket;
            entry.kept = None;
        }),
    }
}

/// Notes whether the calling thread is growing a listed owned guard: until that is over no other thread can release it.
pub(crate) fn note_growing(record: Record, list: &Listed, growing: bool) {
    if let Home::Listed(listing) = record.home() {
        list.change(listing, |entry| {
            entry.grower = growing.then(current_thread);
        });
    }
}

/// Whether the calling thread has a borrowed guard, of any manager.
pub(crate) fn thread_has_guard() -> bool {
    LOCAL.with(|local| {
        (local.has_slab() && local.free.get() & ALL_FREE != ALL_FREE) || local.listed.get() > 0
    })
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
