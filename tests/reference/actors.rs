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
        for_holds: bool,
        token: CancelToken,
        owned: bool,
    },
    Resize {
        guard: u64,
        bytes: u64,
        patience: Patience,
        for_holds: bool,
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
                for_holds,
                token,
                owned: false,
            } => Reply::Guard(acquire(ticket, patience, for_holds, &token).map(|taken| {
                let told = Told::from_guard(&taken);
                own.insert(guard, taken);
                told
            })),
            Command::Acquire {
                guard,
                ticket,
                patience,
                for_holds,
                token,
                owned: true,
            } => Reply::Guard(
                acquire_owned(ticket, patience, for_holds, &token).map(|taken| {
                    let told = Told::from_owned(&taken);
                    pool.put(guard, taken);
                    told
                }),
            ),
            Command::Resize {
                guard,
                bytes,
                patience,
                for_holds,
                token,
            } => Reply::Guard(match own.get_mut(&guard) {
                Some(held) => match wait(patience, for_holds, &token) {
                    Some(wait) => held.resize_with(bytes, wait),
                    None => held.try_resize(bytes),
                }
                .map(|()| Told::from_guard(held)),
                None => {
                    let mut held = pool.take(guard).expect("an owned guard");
                    let result = match wait(patience, for_holds, &token) {
                        Some(wait) => held.resize_with(bytes, wait),
                        None => held.try_resize(bytes),
                    };
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

/// The bounds of a wait; nothing if it may not wait.
fn wait(patience: Patience, for_holds: bool, token: &CancelToken) -> Option<Wait> {
    let wait = match patience {
        Patience::Try => return None,
        Patience::For(timeout) => Wait::new().timeout(timeout),
        Patience::UntilCancelled => Wait::new().cancel(token),
        Patience::Endless => Wait::new(),
    };
    Some(if for_holds { wait.for_holds() } else { wait })
}

fn acquire(
    ticket: &'static Ticket,
    patience: Patience,
    for_holds: bool,
    token: &CancelToken,
) -> Result<Guard<'static>, Error> {
    match (patience, wait(patience, for_holds, token)) {
        (Patience::Endless, _) if !for_holds => ticket.acquire(),
        (Patience::For(timeout), _) if !for_holds => ticket.admit_timeout(timeout),
        (_, Some(wait)) => ticket.acquire_with(wait),
        (_, None) => ticket.try_acquire(),
    }
}

fn acquire_owned(
    ticket: &Ticket,
    patience: Patience,
    for_holds: bool,
    token: &CancelToken,
) -> Result<OwnedGuard, Error> {
    // There is no such call for owned guards that may not wait; the model knows.
    let at_once = || Wait::new().timeout(Duration::ZERO);
    ticket.acquire_owned_with(wait(patience, for_holds, token).unwrap_or_else(at_once))
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
