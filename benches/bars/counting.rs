//! Counters: of allocations, of looks at the clock, of wake-ups.

use mlx_wired::clock::{Clock, Sleeper, SystemClock};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counts the calling thread's allocations.
pub(crate) struct Allocator;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// How many times this thread has allocated.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

// SAFETY: every call goes to `System` unchanged; counting neither allocates nor panics. `realloc` and
// `alloc_zeroed` are the trait's own, which call `alloc`.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The system's clock, with a count of what the manager asks of it. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountingClock(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    wakeups: AtomicU64,
}

impl CountingClock {
    pub(crate) fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Acquire)
    }

    /// How many times a waiting thread was woken, whether or not it had been admitted.
    pub(crate) fn wakeups(&self) -> u64 {
        self.0.wakeups.load(Ordering::Acquire)
    }
}

impl Clock for CountingClock {
    fn now(&self) -> Instant {
        self.0.reads.fetch_add(1, Ordering::AcqRel);
        SystemClock.now()
    }

    fn park(&self, sleeper: &Sleeper, deadline: Option<Instant>) {
        SystemClock.park(sleeper, deadline);
        self.0.wakeups.fetch_add(1, Ordering::AcqRel);
    }
}
