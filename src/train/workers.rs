//! Threads for MLX work that live until all of it is done.

use super::allocation::is_refusal;
use super::{Error, WorkError, is_allocation_failure};
use crossbeam::channel::{self, Receiver, Sender};
use crossbeam::sync::WaitGroup;
use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};

/// Threads that do MLX work, and live until all of it is done.
///
/// MLX keeps something for each thread that has used it. On CUDA a thread that ends while another evaluates may abort the
/// program, and so may one that ends while the process exits. [`scope`](Self::scope) starts its threads once, keeps them, and
/// returns when they have ended: together, after the last job.
///
/// A CUDA thread to which memory was refused once is of no use afterwards: what it does next fails too. So a worker whose job
/// fails with an [allocation failure](is_allocation_failure) is retired: it takes no further job, and another thread takes its
/// place. [`retired`](Self::retired) tells of it, and the job's own error is what its [`Job::join`] returns. That is no cure:
/// memory of the refused work may stay taken, and CUDA may have lost the card for the whole process (`an illegal memory access
/// was encountered`). Tickets are what prevents it. The retired thread waits until the scope ends, and what MLX keeps for it
/// stays until then.
///
/// Jobs begin in the order in which they were given, each on the next worker that is free. A job that waits for another one
/// may wait for ever, if no worker is left for that.
///
/// ```
/// use mlx_wired::train::Workers;
/// use mlx_wired::{Error, Manager, Policy, SumPolicy};
///
/// # fn train(fold: usize) -> usize { fold * fold }
/// # fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
/// let policy = SumPolicy::capped(24 << 30);
/// let ticket = manager.ticket(&policy, 10 << 30);
/// let results = Workers::scope(4, |workers| {
///     workers.map(0..8, |fold| {
///         let _guard = ticket.acquire()?;
///         Ok::<_, Error>(train(fold))
///     })
/// })?;
/// let best = results.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().max();
/// assert_eq!(best, Some(49));
/// # Ok(())
/// # }
/// # run().unwrap();
/// ```
///
/// A rayon pool serves too, where no memory is ever refused, if its threads are joined:
/// [ending a program](crate#ending-a-program) says how.
pub struct Workers<'scope, 'env: 'scope> {
    jobs: Sender<Task<'scope>>,
    crew: Arc<Crew<'scope>>,
    scope: PhantomData<&'scope Scope<'scope, 'env>>,
}

/// All workers of a scope.
#[derive(Default)]
struct Crew<'scope> {
    retired: Mutex<Vec<Retired>>,
    threads: Mutex<Vec<ScopedJoinHandle<'scope, ()>>>,
}

/// A worker that takes no further job, since memory was refused to one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retired {
    /// The thread's name.
    pub thread: String,
    /// What its last job failed with.
    pub error: String,
}

/// A job that was given to [`Workers`].
#[must_use = "a job's error is in what `join` returns"]
pub struct Job<T> {
    outcome: Receiver<thread::Result<Result<T, WorkError>>>,
}

/// Does a job. Calls what it is given with the error of one to which memory was refused, before that is joined.
type Task<'scope> = Box<dyn FnOnce(&mut dyn FnMut(String)) + Send + 'scope>;

impl<'env> Workers<'_, 'env> {
    /// Starts so many threads, calls `body` on this one, and returns when all jobs that it gave are done and all threads have
    /// ended.
    ///
    /// # Errors
    ///
    /// [`Error::Threads`] if there are to be none, or if the system refuses one. `body` was not called then.
    ///
    /// # Panics
    ///
    /// If `body` does, when the jobs that it gave are done.
    ///
    /// # Blocking
    ///
    /// Until all jobs are done.
    pub fn scope<R>(
        threads: usize,
        body: impl for<'scope> FnOnce(&Workers<'scope, 'env>) -> R,
    ) -> Result<R, Error> {
        if threads == 0 {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "no job would ever run");
            return Err(Error::Threads { threads, source });
        }
        thread::scope(|scope| {
            let (jobs, queue) = channel::unbounded();
            let crew = Arc::<Crew>::default();
            let all = WaitGroup::new();
            for number in 0..threads {
                let worker = Worker {
                    scope,
                    name: format!("MLX worker {number}"),
                    queue: queue.clone(),
                    crew: Arc::clone(&crew),
                    all: all.clone(),
                };
                let started = worker.start();
                started.map_err(|source| Error::Threads { threads, source })?;
            }
            // What a worker waits for at its end.
            drop(all);
            let workers = Workers {
                jobs,
                crew: Arc::clone(&crew),
                scope: PhantomData,
            };
            let result = panic::catch_unwind(AssertUnwindSafe(|| body(&workers)));
            drop(workers);
            crew.join();
            Ok(result.unwrap_or_else(|payload| panic::resume_unwind(payload)))
        })
    }
}

