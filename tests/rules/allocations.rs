//! R15: a refusal allocates nothing.

use crate::kit::{Custom, Rig, acquiring, assert_matches, quiet};
use mlx_wired::{Error, SumPolicy, Ticket};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the calling thread's allocations.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// The bytes of all of them, and of those that this thread has freed: also of other threads'.
    static BYTES: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// What a call has allocated, and what it has kept of that, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) taken: usize,
    pub(crate) kept: isize,
}

/// Calls `f`, and tells what memory this thread has taken meanwhile.
pub(crate) fn memory_of<R>(f: impl FnOnce() -> R) -> (R, Memory) {
    let before = BYTES.get();
    let result = f();
    let after = BYTES.get();
    let (taken, freed) = (after.0 - before.0, after.1 - before.1);
    let kept = taken.cast_signed() - freed.cast_signed();
    (result, Memory { taken, kept })
}

// SAFETY: every call goes to `System` unchanged; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        let (taken, freed) = BYTES.get();
        BYTES.set((taken + layout.size(), freed));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let (taken, freed) = BYTES.get();
        BYTES.set((taken, freed + layout.size()));
        // SAFETY: the caller's promise is passed on; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn assert_refused_without_allocating(ticket: &Ticket) {
    // What a thread's first acquire makes once is made here.
    drop(ticket.try_acquire());
    let before = COUNT.get();
    let refused = ticket.try_acquire();
    let after = COUNT.get();
    assert_matches!(
        refused,
        Err(Error::WouldBlock { .. } | Error::NoRoom { .. })
    );
    assert_eq!(after - before, 0, "allocations of {ticket:?}: {refused:?}");
}

#[test]
fn r15_would_block_allocates_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for ticket in [
        rig.ticket(&SumPolicy::capped(10), 10),
        rig.ticket(&Custom::capped(10), 10),
    ] {
        let guard = ticket.acquire()?;
        assert_refused_without_allocating(&ticket);
        assert_refused_without_allocating(&ticket.clone().reservation());
        let waiting = rig.queued(&ticket);
        assert_refused_without_allocating(&ticket);
        drop(guard);
        drop(waiting.result()?);
    }
    rig.finish()
}

#[test]
fn r15_to_say_what_the_device_would_have_to_allow_allocates_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet().margin(0.1).reserve(1 << 30))?;
    let ticket = rig.ticket(&SumPolicy::new(), 30 << 30);
    let guard = ticket.acquire_owned()?;
    assert_refused_without_allocating(&ticket);
    drop(guard);
    rig.finish()
}

#[test]
fn r26_no_room_allocates_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    for hold in [
        rig.ticket(&SumPolicy::capped(10), 8),
        rig.ticket(&Custom::capped(10), 8),
        rig.ticket(&SumPolicy::uncapped(), 98),
    ] {
        let step = hold.clone().label("step");
        let hold = hold.reservation().room_for(1);
        let guard = hold.acquire()?;
        assert_refused_without_allocating(&step);
        assert!(matches!(step.try_acquire(), Err(Error::NoRoom { .. })));
        assert_refused_without_allocating(&hold.clone().label("another"));
        drop(guard);
    }
    rig.finish()
}

#[test]
fn r15_would_block_behind_a_setter_call_allocates_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for ticket in [
        rig.ticket(&SumPolicy::capped(100), 10),
        rig.ticket(&SumPolicy::uncapped(), 10),
    ] {
        let gate = rig.backend.gate();
        let first = acquiring(&ticket);
        gate.wait_entered(1);
        assert_refused_without_allocating(&ticket);
        gate.open();
        drop(first.result()?);
    }
    rig.finish()
}

#[test]
fn r5_a_guard_that_changes_no_limit_allocates_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_threshold_ratio(1.0))?;
    for ticket in [
        rig.ticket(&SumPolicy::capped(1000), 10),
        rig.ticket(&SumPolicy::uncapped(), 10),
        rig.ticket(&mlx_wired::MaxPolicy::new(), 10),
        rig.ticket(&mlx_wired::FixedPolicy::new(10), 10),
    ] {
        let keep = (ticket.acquire()?, ticket.acquire()?);
        drop(keep.1);
        let (allocations, calls) = (COUNT.get(), rig.calls());
        for _ in 0..100 {
            drop(ticket.acquire()?);
        }
        assert_eq!(COUNT.get() - allocations, 0, "{ticket:?}");
        assert_eq!(rig.calls(), calls, "{ticket:?}");
        drop(keep.0);
    }
    rig.finish()
}

#[test]
fn r5_an_owned_guard_that_changes_no_limit_allocates_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_threshold_ratio(1.0))?;
    let ticket = rig.ticket(&SumPolicy::capped(1000), 10);
    let keep = (ticket.acquire_owned()?, ticket.acquire_owned()?);
    drop(keep.1);
    let allocations = COUNT.get();
    for _ in 0..100 {
        drop(ticket.acquire_owned()?);
    }
    assert_eq!(COUNT.get() - allocations, 0);
    drop(keep.0);
    rig.finish()
}

#[test]
fn r5_groups_in_turn_allocate_nothing_and_take_no_lock() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_threshold_ratio(1.0))?;
    let large = rig.ticket(&SumPolicy::capped(1000), 100);
    let small = rig.ticket(&SumPolicy::capped(50), 10);
    let keep = [(); 5].map(|()| large.acquire_owned());
    let kept = small.acquire()?;
    drop((large.acquire()?, small.acquire()?));
    let allocations = COUNT.get();
    for _ in 0..100 {
        drop(large.acquire()?);
        // More is held in the other group than this one may hold.
        drop(small.acquire()?);
    }
    assert_eq!(COUNT.get() - allocations, 0);
    drop((keep, kept));
    rig.finish()
}

#[test]
fn r5_a_group_that_joins_an_epoch_soon_takes_no_lock() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let held = rig.ticket(&SumPolicy::uncapped(), 1000);
    let held = held.acquire()?;
    for joining in [
        rig.ticket(&SumPolicy::capped(100), 10),
        rig.ticket(&mlx_wired::FixedPolicy::new(20), 10),
        rig.ticket(&mlx_wired::MaxPolicy::new(), 10),
    ] {
        drop(joining.acquire()?);
        let allocations = COUNT.get();
        for _ in 0..100 {
            drop(joining.acquire()?);
        }
        assert_eq!(COUNT.get() - allocations, 0, "{joining:?}");
    }
    drop(held);
    rig.finish()
}
