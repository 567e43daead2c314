//! The coordinator's synchronisation primitives: the only module that it takes them from.
//!
//! Three sets of them: the standard library's, crossbeam's and `atomic-wait`'s in every normal build; loom's
//! under `--cfg loom` and shuttle's under `--cfg shuttle`, for the models in `tests/models/`. What the models do
//! not cover takes the normal ones from [`unmodelled`] in every build: process-wide counters and registries, the
//! record of holders, and the event bus. [`Arc`] is the standard library's everywhere, since the models' lack
//! `new_cyclic` and unsizing; counting references is not modelled.

#[cfg(jitter)]
mod jitter;
#[cfg(any(loom, shuttle))]
mod model;
#[cfg(not(any(loom, shuttle)))]
mod normal;
pub(crate) mod unmodelled;

#[cfg(any(loom, shuttle))]
use model as chosen;
#[cfg(not(any(loom, shuttle)))]
use normal as chosen;

pub(crate) use chosen::{
    AtomicBool, AtomicU32, AtomicU64, Futex, Mutex, MutexGuard, Parker, Thread, ThreadId, Unparker,
    current_thread, spawn, thread_id, thread_local, wait, wake_all,
};
pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{Arc, Weak};
