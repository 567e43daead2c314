//! R43: a process that forks before it has built a manager leaves its children free to build theirs.
//! A process of its own, since one manager is enough for children to be none of theirs.
#![cfg(unix)]

use mlx_wired::ffi::NoMlx;
use mlx_wired::{Error, Manager, SumPolicy};

fn acquires() -> Result<(), Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    drop(manager.ticket(&SumPolicy::capped(10), 10).acquire_owned()?);
    Ok(())
}

#[test]
fn r43_a_child_that_was_forked_before_the_first_manager_has_its_own() {
    // SAFETY: the child goes on with this thread alone, and ends without unwinding into the test.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process can be had");
    if child == 0 {
        let refused = acquires().is_err();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(refused)) }
    }
    let mut status = 0;
    // SAFETY: the child is this process's own.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((ended, status), (child, 0));
    assert_eq!(acquires(), Ok(()));
}
