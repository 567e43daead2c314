//! What the tests share.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each suite uses a part; `tests/tidy.rs` sees that each part is used"
)]

mod again;
mod asleep;
mod clocks;
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
pub(crate) use folder::{Folder, pipe};
pub(crate) use policies::{Brake, Custom, forget_unused_groups};
pub(crate) use rig::{Rig, assert_alive, eager, on, quiet};
pub(crate) use says::{assert_matches, assert_says};
pub(crate) use threads::{Acquiring, Pending, Worker, acquiring, acquiring_with, queued, until};
pub(crate) use told::{
    circle, in_the_way, invalid_field, kinds, next, numbers, of_kind, until_started, would_block,
};
pub(crate) use written::written;

use std::time::Duration;

/// Long enough for any machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
