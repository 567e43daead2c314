//! A thread that stands still where the test wants it: at its n-th allocation.

use parking_lot::Mutex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

thread_local! {
    /// At which of the thread's next allocations it stops; 0 is none.
    static STOPS_AT: Cell<usize> = const { Cell::new(0) };
}

static STANDS: AtomicBool = AtomicBool::new(false);
static MAY_GO_ON: AtomicBool = AtomicBool::new(true);

/// The system's allocator, before which a thread stops that has been told to.
pub(crate) struct Allocator;

fn count() {
    let left = STOPS_AT.with(Cell::get);
    if left == 0 {
        return;
    }
    STOPS_AT.with(|at| at.set(left - 1));
    if left == 1 {
        STANDS.store(true, Ordering::SeqCst);
        while !MAY_GO_ON.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Calls `during` while another thread stands at the `n`th allocation of `work`. Returns whether it makes so many.
pub(crate) fn while_one_stands(
    n: usize,
    work: impl FnOnce() + Send,
    during: impl FnOnce(),
) -> bool {
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock();
    STANDS.store(false, Ordering::SeqCst);
    MAY_GO_ON.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            STOPS_AT.with(|at| at.set(n));
            work();
            STOPS_AT.with(|at| at.set(0));
        });
        let stands = || STANDS.load(Ordering::SeqCst);
        while !stands() && !other.is_finished() {
            thread::yield_now();
        }
        let stands = stands();
        let done = catch_unwind(AssertUnwindSafe(|| stands.then(during)));
        MAY_GO_ON.store(true, Ordering::SeqCst);
        let worked = other.join();
        let done = done.unwrap_or_else(|panic| resume_unwind(panic));
        worked.unwrap_or_else(|panic| resume_unwind(panic));
        done.is_some()
    })
}
