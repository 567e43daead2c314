//! The threads that acquire, wait and release, each told what to do, one thing at a time.

use mlx_wired::{CancelToken, Error, Guard, Manager, OwnedGuard, Released, Ticket, Wait};
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use crate::words::{Patience, Told};

pub(crate) type Job = Box<dyn FnOnce(&Manager) + Send>;

pub(crate) enum Command {
    Acquire {
        guard: u64,
        /// Of the test's life: guards borrow it, on threads that outlive a failure.
        ticket: &'static Ticket,
        patience: Patience,
        token: CancelToken,
        owned: bool,
    },
    Resize {
        guard: u64,
        bytes: u64,
        patience: Patience,
        token: CancelToken,
    },
    Release {
        guard: u64,
        tells: bool,
    },
    Forget {
        guard: u64,
    },
    Run(Job),
}

#[derive(Debug)]
pub(crate) enum Reply {
    Guard(Result<Told, Error>),
    Released(Option<Released>),
    Done,
}

/// Owned guards go from thread to thread.
#[derive(Default)]
pub(crate) struct Pool(Mutex<BTreeMap<u64, OwnedGuard>>);

impl Pool {
    fn put(&self, number: u64, guard: OwnedGuard) {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            pool.insert(number, guard).is_none(),
            "guards are numbered once"
        );
    }

    fn take(&self, number: u64) -> Option<OwnedGuard> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pool.remove(&number)
    }
}

/// One thread, seen by whoever directs it.
pub(crate) struct Actor {
    commands: Sender<Command>,
    replies: Receiver<Reply>,
    handle: JoinHandle<()>,
    /// How long a reply may take that must come.
    patience: Duration,
}

impl Actor {
    pub(crate) fn spawn(manager: &Manager, pool: &Arc<Pool>, patience: Duration) -> Self {
        let (commands, orders) = mpsc::channel();
        let (answers, replies) = mpsc::channel();
        let (manager, pool) = (manager.clone(), pool.clone());
        let handle = thread::spawn(move || act(&manager, &pool, &orders, &answers));
        Self {
            commands,
            replies,
            handle,
            patience,
        }
    }

    pub(crate) fn thread(&self) -> ThreadId {
        self.handle.thread().id()
    }

    pub(crate) fn tell(&self, command: Command) {
        self.commands.send(command).expect("the thread lives");
    }

    /// The reply, which must come.
    pub(crate) fn reply(&self) -> Reply {
        match self.replies.recv_timeout(self.patience) {
            Ok(reply) => reply,
            Err(error) => panic!("a thread is stuck or has panicked: {error}"),
        }
    }

    pub(crate) fn reply_so_far(&self) -> Option<Reply> {
        self.replies.try_recv().ok()
    }

    /// Lets the thread end.
    pub(crate) fn dismiss(self) {
        drop(self.commands);
        self.handle.join().expect("it has not panicked");
    }
}

/// What a thread does.
fn act(manager: &Manager, pool: &Pool, orders: &Receiver<Command>, answers: &Sender<Reply>) {
    let mut own: BTreeMap<u64, Guard<'static>> = BTreeMap::new();
    for command in orders {
        let reply = match command {
            Command::Acquire {
                guard,
                ticket,
                patience,
                token,
                owned: false,
            } => Reply::Guard(acquire(ticket, patience, &token).map(|taken| {
                let told = Told::from_guard(&taken);
                own.insert(guard, taken);
                told
            })),
            Command::Acquire {
                guard,
                ticket,
                patience,
                token,
                owned: true,
            } => Reply::Guard(acquire_owned(ticket, patience, &token).map(|taken| {
                let told = Told::from_owned(&taken);
                pool.put(guard, taken);
                told
            })),
            Command::Resize {
                guard,
                bytes,
                patience,
                token,
            } => Reply::Guard(match own.get_mut(&guard) {
                Some(held) => resize(bytes, patience, |bytes, wait| match wait {
                    Some(wait) => held.resize_with(bytes, wait(&token)),
                    None => held.try_resize(bytes),
                })
                .map(|()| Told::from_guard(held)),
                None => {
                    let mut held = pool.take(guard).expect("an owned guard");
                    let result = resize(bytes, patience, |bytes, wait| match wait {
                        Some(wait) => held.resize_with(bytes, wait(&token)),
                        None => held.try_resize(bytes),
                    });
                    let told = Told::from_owned(&held);
                    pool.put(guard, held);
                    result.map(|()| told)
                }
            }),
            Command::Release { guard, tells } => Reply::Released(match own.remove(&guard) {
                Some(held) if tells => Some(held.release()),
                Some(_) => None,
                None => {
                    let held = pool.take(guard).expect("an owned guard");
                    tells.then(|| held.release())
                }
            }),
            Command::Forget { guard } => {
                match own.remove(&guard) {
                    Some(held) => held.leak(),
                    None => pool.take(guard).expect("an owned guard").leak(),
                }
                Reply::Done
            }
            Command::Run(job) => {
                job(manager);
                Reply::Done
            }
        };
        if answers.send(reply).is_err() {
            return;
        }
    }
}

fn acquire(
    ticket: &'static Ticket,
    patience: Patience,
    token: &CancelToken,
) -> Result<Guard<'static>, Error> {
    match patience {
        Patience::Try => ticket.try_acquire(),
        Patience::For(timeout) => ticket.admit_timeout(timeout),
        Patience::UntilCancelled => ticket.acquire_with(Wait::new().cancel(token)),
        Patience::Endless => ticket.acquire(),
    }
}

fn acquire_owned(
    ticket: &Ticket,
    patience: Patience,
    token: &CancelToken,
) -> Result<OwnedGuard, Error> {
    match patience {
        // There is no such call for owned guards; the model knows.
        Patience::Try => ticket.acquire_owned_with(Wait::new().timeout(Duration::ZERO)),
        Patience::For(timeout) => ticket.acquire_owned_with(Wait::new().timeout(timeout)),
        Patience::UntilCancelled => ticket.acquire_owned_with(Wait::new().cancel(token)),
        Patience::Endless => ticket.acquire_owned(),
    }
}

type Waiting<'a> = &'a dyn Fn(&CancelToken) -> Wait;

fn resize(
    bytes: u64,
    patience: Patience,
    call: impl FnOnce(u64, Option<Waiting<'_>>) -> Result<(), Error>,
) -> Result<(), Error> {
    match patience {
        Patience::Try => call(bytes, None),
        Patience::For(timeout) => call(bytes, Some(&|_| Wait::new().timeout(timeout))),
        Patience::UntilCancelled => call(bytes, Some(&|token| Wait::new().cancel(token))),
        Patience::Endless => call(bytes, Some(&|_| Wait::new())),
    }
}

macro_rules! told {
    ($guard:expr) => {
        Told {
            bytes: $guard.bytes(),
            wanted: $guard.wanted(),
            epoch: $guard.epoch(),
            wired: $guard.is_wired(),
            waited: $guard.waited(),
        }
    };
}

impl Told {
    fn from_guard(guard: &Guard<'_>) -> Self {
        told!(guard)
    }

    fn from_owned(guard: &OwnedGuard) -> Self {
        told!(guard)
    }
}
