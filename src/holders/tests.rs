use super::*;
use crate::{Error, Guard, Manager, SumPolicy};
use std::cell::RefCell;
use std::thread;

std::thread_local! {
    static HELD: RefCell<Option<Guard<'static>>> = const { RefCell::new(None) };
}

/// The local that was used first is destroyed last.
#[test]
fn slabs_go_whose_guards_outlived_their_threads_locals() -> Result<(), Error> {
    const THREADS: usize = 200;
    let manager = Manager::builder()
        .backend(crate::ffi::NoMlx::new())
        .build()?;
    let ticket = Box::leak(Box::new(manager.ticket(&SumPolicy::uncapped(), 1)));
    let before = slab::count();
    for _ in 0..THREADS {
        let acquires = || HELD.with(|held| *held.borrow_mut() = ticket.acquire().ok());
        thread::scope(|scope| scope.spawn(acquires).join().expect("it ends well"));
        assert_eq!(manager.snapshot().live, 0, "released as the thread ended");
    }
    // Other tests have threads, too.
    let now = slab::count();
    assert!(now < before + THREADS / 2, "{now} slabs, {before} before");
    Ok(())
}

#[test]
fn r40_a_slab_goes_with_its_thread_though_owned_guards_of_it_live() -> Result<(), Error> {
    const THREADS: usize = 200;
    let manager = Manager::builder()
        .backend(crate::ffi::NoMlx::new())
        .build()?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
    let before = slab::count();
    let acquires = || ticket.acquire_owned();
    let guards = (0..THREADS)
        .map(|_| thread::scope(|scope| scope.spawn(acquires).join().expect("it ends well")));
    let guards = guards.collect::<Result<Vec<_>, _>>()?;
    let now = slab::count();
    assert!(now < before + THREADS / 2, "{now} slabs, {before} before");
    assert_eq!(manager.holders().len(), THREADS);
    drop(guards);
    assert!(manager.holders().is_empty());
    Ok(())
}
