//! Threads of a child: those that it starts, and its first, which ends.
//!
//! The standard library has a lock that a thread takes as it begins and as it ends. If another thread of the parent holds
//! it at the fork, no thread of the child begins or ends, whatever this library does. So each test here runs in a process of
//! its own, in which no other thread begins or ends as it forks.

use crate::calls::{refused, ticket};
use crate::child::{ends_well, fork, in_child};
use crate::kit::{again, is_again};
use mlx_wired::Error;
use std::thread;

/// Such a thread has no guards of its own yet.
#[test]
fn r43_a_thread_that_a_child_starts_gets_nothing() -> Result<(), Error> {
    if !is_again() {
        again(
            "threads::r43_a_thread_that_a_child_starts_gets_nothing",
            &[],
        );
        return Ok(());
    }
    let ticket = ticket()?;
    // The fast path is open.
    let _held = (ticket.acquire()?, ticket.acquire_owned()?);
    in_child(|| {
        thread::scope(|scope| {
            scope.spawn(|| refused(ticket.acquire()));
            scope.spawn(|| refused(ticket.acquire_owned()));
        });
    });
    Ok(())
}

#[test]
fn r43_a_childs_thread_may_end() -> Result<(), Error> {
    if !is_again() {
        again("threads::r43_a_childs_thread_may_end", &[]);
        return Ok(());
    }
    let ticket = ticket()?;
    let forks = move || {
        // Of two kinds: in the thread's slab, and in the list.
        let guards: Vec<_> = (0..70).map(|_| ticket.acquire()).collect();
        let child = fork(|| refused(ticket.acquire()));
        drop(guards);
        // In the child nothing is left after this.
        child
    };
    let child = thread::spawn(forks).join().expect("it ends well");
    ends_well(child);
    Ok(())
}
