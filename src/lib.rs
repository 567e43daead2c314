//! One owner for MLX's wired memory limit, for programs that run MLX from plain threads.
//!
//! MLX keeps a bounded number of bytes resident for the GPU, *wired*; the bound is one number for the
//! process, 0 unless somebody sets it. Too low, and a large model is paged and runs many times slower; too
//! high, and the machine freezes. This crate owns that number. Work asks for memory with a
//! [`Ticket`], waits until a [`Policy`] admits it, and holds a [`Guard`]; the [`Manager`] computes the limit
//! that all live guards call for and calls the expensive setter as rarely as possible.
//!
//! Where MLX has no wired memory (CUDA, CPU), admission and budgeting work all the same.
//!
//! # Quickstart
//!
//! ```
//! use mlx_wired::{Error, Policy, SumPolicy};
//! use rayon::prelude::*;
//! use std::time::Duration;
//!
//! # fn train_on(_: &u32) -> Result<(), Error> { Ok(()) }
//! # let (weight_bytes, step_bytes, batches) = (64 << 20, 16 << 20, vec![1_u32, 2, 3]);
//! let policy = SumPolicy::new();                     // capped at what the device recommends
//! let weights = policy.ticket(weight_bytes).reservation();
//! let _weights = weights.acquire()?;                 // counted, not wired while idle
//!
//! let step = policy.ticket(step_bytes);              // active work
//! batches.par_iter().try_for_each(|batch| {          // rayon workers, plain threads, anything
//!     let _g = step.acquire()?;                      // blocks until admitted and wired
//!     train_on(batch)
//! })?;
//!
//! match step.admit_timeout(Duration::from_secs(5)) {
//!     Ok(_guard) => { /* the work */ }
//!     Err(error) if error.is_timeout() => eprintln!("{error}"),
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! # Words
//!
//! * The **limit** is MLX's wired limit, in bytes. The **ceiling** is the highest that will ever be set.
//! * A **ticket** describes a demand; a **guard** is one admitted ticket and releases on drop.
//! * A guard is [`Active`](Kind::Active) (raises the limit), a [`Reservation`](Kind::Reservation) (counts, does
//!   not hold the limit up) or [`Resident`](Kind::Resident) (a loaded model). Active and resident guards
//!   are *driving*.
//! * A **group** is the live guards whose policies share an [id](PolicyId). The limit is the maximum over the
//!   groups.
//! * An **epoch** lasts from the first driving guard until the **baseline**, MLX's limit before, is back.
//!
//! # Memory ordering
//!
//! What a thread did before it released a guard, or before its guard went, is visible to a thread that was admitted
//! because of it.
//!
//! # Trade-offs
//!
//! * The limit is one number: a group's policy says how much, MLX decides what is wired. When the limit is
//!   lowered it picks what to unwire.
//! * First in, first out: a large ticket at the head of a group's queue holds up small ones behind it, unless
//!   [`Config::overtaking`] lets some of them pass.
//! * Sizes are what you say. A ticket too small is not noticed here; measure the peak.
//! * A program that wants no waiting at all uses policies that never refuse.
//!
//! # Deadlocks
//!
//! A thread that holds a guard and waits for another may wait for what it holds itself. The wait that closes a
//! circle of threads fails at once with [`Error::WouldDeadlock`]. In a pool, acquire before work is split: a
//! worker that waits inside a join may have stolen the job that should release.
//!
//! An [`OwnedGuard`] is held by no thread, since any thread may release it, so it never counts as part of a
//! circle. A wait that an owned guard blocks, such as a reservation kept for the whole program, never ends by
//! itself: it ends when that guard is released. So choose a cap with room for what stays and the largest
//! step together, and bound waits with [`Ticket::admit_timeout`]. Nor is a wait for something else seen, such as a
//! lock or a join.
//!
//! # Features
//!
//! * `mlx`: links MLX through `mlx-sys` where it is not linked anyway (Apple targets link it always). On Linux
//!   it needs `scripts/with-mlx` or an MLX of your own: see [`ffi::LINKED`].
//! * `mlx-rs`: states that the program uses mlx-rs, whose error handler returns instead of ending the process
//!   ([`ffi`] says from when on); releases that lower the limit then synchronise first.
//! * `serde`: snapshots, what they consist of, and counters implement `Serialize`: durations as seconds, places as text.
//! * `timeline`: a [recording](recorder) writes a page with charts, a trace that Perfetto opens, and CSV; implies `serde`.
//! * `tracing`: spans for guards and waits, and events for the limit, through the crate of that name. Without a subscriber
//!   a guard costs one relaxed load more; with one that wants level DEBUG, each guard allocates. A subscriber is never
//!   called while the thread holds anything of the manager's.

pub mod clock;
mod error;
mod event;
pub mod ffi;
mod holders;
mod manager;
#[allow(dead_code, reason = "used from the next change on")]
mod names;
pub mod policy;
pub mod recorder;
#[cfg(feature = "serde")]
mod serialize;
pub mod snapshot;
mod sync;
mod system;
mod ticket;
mod trace;

pub use error::{Error, GroupLimit};
pub use event::{Event, EventKind, Subscriber};
pub use manager::{
    CancelToken, Config, Holder, HolderState, Manager, ManagerBuilder, OnApplyFailure, Stats,
    Waiting, WireMode,
};
pub use policy::{
    BudgetPolicy, Context, FixedPolicy, MaxPolicy, PeakPolicy, Policy, PolicyId, Sizes, SumPolicy,
};
pub use snapshot::Snapshot;
pub use ticket::{Guard, Kind, OwnedGuard, Released, Ticket, Wait};

// The programs of the documents, which must compile, or must not.
#[cfg(doctest)]
#[doc = include_str!("../docs/DEFECTS.md")]
struct Defects;

#[cfg(doctest)]
#[doc = include_str!("../docs/MIGRATING.md")]
struct Migrating;