impl<'scope> Workers<'scope, '_> {
    /// Gives a job to the worker that is free next. It is done even if nothing joins it.
    ///
    /// Does not block.
    pub fn spawn<T, E>(&self, job: impl FnOnce() -> Result<T, E> + Send + 'scope) -> Job<T>
    where
        T: Send + 'scope,
        E: Into<WorkError>,
    {
        let (done, outcome) = channel::bounded(1);
        let task = move |retire: &mut dyn FnMut(String)| {
            // What a job leaves behind half-done is its own, as with `std::thread`.
            let result = panic::catch_unwind(AssertUnwindSafe(|| job().map_err(Into::into)));
            if let Some(error) = contained(|| refusal(&result)).flatten() {
                retire(error);
            }
            // If nothing joins the job, what came of it is dropped here.
            contained(move || drop(done.send(result)));
        };
        // It cannot fail: workers take jobs until this sender is gone.
        let _sent = self.jobs.send(Box::new(task));
        Job { outcome }
    }

    /// Gives a job for each item, and returns what came of them, in the items' order.
    ///
    /// # Panics
    ///
    /// If a job did, with its panic.
    ///
    /// # Blocking
    ///
    /// Until all of them are done.
    pub fn map<I, T, E>(
        &self,
        items: impl IntoIterator<Item = I>,
        job: impl Fn(I) -> Result<T, E> + Send + Sync + 'scope,
    ) -> Vec<Result<T, WorkError>>
    where
        I: Send + 'scope,
        T: Send + 'scope,
        E: Into<WorkError>,
    {
        let job = Arc::new(job);
        let spawn = |item| {
            let job = Arc::clone(&job);
            self.spawn(move || job(item))
        };
        let jobs: Vec<Job<T>> = items.into_iter().map(spawn).collect();
        jobs.into_iter().map(Job::join).collect()
    }

    /// The workers that were retired so far, in the order in which they were.
    ///
    /// A worker whose successor the system did not start is not among them: it goes on.
    #[must_use]
    pub fn retired(&self) -> Vec<Retired> {
        locked(&self.crew.retired).clone()
    }
}

impl<T> Job<T> {
    /// Waits until the job is done.
    ///
    /// # Errors
    ///
    /// The job's own.
    ///
    /// # Panics
    ///
    /// If the job did, with its panic.
    pub fn join(self) -> Result<T, WorkError> {
        match self.outcome.recv() {
            Ok(Ok(result)) => result,
            Ok(Err(payload)) => panic::resume_unwind(payload),
            Err(_) => unreachable!("each job sends what came of it"),
        }
    }
}

impl Crew<'_> {
    /// Waits until the threads are gone, with what MLX keeps for each. The scope by itself waits for what they do, not for the
    /// end of their thread-locals.
    fn join(&self) {
        loop {
            // A worker's successor is listed before the worker ends, and not locked out while this waits.
            let Some(thread) = locked(&self.threads).pop() else {
                return;
            };
            // A job's panic is the job's; a worker has none of its own.
            let _no_panic = thread.join();
        }
    }
}

/// One thread, before it starts.
struct Worker<'scope, 'env: 'scope> {
    scope: &'scope Scope<'scope, 'env>,
    name: String,
    queue: Receiver<Task<'scope>>,
    crew: Arc<Crew<'scope>>,
    /// Each worker has one, and gives it back when it has nothing more to do.
    all: WaitGroup,
}

impl<'scope> Worker<'scope, '_> {
    fn start(self) -> io::Result<()> {
        let crew = Arc::clone(&self.crew);
        let builder = thread::Builder::new().name(self.name.clone());
        let thread = builder.spawn_scoped(self.scope, || self.work())?;
        locked(&crew.threads).push(thread);
        Ok(())
    }

    fn work(self) {
        for task in &self.queue {
            let mut is_retired = false;
            task(&mut |error| is_retired = self.retire(error));
            if is_retired {
                break;
            }
        }
        // To end while another evaluates may abort the program.
        self.all.wait();
    }

    /// Starts a worker in this one's place. Where the system refuses the thread, this one goes on: jobs that fail are better
    /// than jobs that are never done.
    fn retire(&self, error: String) -> bool {
        let is_replaced = self.replacement().start().is_ok();
        if is_replaced {
            let thread = self.name.clone();
            locked(&self.crew.retired).push(Retired { thread, error });
        }
        is_replaced
    }

    fn replacement(&self) -> Self {
        Self {
            scope: self.scope,
            name: format!("{}'", self.name),
            queue: self.queue.clone(),
            crew: Arc::clone(&self.crew),
            all: self.all.clone(),
        }
    }
}

/// Calls a job's own code: how its error is written, how its result is dropped. Its panic does not end the worker, after which
/// jobs might never be done.
fn contained<R>(call: impl FnOnce() -> R) -> Option<R> {
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    // To drop the payload may panic again.
    result.map_err(mem::forget).ok()
}

/// What a job failed with, if memory was refused to it.
fn refusal<T>(result: &thread::Result<Result<T, WorkError>>) -> Option<String> {
    match result {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => is_allocation_failure(&**error).then(|| error.to_string()),
        // `unwrap` on an error of MLX.
        Err(payload) => text_of(&**payload)
            .filter(|text| is_refusal(text))
            .map(str::to_owned),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied())
}

fn locked<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    // Nothing is left half-done under it.
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Workers<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("jobs_waiting", &self.jobs.len())
            .field("retired", &self.retired())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("is_done", &!self.outcome.is_empty())
            .finish_non_exhaustive()
    }
}
