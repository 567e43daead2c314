//! How a child may end: by `_exit`, as elsewhere here; by `exit`; by `exec`; with its thread (`threads.rs`).

use crate::calls::{refused, ticket};
use crate::child::{ends_well, fork};
use mlx_wired::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn r43_a_child_may_exit() -> Result<(), Error> {
    let ticket = ticket()?;
    let held = ticket.acquire()?;
    ends_well(fork(|| {
        refused(ticket.acquire());
        drop(held);
        // SAFETY: ends the child, after its thread's locals were destroyed.
        unsafe { libc::exit(0) }
    }));
    Ok(())
}

#[test]
fn r43_a_child_may_exec() -> Result<(), Error> {
    let ticket = ticket()?;
    let held = ticket.acquire_owned()?;
    let mut command = Command::new("true");
    // SAFETY: it does nothing, but that it is there keeps the standard library from anything but `fork` and `exec`.
    unsafe { command.pre_exec(|| Ok(())) };
    let status = command.status().expect("there is such a program");
    assert!(status.success());
    drop(held);
    drop(ticket.acquire()?);
    Ok(())
}
