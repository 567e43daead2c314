//! Admission of MLX's work by the memory that it needs, and one owner for MLX's wired memory limit, for programs that run
//! MLX from plain threads.
//!
//! Each thread takes memory as it comes, so workers that fit alone do not fit together. On a Mac MLX keeps a bounded number
//! of bytes *wired* for the GPU; the bound is one number for the process, 0 at first. Too low, and a model of
//! 44.8 GB gives [0.62 tokens a second in place of 41](docs::numbers); too high, and the machine freezes. Work asks for memory
//! with a [`Ticket`], waits until a [`Policy`] admits it, and holds a [`Guard`]; the [`Manager`] computes the limit that all
//! live guards call for and calls the expensive setter as rarely as possible. Where MLX has no wired memory (CUDA, CPU),
//! admission and budgeting work all the same.
//!
//! ```
//! use mlx_wired::{Error, Policy, SumPolicy};
//! use rayon::prelude::*;
//! use std::{thread, time::Duration};
//!
//! const MIB: u64 = 1 << 20;
//!
//! fn main() -> Result<(), Error> {
//!     let policy = SumPolicy::capped(600 * MIB); // `new()`: what the device has
//!     let step = policy.ticket(150 * MIB).label("step");
//!     let weights = policy.ticket(200 * MIB).reservation();
//!     // Before the weights are read: refused here if a step could never fit beside them.
//!     let _weights = weights.room_for(step.bytes()).acquire_owned()?;
//!
//!     (1..=8).into_par_iter().try_for_each(|batch| {
//!         let guard = step.acquire()?; // blocks until it fits; on a Mac, until it is wired
//!         println!("batch {batch} waited {:.0?}", guard.waited());
//!         thread::sleep(Duration::from_millis(50)); // the work, evaluated before the guard goes
//!         Ok::<(), Error>(())
//!     })?;
//!
//!     if let Err(error) = policy.ticket(500 * MIB).acquire() {
//!         println!("{error}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Which policy for what
//!
#![doc = include_str!("../docs/POLICIES.md")]
//!
//! A policy asks for bytes; a ticket's [`Kind`] says for how long. [`Ticket::room_for`] refuses what stays at once if the
//! largest step would not fit beside it. [`docs::policies`] has an example for each, and what the device's budget is.
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
//! * Sizes are what you say. A ticket too small is not noticed here; [measure](train::Measure) the peak.
//! * A program that wants no waiting at all uses policies that never refuse.
//!
//! # Deadlocks
//!
//! A thread that holds a guard and waits for another may wait for what it holds itself. The wait that completes a
//! deadlock fails at once with [`Error::WouldDeadlock`].
//!
//! In a pool half of a deadlock may be outside the manager. A rayon worker that waits for jobs (`join`, `scope`, a
//! parallel iterator, a call into another pool) takes other jobs of its pool meanwhile, on top of its stack. If it
//! holds a guard, the job that it takes may split, and another worker may wait for that guard with half of it. Then one
//! waits in the manager, the other in the pool, neither sees the other's wait, and both hang. So a worker that holds a
//! guard waits for no job. Two ways lead there:
//!
//! * *Acquire before the work is split*, on the thread that hands it to the pool. The job takes its guard along and may
//!   split as it likes, since no worker waits for a guard:
//!
//!   ```
//!   use mlx_wired::{Error, Manager, SumPolicy};
//!   use rayon::prelude::*;
//!
//!   # let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//!   # let policy = SumPolicy::capped(64 << 20);
//!   let step = manager.ticket(&policy, 48 << 20);
//!   rayon::in_place_scope(|scope| {
//!       for batch in 0..8_u64 {
//!           let guard = step.acquire_owned()?;         // here, not in a worker
//!           scope.spawn(move |_| {
//!               let _sum: u64 = (0..1000).into_par_iter().map(|row| row * batch).sum();
//!               drop(guard);
//!           });
//!       }
//!       Ok::<(), Error>(())
//!   })?;
//!   # Ok::<(), Error>(())
//!   ```
//! * With a guard held, hand the inner work over with `spawn` and *block on a channel* until it is done: a worker that
//!   blocks takes no other job. `spawn` must be that of other threads, since all workers of a pool may block so at
//!   once:
//!
//!   ```
//!   use mlx_wired::{Error, Manager, SumPolicy};
//!   use rayon::prelude::*;
//!   use std::sync::mpsc;
//!
//!   # let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//!   # let policy = SumPolicy::capped(64 << 20);
//!   let step = manager.ticket(&policy, 48 << 20);
//!   let inner = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads start");
//!   let totals: Vec<u64> = (0..8_u64)
//!       .into_par_iter()
//!       .map(|batch| {
//!           let _guard = step.acquire()?;
//!           let (done, result) = mpsc::channel();
//!           inner.spawn(move || {
//!               let sum: u64 = (0..1000).into_par_iter().map(|row| row * batch).sum();
//!               done.send(sum).expect("the worker waits");
//!           });
//!           Ok(result.recv().expect("the inner work does not panic"))
//!       })
//!       .collect::<Result<_, Error>>()?;
//!   # assert_eq!(totals[1], 499_500);
//!   # Ok::<(), Error>(())
//!   ```
//!
//! What no work gives back is no wait for work. The demands of reservations, residents and leaked guards are *pinned*;
//! in names they are holds. Active work that does not fit beside those that are not evictable is [`Error::NoRoom`] at
//! once, whichever thread has them. Give a pinned demand [`room_for`](Ticket::room_for) the largest step, and it is
//! refused itself if the step could never fit. Those that the program gives back when memory is short are
//! [`evictable`](Ticket::evictable): demands wait for them, and [`Manager::on_shortage`] is how the program is asked.
//! [`Wait::for_holds`] waits for any pinned demand.
//!
//! An [`OwnedGuard`] is held by no thread, since any thread may release it, unless a thread waits to grow it. So active
//! work under an owned guard never counts as part of a deadlock. A deadlock with a deadline or a [`CancelToken`] in it
//! fails no wait, since that wait ends by itself; an event tells of it. Nor is a wait for something else seen, such as
//! a lock or a join.
//!
//! # Ending a program
//!
//! MLX keeps something for each thread that has used it. On Linux (the CPU and the CUDA build) a program may crash
//! inside MLX, after all its work is done, if such threads end while the process exits. A rayon pool that is dropped at
//! the end of `main` does that, since its threads end some time later. So does `std::thread::scope`, and with it rayon's
//! `build_scoped`: it waits for what its threads do, and not until what MLX keeps for them is gone. So join the threads
//! that use MLX before `main` returns, or keep them until the process is gone:
//!
//! * [`train::Workers`], which does that;
//! * `join` on each thread, of a scope too; of a rayon pool:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut threads = Vec::new();
//! let pool = rayon::ThreadPoolBuilder::new()
//!     .spawn_handler(|thread| {
//!         threads.push(std::thread::Builder::new().spawn(|| thread.run())?);
//!         Ok(())
//!     })
//!     .build()?;
//! // The work.
//! drop(pool);
//! for thread in threads {
//!     thread.join().expect("a worker of rayon's does not panic");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * or the global pool, a pool in a `static`, or `std::mem::forget(pool)`: their threads never end by themselves.
//!
//! A thread for each job is no way to use MLX on CUDA at any time: a thread that ends while others evaluate may abort
//! the program. A pool of workers that last is.
//!
//! # Forks
//!
//! A manager is its process's own. In a child that was forked after the first one was built, every call that can fail is
//! [`Error::Forked`] at once, all others answer as a closed manager without guards would, dropping guards and managers
//! does nothing, and nothing waits, whatever other threads were doing. To `exec` there is fine; so is to fork first.
//! What is not fine is to start threads there, with this library or without: the standard library has a lock for that, which
//! may be held for ever.
//!
//! # Features
//!
//! * `estimate` (on by default): [`train::estimate`](mod@train::estimate), what a model needs before it is loaded; brings
//!   `serde` and `serde_json`.
//! * `doctor`: the program `mlx-wired-doctor` (`cargo install mlx-wired --features doctor`), which says what a machine gives
//!   MLX, whether a model goes into it, and what to write; brings `lexopt`. The library stays as it is.
//! * `mlx`: links MLX through `mlx-sys` where it is not linked anyway (Apple targets link it always). On Linux
//!   it needs `scripts/with-mlx` or an MLX of your own: see [`ffi::LINKED`].
//! * `mlx-rs`: states that the program uses mlx-rs, whose error handler returns instead of ending the process
//!   ([`ffi`] says from when on); releases that lower the limit, and on CUDA all, then synchronise first. A
//!   [run](train::Run) can ask arrays whether they are evaluated, and `train::checkpoint` recomputes blocks.
//! * `metrics`: a [monitor](memory::monitor) publishes figures through the crate of that name, to Prometheus and others.
//! * `serde`: snapshots, what they consist of, and counters implement `Serialize`: durations as seconds, locations as text.
//! * `timeline`: a [recording](recorder) writes a page with charts, a trace that Perfetto opens, and CSV; implies `serde`.
//! * `tracing`: spans for guards and waits, and events for the limit, through the crate of that name. Without a subscriber
//!   a guard costs one relaxed load more; with one that wants level DEBUG, each guard allocates. A subscriber is never
//!   called while the thread holds anything of the manager's.
//! * `watch`: a [monitor](memory::monitor) tells all that it knows as a line of JSON, on a Unix socket if the program says so;
//!   `watch/` in the repository shows it in a terminal. Brings `serde` and `serde_json`.
//!
//! # Further
//!
//! * [`docs::patterns`]: the shapes of programs: a pool, a queue of jobs, a server, a trainer.
//! * [`docs::training`]: what to write in a ticket, and how a run's memory is watched: [`train`].
//! * [`docs::memory`]: pressure while a program runs, and what it does about it: [`memory`].
//! * [`docs::policies`]: which policy for what, and what the device's budget is.
//! * [`docs::limits`]: what does not work, and what does in its place.
//! * [`docs::numbers`]: what was measured, when, by which command.
//! * [`docs::setup`]: what a fresh machine says, why, and what to do.
//! * `docs/RULES.md`, in the package too: the contract, what the library promises, rule by rule, and which tests prove it.

