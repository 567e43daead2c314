//! The kit that the suites share.
//!
//! A suite brings it in with `#[path = "../kit/mod.rs"] mod kit;`. A rule's test is written from it so:
//!
//! ```ignore
//! use crate::kit::{Rig, SECOND, quiet};
//! use mlx_wired::{Error, SumPolicy, Wait};
//!
//! #[test]
//! fn r15_a_release_ends_a_wait_in_time() -> Result<(), Error> {
//!     // A manager on a recording backend. Its clock stands still.
//!     let rig = Rig::new(quiet())?;
//!     let ticket = rig.ticket(&SumPolicy::capped(10), 10);
//!     let held = ticket.acquire()?;
//!     // Another thread, which sleeps in the waiter queue when this returns.
//!     let waiting = rig.queued_with(&ticket, Wait::new().timeout(SECOND));
//!     rig.clock.advance(SECOND / 2);
//!     drop(held);
//!     let guard = waiting.result()?;
//!     assert_eq!(rig.limit(), 10);
//!     drop(guard);
//!     // The baseline is back, nobody waits, and each call of the setter was needed.
//!     rig.finish()
//! }
//! ```
//!
//! | a test needs | it takes |
//! | --- | --- |
//! | a manager | [`Rig`], with the settings [`quiet`] or [`eager`]; [`on`], with a program's settings and time |
//! | the setter to fail, to wait, to have been called | `rig.backend`: [`RecordingBackend`](mlx_wired::ffi::RecordingBackend) |
//! | another thread | [`acquiring`], [`queued`], [`Worker`], which holds a guard and wants another; [`Pending`] for all else |
//! | to wait for what another thread does | [`until`]; [`next`], for an event |
//! | threads that work until the test is over | [`Sets`], for their flag |
//! | a policy of its own | [`Custom`], with [`Brake`] to stop who asks it |
//! | something to happen when the clock is asked, or around a sleep | [`HookedClock`], with [`Rig::clocked`] |
//! | to compare an error | [`numbers`], [`would_block`], [`deadlock`], [`in_the_way`], [`invalid_field`] |
//! | to look into a text or a value | [`assert_says`], [`assert_matches`] |
//! | files | [`Folder`]; [`written`], for what is written into memory |
//! | a process of its own | [`again`] |
//! | to compare what work costs | [`effort`] |

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each suite uses a part; `tests/tidy.rs` sees that each part is used"
)]

mod again;
mod asleep;
mod clocks;
mod effort;
mod folder;
mod policies;
mod rig;
mod says;
mod threads;
mod told;
mod written;

pub(crate) use again::{again, is_again};
pub(crate) use asleep::{NotingClock, is_asleep};
pub(crate) use clocks::HookedClock;
pub(crate) use effort::effort;
pub(crate) use folder::{Folder, pipe};
pub(crate) use policies::{Brake, Custom, forget_unused_groups};
pub(crate) use rig::{Rig, assert_alive, eager, on, quiet};
pub(crate) use says::{assert_matches, assert_says};
pub(crate) use threads::{
    Acquiring, Pending, Sets, Worker, acquiring, acquiring_with, queued, until,
};
pub(crate) use told::{
    deadlock, in_the_way, invalid_field, kinds, next, numbers, of_kind, until_started, would_block,
};
pub(crate) use written::written;

use std::time::Duration;

/// Long enough for any machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
