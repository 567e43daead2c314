//! The shapes of programs: a pool of workers, a queue of jobs, a server, a trainer.
//!
//! What they have in common: what stays for long is a [reservation or a resident](crate::Kind) that leaves
//! [room](crate::Ticket::room_for) for the work beside it, taken first; work takes a ticket of its own, for as long as it
//! runs. So what could never fit is refused before anything is read, and work waits for work alone. Work ends, so every
//! wait does.
//!
//! # A pool of workers
//!
//! ```
//! use mlx_wired::{Error, Policy, SumPolicy};
//! use rayon::prelude::*;
//!
//! # fn train_on(_: &u32) -> Result<(), Error> { Ok(()) }
//! # let (weight_bytes, step_bytes, batches) = (64 << 20, 16 << 20, vec![1_u32, 2, 3]);
//! let policy = SumPolicy::new();
//! let weights = policy.ticket(weight_bytes).reservation().room_for(step_bytes);
//! // Before the weights are read. It fails here if a step could never fit beside them.
//! let _weights = weights.label("weights").acquire_owned()?;
//!
//! let step = policy.ticket(step_bytes).label("step");
//! batches.par_iter().try_for_each(|batch| {
//!     // Before the step splits its work.
//!     let _guard = step.acquire()?;
//!     train_on(batch)
//! })?;
//! # Ok::<(), Error>(())
//! ```
//!
//! * The room is that of the largest step. One that is larger may be [`Error::NoRoom`](crate::Error::NoRoom): at once, not
//!   after an hour of waiting.
//! * A worker that acquires before the work is split holds one guard at a time. One that waits in a join steals another
//!   batch, which wants a second guard while the first is below it on the stack.
//! * A pool may have more workers than one card serves at full speed. `SumPolicy::new().at_most(4)` for the steps lets
//!   four run at once, however small they are: see [`AtMost`](crate::AtMost).
//! * Where a smaller step will do, [`try_acquire`](crate::Ticket::try_acquire) asks whether the large one fits now.
//!
//! # A queue of jobs
//!
//! A job holds a reservation while it runs. Jobs queue for the machine with it: one that does not fit beside those that run
//! waits for one of them to end, in the order of arrival.
//!
//! ```
//! use mlx_wired::{Error, Manager, SumPolicy};
//! use std::thread;
//!
//! struct Job {
//!     name: &'static str,
//!     /// What it keeps from its first step to its last: weights, optimizer, data.
//!     keeps: u64,
//!     step: u64,
//! }
//!
//! fn run(manager: &Manager, policy: &SumPolicy, job: &Job) -> Result<(), Error> {
//!     let machine = manager.ticket(policy, job.keeps).reservation();
//!     let machine = machine.room_for(job.step).label(job.name);
//!     // Waits for its turn. The steps of the jobs that run go on meanwhile.
//!     let _machine = machine.acquire()?;
//!     let step = manager.ticket(policy, job.step).label(job.name);
//!     for _ in 0..10 {
//!         let _guard = step.acquire()?;
//!         // the step
//!     }
//!     Ok(())
//! }
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let policy = SumPolicy::capped(48 << 30);
//! let jobs = [
//!     Job { name: "small", keeps: 10 << 30, step: 4 << 30 },
//!     Job { name: "large", keeps: 30 << 30, step: 9 << 30 },
//!     Job { name: "hopeless", keeps: 45 << 30, step: 9 << 30 },
//! ];
//! thread::scope(|scope| {
//!     for job in &jobs {
//!         let (manager, policy) = (&manager, &policy);
//!         scope.spawn(move || {
//!             let ended = run(manager, policy, job);
//!             // Its step would not even fit if it ran alone: refused before it began.
//!             assert_eq!(ended.is_err(), job.name == "hopeless", "{ended:?}");
//!         });
//!     }
//! });
//! # Ok::<(), Error>(())
//! ```
//!
//! * A job that waits is not in the queue of the steps, so it delays none. In that queue it would wait for a job to end
//!   whose steps wait behind it.
//! * One ticket for all that a job keeps: two reservations, one after the other, are
//!   [hold and wait](super::limits#several-owned-guards-for-one-job).
//! * A small job does not pass a large one that came before it. A queue that may do so is
//!   [the program's own](super::limits#priorities-and-fairness-by-user).
//!
//! # A server
//!
//! `examples/server` is this whole: three models of which two fit, requests, and clients that give up.
//!
//! ```
//! use mlx_wired::{CancelToken, Config, Error, Manager, SumPolicy, Wait};
//! use std::time::Duration;
//!
//! # fn generate() -> u16 { 200 }
//! const BYTES_PER_TOKEN: u64 = 512 << 10;
//! const LONGEST: u64 = 4096;
//!
//! /// Answers a request with a status. `most` is its prompt and the most that it wants in answer, in tokens.
//! fn handle(manager: &Manager, policy: &SumPolicy, most: u64, hung_up: &CancelToken) -> u16 {
//!     let cache = manager.ticket(policy, most * BYTES_PER_TOKEN).label("cache");
//!     let wait = Wait::new().timeout(Duration::from_secs(10)).cancel(hung_up);
//!     match cache.acquire_with(wait) {
//!         // The cache grows by tokens within the ticket: it is never refused in the middle.
//!         Ok(_guard) => generate(),
//!         Err(Error::QueueFull { .. } | Error::NoRoom { .. }) => 503, // with a time to come again
//!         Err(Error::NeverAdmissible { .. }) => 413,
//!         Err(Error::Timeout { .. }) => 504,
//!         Err(Error::Cancelled { .. }) => 499,
//!         Err(_) => 500,
//!     }
//! }
//!
//! // A client in a longer queue would be gone before its turn.
//! let config = Config::default().max_waiting(16);
//! // On MLX: `Manager::init_shared(config)?`, then `Manager::shared()`.
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).config(config).build()?;
//! let policy = SumPolicy::capped(24 << 30);
//!
//! let model = manager.ticket(&policy, 14 << 30).resident();
//! // It may be given back for another model, and leaves room for the longest request while it is there.
//! let model = model.evictable().room_for(LONGEST * BYTES_PER_TOKEN);
//! let _model = model.label("model").acquire_owned()?;
//!
//! assert_eq!(handle(&manager, &policy, LONGEST, &CancelToken::new()), 200);
//! assert_eq!(handle(&manager, &policy, 100 * LONGEST, &CancelToken::new()), 413);
//! # Ok::<(), Error>(())
//! ```
//!
//! * The ticket is of the most that a request may need. A cache that [grows its guard](crate::Guard::resize) instead lets
//!   more requests run at once, and any of them may be cut short: the others may all want to grow, too.
//! * The model first, then the cache: a thread that waits for a model then holds no memory.
//! * A second model that does not fit waits beside the queue: requests of the first go on. [`Manager::on_shortage`] is
//!   where the server gives a model back for it. Keep models in `Arc`s, and take the one longest unused out of the
//!   table: its guard goes with the last request that runs it.
//!
//! # A trainer
//!
//! What stays is a reservation with room for a step; a step is measured once, alone; the run holds the limits from its first
//! step to its last. [Training](super::training) has each part; `examples/mini_train.rs` is this with a model.
//!
//! ```no_run
//! use mlx_wired::train::{Measure, Run, WorkError};
//! use mlx_wired::{Policy, SumPolicy};
//!
//! fn train(stays: u64, step: impl Fn() -> Result<f32, WorkError>) -> Result<(), WorkError> {
//!     let policy = SumPolicy::new();
//!     let ticket = policy.measure("step", &step)?.ticket(&policy);
//!     // Weights, gradients and the optimizer's state.
//!     let stays = policy.ticket(stays).reservation().room_for(ticket.bytes());
//!     let run = Run::builder().ticket(stays.label("model")).start()?;
//!     for _ in 0..1000 {
//!         let _guard = ticket.acquire()?;
//!         let (_loss, report) = run.step(&step)?;
//!         println!("{report}");
//!     }
//!     println!("{}", run.finish()?);
//!     Ok(())
//! }
//! ```
//!
//! * Runs side by side share a machine as [jobs](#a-queue-of-jobs) do: each one's reservation is its turn.
//! * Validation and checkpoints are work with tickets of their own: they take what no step takes.
//!
//! [`Manager::on_shortage`]: crate::Manager::on_shortage
