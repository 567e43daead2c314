//! Threads that acquire, and what they wait for.

use super::PATIENCE;
use super::asleep::is_asleep;
use mlx_wired::{Error, Manager, OwnedGuard, Ticket, Wait};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{self, ThreadId};
use std::time::Instant;

/// Returns once `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "never happened: {what}");
        thread::yield_now();
    }
}

/// Sets the flag as it goes, also where the test fails: the threads that work until then end.
pub(crate) struct Sets<'a>(pub(crate) &'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Something that another thread does.
pub(crate) struct Pending<T> {
    thread: ThreadId,
    result: Receiver<T>,
}

impl<T: Send + 'static> Pending<T> {
    pub(crate) fn spawn(f: impl FnOnce() -> T + Send + 'static) -> Self {
        Self::spawn_named("", f)
    }

    pub(crate) fn spawn_named(name: &str, f: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        let named = thread::Builder::new().name(name.to_owned());
        let spawned = named.spawn(move || {
            let result = f();
            // The test may have failed and gone.
            let _gone = sender.send(result);
        });
        let spawned = spawned.expect("there are threads");
        Self {
            thread: spawned.thread().id(),
            result: receiver,
        }
    }

    /// Its result.
    ///
    /// # Panics
    ///
    /// If the thread is stuck, or has panicked.
    #[track_caller]
    pub(crate) fn result(self) -> T {
        match self.result.recv_timeout(PATIENCE) {
            Ok(result) => result,
            Err(error) => panic!("the other thread is stuck or has panicked: {error}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_pending(&self) {
        assert!(
            matches!(self.result.try_recv(), Err(TryRecvError::Empty)),
            "the other thread still waits"
        );
    }

    /// Returns once the thread waits for admission and sleeps, on a [`NotingClock`]. Being in the waiter queue is not enough:
    /// policies may be asked there once more, by the thread itself.
    #[track_caller]
    pub(crate) fn until_queued(&self, manager: &Manager) {
        let is_in_line = || manager.waiting().iter().any(|it| it.thread == self.thread);
        until("it waits", || is_asleep(self.thread) && is_in_line());
    }
}

pub(crate) type Acquiring = Pending<Result<OwnedGuard, Error>>;

/// A thread that acquires, however long that takes.
pub(crate) fn acquiring(ticket: &Ticket) -> Acquiring {
    acquiring_with(ticket, Wait::new())
}

/// [`acquiring`], within bounds.
pub(crate) fn acquiring_with(ticket: &Ticket, wait: Wait) -> Acquiring {
    let ticket = ticket.clone();
    Pending::spawn(move || ticket.acquire_owned_with(wait))
}

/// A thread that acquires and was seen to wait for admission.
#[track_caller]
pub(crate) fn queued(manager: &Manager, ticket: &Ticket, wait: Wait) -> Acquiring {
    let pending = acquiring_with(ticket, wait);
    pending.until_queued(manager);
    pending
}

/// A thread that holds a guard.
pub(crate) struct Worker {
    second: mpsc::Sender<(Ticket, Wait)>,
    result: Pending<Result<u64, Error>>,
    manager: Manager,
}

impl Worker {
    /// It has acquired `first`.
    #[track_caller]
    pub(crate) fn holding(manager: &Manager, first: &Ticket) -> Self {
        let first = first.clone();
        let (second, wanted) = mpsc::channel::<(Ticket, Wait)>();
        let (told, holds) = mpsc::channel();
        let result = Pending::spawn(move || {
            let _held = first.acquire()?;
            told.send(()).expect("the test waits");
            let (second, wait) = wanted.recv().expect("the test goes on");
            let guard = second.acquire_with(wait)?;
            Ok(guard.bytes())
        });
        holds.recv_timeout(PATIENCE).expect("it acquires the first");
        Self {
            second,
            result,
            manager: manager.clone(),
        }
    }

    /// It acquires `second` too.
    pub(crate) fn wants(self, second: &Ticket, wait: Wait) -> Pending<Result<u64, Error>> {
        let sent = self.second.send((second.clone(), wait));
        sent.expect("it holds the first");
        self.result
    }

    /// [`wants`](Self::wants), seen to wait.
    #[track_caller]
    pub(crate) fn waits(self, second: &Ticket, wait: Wait) -> Pending<Result<u64, Error>> {
        let manager = self.manager.clone();
        let pending = self.wants(second, wait);
        pending.until_queued(&manager);
        pending
    }
}
