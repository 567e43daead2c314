//! What does not work, and what does in its place.
//!
//! # Priorities, and fairness by user
//!
//! A queue is first in, first out. It knows no users and no priorities: a user's hundred requests are served before the
//! next user's first. A server that wants another order keeps the requests in a queue of its own, in that order, and lets
//! as many workers acquire as requests fit at once. The manager's queue is then short, and the order is the server's. Here
//! users take turns; with priorities, the queue is a heap.
//!
//! ```
//! use mlx_wired::{Error, Manager, SumPolicy};
//! use std::collections::VecDeque;
//! use std::sync::{Condvar, Mutex};
//! use std::thread;
//!
//! struct Request {
//!     user: &'static str,
//!     bytes: u64,
//! }
//!
//! /// A line for each user; none is empty.
//! #[derive(Default)]
//! struct Turns {
//!     lines: Mutex<VecDeque<VecDeque<Request>>>,
//!     came: Condvar,
//! }
//!
//! impl Turns {
//!     fn push(&self, request: Request) {
//!         let mut lines = self.lines.lock().unwrap();
//!         match lines.iter_mut().find(|line| line[0].user == request.user) {
//!             Some(line) => line.push_back(request),
//!             None => lines.push_back([request].into()),
//!         }
//!         self.came.notify_one();
//!     }
//!
//!     /// The next user's first. That user goes to the end.
//!     fn next(&self) -> Request {
//!         let mut lines = self.lines.lock().unwrap();
//!         loop {
//!             if let Some(mut line) = lines.pop_front() {
//!                 let request = line.pop_front().expect("no line is empty");
//!                 if !line.is_empty() {
//!                     lines.push_back(line);
//!                 }
//!                 return request;
//!             }
//!             lines = self.came.wait(lines).unwrap();
//!         }
//!     }
//! }
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let policy = SumPolicy::capped(1 << 30);
//! let turns = Turns::default();
//! for user in ["ann", "ann", "ann", "bob"] {
//!     turns.push(Request { user, bytes: 100 << 20 });
//! }
//! let worker = || -> Result<Vec<&str>, Error> {
//!     let mut served = Vec::new();
//!     for _ in 0..4 {
//!         // First its turn, then its memory.
//!         let request = turns.next();
//!         let _guard = manager.ticket(&policy, request.bytes).acquire_owned()?;
//!         served.push(request.user);
//!     }
//!     Ok(served)
//! };
//! let served = thread::scope(|scope| scope.spawn(worker).join().unwrap())?;
//! assert_eq!(served, ["ann", "bob", "ann", "ann"]);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Several owned guards for one job
//!
//! Two jobs that each hold one reservation and wait for a second wait for each other. With [borrowed
//! guards](crate::Guard) that is a deadlock, and one of them is [`Error::WouldDeadlock`](crate::Error::WouldDeadlock).
//! An [owned guard](crate::OwnedGuard) is held by no thread, since any thread may release it: a job manager may be
//! about to. So no deadlock is seen, and both wait until a deadline.
//!
//! What works is one ticket for what belongs together, as large as all of it.
//!
//! ```
//! use mlx_wired::{Manager, SumPolicy};
//! use std::time::Duration;
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let policy = SumPolicy::capped(100);
//!
//! // Does not work: weights and optimizer apart, for two jobs.
//! let half = manager.ticket(&policy, 40).reservation();
//! let jobs = [half.acquire_owned()?, half.acquire_owned()?];
//! let second = half.admit_timeout(Duration::from_millis(1));
//! assert!(second.is_err_and(|error| error.is_timeout()), "both hold half of what they need");
//! drop(jobs);
//!
//! // Works: the second job waits until the first has ended.
//! let whole = manager.ticket(&policy, 80).reservation();
//! let _first = whole.acquire_owned()?;
//! # Ok::<(), mlx_wired::Error>(())
//! ```
//!
//! Where the whole cannot be known beforehand, [grow one guard](crate::OwnedGuard::resize). A guard that grows is known to
//! be held by the thread that waits, so of two that grow against each other one is refused.
//!
//! ```
//! use mlx_wired::{Error, Manager, SumPolicy};
//! use std::sync::Barrier;
//! use std::thread;
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let half = manager.ticket(&SumPolicy::capped(100), 40).reservation();
//! let both_hold = Barrier::new(2);
//! let job = || -> Result<(), Error> {
//!     let mut guard = half.acquire_owned()?;
//!     both_hold.wait();
//!     guard.resize(80)
//! };
//! let jobs = thread::scope(|scope| [scope.spawn(job), scope.spawn(job)].map(|job| job.join().unwrap()));
//! let refused: Vec<Error> = jobs.into_iter().filter_map(Result::err).collect();
//! assert!(matches!(refused[..], [Error::WouldDeadlock { .. }]), "one ends, and the other has its place");
//! # Ok::<(), Error>(())
//! ```
//!
//! # Locks around an acquire
//!
//! ```text
//! let table = table.lock();
//! let guard = ticket.acquire()?;    // waits for a guard whose thread waits for `table`
//! ```
//!
//! The manager knows which thread holds a guard, not which holds a lock: this hangs unseen. So does a channel or a join
//! instead of the lock, and a lock that a [reclaimer](crate::Manager::on_shortage) takes. Acquire first, and lock then; or
//! note in the table what is going to happen, unlock, acquire, and lock again.
//!
//! ```
//! use mlx_wired::{Error, Manager, SumPolicy};
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let ticket = manager.ticket(&SumPolicy::capped(100), 60).resident();
//! let table = Mutex::new(HashMap::new());
//!
//! // The statement ends, and with it the lock.
//! let is_loaded = table.lock().unwrap().contains_key("model");
//! if !is_loaded {
//!     let guard = ticket.acquire_owned()?;
//!     table.lock().unwrap().insert("model", guard);
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! # Async
//!
//! Acquiring blocks its thread, and a guard that is dropped may call MLX's setter. A task of an async runtime lets a thread
//! of its own wait (tokio's `spawn_blocking`) and takes the owned guard from it. A
//! [token](crate::CancelToken) ends the wait when the task is dropped; a guard that comes too late is released by the
//! channel.
//!
//! ```
//! use mlx_wired::{CancelToken, Error, Manager, OwnedGuard, SumPolicy, Ticket, Wait};
//! use std::thread;
//!
//! struct CancelOnDrop(CancelToken);
//!
//! impl Drop for CancelOnDrop {
//!     fn drop(&mut self) {
//!         self.0.cancel();
//!     }
//! }
//!
//! async fn acquire(ticket: Ticket) -> Result<OwnedGuard, Error> {
//!     let token = CancelOnDrop(CancelToken::new());
//!     let wait = Wait::new().cancel(&token.0);
//!     let (sender, receiver) = tokio::sync::oneshot::channel();
//!     thread::spawn(move || drop(sender.send(ticket.acquire_owned_with(wait))));
//!     receiver.await.expect("the thread sends what it gets")
//! }
//!
//! let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
//! let ticket = manager.ticket(&SumPolicy::capped(100), 60);
//! let guard = pollster::block_on(acquire(ticket))?;
//! assert_eq!(guard.bytes(), 60);
//! # Ok::<(), Error>(())
//! ```
//!
//! A program all of whose threads are a runtime's is better served by a semaphore of that runtime, and one guard around
//! the whole.
