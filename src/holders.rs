//! Who holds what, where and on which thread: always known, at the cost of a few plain stores.
//!
//! Each thread that acquires borrowed guards has a [`Slab`] of 63 slots of its own. Only that thread writes
//! it; others read it at any time. A slot holds the ticket's number and the place; the number is 0
//! while the slot is free. Slabs are never freed: the slab of a thread that has ended is given to a new
//! thread, once no guard of the old one lives in it any more.
//!
//! What does not fit (more than 63 guards on one thread, guards taken while a thread's locals are being
//! destroyed, owned guards, which may be released elsewhere) is listed under a lock instead.
//!
//! # Orderings
//!
//! The owner stores the place, then the number, both with Release: whoever sees the place sees that the number of the
//! slot's last guard is gone. A reader loads the number with Acquire, the place likewise, and
//! the number again: if both numbers agree and are not 0, the place belongs to a guard of that ticket,
//! at worst to the one acquired while the reader looked. When a guard was acquired is stored after that, and only for
//! guards that came by the lock; it is 0, unknown, whenever the slot changes hands.
//!
//! A guard of the fast path is recorded before it is counted, if a slot is free, and forgotten after it is not. What comes
//! by the lock is counted first.

mod listed;
mod record;
mod since;

pub(crate) use listed::list_owned;
pub(crate) use record::Record;

use crate::fork;
use crate::sync::unmodelled::Mutex;
use crate::sync::{Thread, current_thread, thread_local};
use since::{decode, encode};
use std::cell::Cell;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::Instant;

type Place = &'static Location<'static>;

const SLOTS: usize = 64;
/// The mask of free slots of a thread that has no guard. The last slot is never used.
const ALL_FREE: u64 = CLOSED - 1;
/// Set in the mask of a thread that ends, and of one that has forked: what becomes free stays so.
const CLOSED: u64 = 1 << (SLOTS - 1);

/// One recorded guard.
#[derive(Debug)]
struct Slot {
    /// The ticket's number; 0 if free.
    ticket: AtomicU64,
    place: AtomicPtr<Location<'static>>,
}

/// The slots of one thread. Two threads never write to one cache line, nor does anybody read next to what a thread
/// writes for each guard: the alignment is that of `CachePadded` where lines are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Slab {
    slots: [Slot; SLOTS],
    owner: Mutex<Option<Thread>>,
    /// When the slots' guards were acquired, where that is known: see [`encode`].
    since: [AtomicU64; SLOTS],
    /// The slots of guards that were leaked on purpose.
    leaked: AtomicU64,
    /// The owner has ended, with guards still recorded.
    ended: AtomicBool,
}