mod arbiter;
mod backend;
mod cache_limit;
mod config;
#[cfg(doc)]
pub mod docs;
mod error;
mod event;
pub mod ffi;
mod fork;
mod holders;
mod kind;
mod manager;
pub mod memory;
mod mode;
pub mod policy;
mod pressure;
pub mod print;
pub mod recorder;
#[cfg(feature = "serde")]
mod serialize;
pub mod snapshot;
mod sync;
pub mod system;
mod testing;
mod ticket;
mod time;
mod trace;
#[cfg(not(any(loom, shuttle)))]
pub mod train;
mod user_code;
mod wait;

/// Time, replaceable in tests.
pub mod clock {
    pub use crate::testing::FakeClock;
    pub use crate::time::{Clock, Sleeper, SystemClock, Waker};
}

pub use config::{Config, OnApplyFailure, SyncOnRelease};
pub use error::{Error, GroupLimit, Obstacle, StayingGuard};
pub use event::{Event, EventKind, Subscriber};
pub use kind::Kind;
pub use manager::{Manager, ManagerBuilder, Reclaimer, Shortage};
pub use mode::WireMode;
pub use policy::{
    AtMost, BudgetPolicy, Context, FixedPolicy, MaxPolicy, PeakPolicy, Policy, PolicyId, Sizes,
    SumPolicy,
};
pub use pressure::PressureLevel;
pub use snapshot::{Holder, HolderState, Snapshot, Stats, Waiter};
pub use ticket::{Guard, OwnedGuard, Released, Ticket};
pub use wait::{CancelToken, Wait};

// The programs of the documents, which must compile, or must not.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/DEFECTS.md")]
struct Defects;

#[cfg(doctest)]
#[doc = include_str!("../docs/MIGRATING.md")]
struct Migrating;