impl Slab {
    const fn new() -> Self {
        Self {
            slots: [const {
                Slot {
                    ticket: AtomicU64::new(0),
                    place: AtomicPtr::new(std::ptr::null_mut()),
                }
            }; SLOTS],
            owner: Mutex::new(None),
            since: [const { AtomicU64::new(0) }; SLOTS],
            leaked: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// Whether a guard lives in it. Exact on the owner's thread, and where that records no more.
    fn is_used(&self) -> bool {
        // Acquire: whoever takes the slab over writes after its last owner.
        self.slots
            .iter()
            .any(|slot| slot.ticket.load(Ordering::Acquire) != 0)
    }
}

/// Stands in for a slab in threads that have none. Never written: no slot of it is free.
static NO_SLAB: Slab = Slab::new();

/// Every slab there is, those that no thread owns, and those whose guards have outlived their thread's destructor.
static SLABS: Mutex<Slabs> = Mutex::new(Slabs {
    all: Vec::new(),
    free: Vec::new(),
    departed: Vec::new(),
});

struct Slabs {
    all: Vec<&'static Slab>,
    free: Vec<&'static Slab>,
    departed: Vec<&'static Slab>,
}

impl Slabs {
    /// A slab for a thread that has none.
    fn take(&mut self) -> &'static Slab {
        if let Some(slab) = self.free.pop() {
            return slab;
        }
        // Its last guard has been released by another local's destructor.
        if let Some(index) = self.departed.iter().position(|slab| !slab.is_used()) {
            let slab = self.departed.swap_remove(index);
            slab.ended.store(false, Ordering::Relaxed);
            return slab;
        }
        let slab: &'static Slab = Box::leak(Box::new(Slab::new()));
        self.all.push(slab);
        slab
    }
}

struct Local {
    slab: Cell<&'static Slab>,
    /// The free slots.
    free: Cell<u64>,
    /// How many borrowed guards of this thread are in the list.
    listed: Cell<u64>,
}

thread_local! {
    // Without a destructor, so that reaching it costs no check and it works until the thread is gone.
    static LOCAL: Local = const {
        Local { slab: Cell::new(&NO_SLAB), free: Cell::new(0), listed: Cell::new(0) }
    };

    static GIVE_BACK: GiveBack = const { GiveBack(Cell::new(None)) };
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
pub(crate) fn close_slab() {
    LOCAL.with(|local| local.free.set(local.free.get() | CLOSED));
}

/// Gives the thread's slab back when the thread ends.
struct GiveBack(Cell<Option<&'static Slab>>);

impl Drop for GiveBack {
    fn drop(&mut self) {
        let Some(slab) = self.0.take() else { return };
        if fork::is_child() {
            return;
        }
        // In a model the local may be gone.
        if LOCAL
            .try_with(|local| local.listed.get() > 0)
            .unwrap_or(false)
        {
            listed::note_end(&slab.owner);
        }
        // A guard that still lives keeps the slab: it may yet be released by another local's destructor.
        if slab.is_used() {
            // Told to people: it orders nothing.
            slab.ended.store(true, Ordering::Relaxed);
            // From here on the thread only frees slots. In a model the local may be gone.
            let closed = LOCAL.try_with(|local| local.free.set(local.free.get() | CLOSED));
            if closed.is_ok() {
                SLABS.lock().departed.push(slab);
            }
            return;
        }
        // In a model the local may be gone; then nobody reaches the slab by it.
        let _reset = LOCAL.try_with(|local| {
            local.slab.set(&NO_SLAB);
            local.free.set(0);
        });
        SLABS.lock().free.push(slab);
    }
}

/// Records a guard of the calling thread.
pub(crate) fn record(ticket: u64, place: Place) -> Record {
    record_in_slot(ticket, place).unwrap_or_else(|| record_slow(ticket, place))
}

/// [`record`], if the thread has a slab with a free slot.
#[inline]
pub(crate) fn record_in_slot(ticket: u64, place: Place) -> Option<Record> {
    LOCAL.with(|local| {
        let free = local.free.get();
        // None is, or none may be used.
        if free.cast_signed() <= 0 {
            return None;
        }
        let index = free.trailing_zeros();
        local.free.set(free & !(1 << index));
        let slot = &local.slab.get().slots[index as usize % SLOTS];
        slot.place
            .store(std::ptr::from_ref(place).cast_mut(), Ordering::Release);
        slot.ticket.store(ticket, Ordering::Release);
        Some(Record(u64::from(index)))
    })
}

#[cold]
#[inline(never)]
fn record_slow(ticket: u64, place: Place) -> Record {
    let has_slab = LOCAL.with(|local| !std::ptr::eq(local.slab.get(), &NO_SLAB));
    // The thread is ending if its destructor has run; then the list must do.
    if has_slab || GIVE_BACK.try_with(|_| ()).is_err() {
        LOCAL.with(|local| local.listed.set(local.listed.get() + 1));
        return listed::list(ticket, place);
    }
    let slab = SLABS.lock().take();
    *slab.owner.lock() = Some(current_thread());
    GIVE_BACK.with(|give_back| give_back.0.set(Some(slab)));
    LOCAL.with(|local| {
        local.slab.set(slab);
        local.free.set(ALL_FREE);
    });
    record(ticket, place)
}

/// Forgets a guard in a [plain slot](Record::is_plain_slot), on its own thread.
#[inline]
pub(crate) fn forget_slot(record: Record) {
    free((record.0 % SLOTS as u64) as usize);
}

#[inline]
fn free(index: usize) {
    LOCAL.with(|local| {
        let slot = &local.slab.get().slots[index % SLOTS];
        slot.ticket.store(0, Ordering::Release);
        local.free.set(local.free.get() | 1 << index);
    });
}

/// Adds to a guard's record when it was acquired; for one in a slot, on its own thread. Returns what it is recorded as
/// from now on.
#[must_use]
pub(crate) fn note_since(record: Record, at: Instant) -> Record {
    let Some(index) = record.slot() else {
        listed::change(record, |listed| listed.since = Some(at));
        return record;
    };
    // A reader that misses it says that the time is unknown. Release: one that sees it sees whose it is.
    LOCAL.with(|local| local.slab.get().since[index].store(encode(at), Ordering::Release));
    record.marked()
}

/// Notes that a guard was leaked on purpose; one in a slot, on its own thread.
pub(crate) fn note_leak(record: Record) {
    let Some(index) = record.slot() else {
        return listed::change(record, |listed| listed.leaked = true);
    };
    LOCAL.with(|local| {
        // The slot is never free again, so the mark never has to go.
        let slab = local.slab.get();
        slab.leaked.fetch_or(1 << index, Ordering::Relaxed);
    });
}

/// Forgets a guard wherever it is recorded; one in a slot, on its own thread.
pub(crate) fn forget(record: Record) {
    if let Some(index) = record.slot() {
        // Relaxed: the number, which the next guard stores with Release, comes after it.
        LOCAL.with(|local| local.slab.get().since[index].store(0, Ordering::Relaxed));
        return free(index);
    }
    if record.is_bound() {
        LOCAL.with(|local| local.listed.set(local.listed.get() - 1));
    }
    listed::remove(record);
}

/// Records that a guard has another ticket from now on; one in a slot, on its own thread.
pub(crate) fn rename(record: Record, ticket: u64) {
    let Some(index) = record.slot() else {
        return listed::change(record, |listed| listed.ticket = ticket);
    };
    LOCAL.with(|local| {
        let slot = &local.slab.get().slots[index];
        slot.ticket.store(ticket, Ordering::Release);
    });
}

/// Notes whether the calling thread is growing an owned guard: until that is over nobody else can release it.
pub(crate) fn note_growing(record: Record, growing: bool) {
    listed::change(record, |listed| {
        listed.grower = growing.then(current_thread)
    });
}

/// Whether the calling thread has a borrowed guard, of any manager.
pub(crate) fn thread_holds() -> bool {
    LOCAL.with(|local| {
        let has_slab = !std::ptr::eq(local.slab.get(), &NO_SLAB);
        (has_slab && local.free.get() & ALL_FREE != ALL_FREE) || local.listed.get() > 0
    })
}

/// A recorded guard, as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) ticket: u64,
    pub(crate) place: Place,
    /// Who acquired it, or who grows it now.
    pub(crate) thread: Thread,
    /// It belongs to its thread: only that thread can release it.
    pub(crate) bound: bool,
    /// When it was acquired, if that was recorded.
    pub(crate) since: Option<Instant>,
    /// It was leaked on purpose.
    pub(crate) leaked: bool,
    /// Its thread has ended, so a bound one can no longer be released.
    pub(crate) ended: bool,
}

/// Every recorded guard of the process.
pub(crate) fn all() -> Vec<Seen> {
    let mut seen = Vec::new();
    // No lock is held while another is taken.
    let slabs = SLABS.lock().all.clone();
    for slab in slabs {
        let owner = slab.owner.lock().clone();
        let Some(thread) = owner else { continue };
        seen.extend((0..SLOTS).filter_map(|index| slab.read(index, &thread)));
    }
    seen.extend(listed::all());
    seen
}

impl Slab {
    fn read(&self, index: usize, thread: &Thread) -> Option<Seen> {
        let slot = &self.slots[index];
        let ticket = slot.ticket.load(Ordering::Acquire);
        let place = slot.place.load(Ordering::Acquire);
        let since = self.since[index].load(Ordering::Acquire);
        if ticket == 0 || slot.ticket.load(Ordering::Acquire) != ticket {
            return None;
        }
        // SAFETY: `place` was stored before the ticket's number that was loaded with Acquire, or later; every value
        // stored there comes from a `&'static Location<'static>`.
        let place: Place = unsafe { &*place };
        Some(Seen {
            ticket,
            place,
            thread: thread.clone(),
            bound: true,
            since: decode(since),
            leaked: self.leaked.load(Ordering::Relaxed) & (1 << index) != 0,
            ended: self.ended.load(Ordering::Relaxed),
        })
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::{Error, Guard, Manager, SumPolicy};
    use std::cell::RefCell;
    use std::thread;

    std::thread_local! {
        static HELD: RefCell<Option<Guard<'static>>> = const { RefCell::new(None) };
    }

    /// The local that was used first is destroyed last.
    #[test]
    fn slabs_are_used_again_whose_guards_outlived_their_threads_locals() -> Result<(), Error> {
        const THREADS: usize = 200;
        let manager = Manager::builder()
            .backend(crate::ffi::NoMlx::new())
            .build()?;
        let ticket = Box::leak(Box::new(manager.ticket(&SumPolicy::uncapped(), 1)));
        let slabs = || SLABS.lock().all.len();
        let before = slabs();
        for _ in 0..THREADS {
            let acquires = || HELD.with(|held| *held.borrow_mut() = ticket.acquire().ok());
            thread::scope(|scope| scope.spawn(acquires).join().expect("it ends well"));
            assert_eq!(manager.snapshot().live, 0, "released as the thread ended");
        }
        // Other tests have threads, too.
        assert!(slabs() - before < THREADS / 2, "{}", slabs());
        Ok(())
    }
}
