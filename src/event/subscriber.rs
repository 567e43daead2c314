//! The receiving end of a manager's events.

use super::Event;
use super::journal::Batch;
use crate::fork::{self, Inherited};
use crate::sync::unmodelled::{AtomicBool, AtomicU64, Mutex};
use crate::sync::{Arc, Ordering, Weak};
use crossbeam::channel::{self, Receiver, Select, Sender, TryRecvError};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Receives a manager's events.
///
/// The channel is bounded: when it is full, events are lost to this subscriber and counted. Threads that share a
/// subscriber share the events: each event goes to one of them. In a forked child it receives nothing more.
/// Dropping the subscriber ends the subscription.
#[derive(Debug)]
pub struct Subscriber {
    receiver: Inherited<Receiver<Message>>,
    tally: Arc<Tally>,
    /// Those of the last message that were not taken yet.
    pending: Mutex<VecDeque<Event>>,
    /// Holds a token while events are pending and a thread may sleep: what another thread took out of the channel wakes none.
    left: (Sender<()>, Receiver<()>),
    /// Keeps records that it hands over when it is asked.
    manager: Option<Weak<dyn JournalOwner>>,
}

/// What keeps records for its subscribers until one asks for them.
pub(crate) trait JournalOwner: Send + Sync {
    /// Hands over what is kept.
    fn deliver_journal(&self);
}

impl std::fmt::Debug for dyn JournalOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JournalOwner")
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Message {
    One(Box<Event>),
    /// The first events of a batch.
    Batch {
        batch: Arc<Batch>,
        take: usize,
    },
}

/// What the two ends of a subscription share.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) capacity: u64,
    /// Events in the channel, and those of the last message that were not taken yet.
    pub(super) queued: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Cleared when the subscriber is dropped.
    pub(super) open: AtomicBool,
    pub(super) all: Arc<Subscribers>,
}

/// What the bus must know of its subscribers at each event.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    /// One was dropped since the bus last looked.
    pub(super) gone: AtomicBool,
    /// So many sleep, or are about to: records are sent at once.
    pub(super) waiting: AtomicU64,
}

impl Subscriber {
    pub(super) fn new(
        receiver: Receiver<Message>,
        tally: Arc<Tally>,
        manager: Option<Weak<dyn JournalOwner>>,
    ) -> Self {
        Self {
            receiver: Inherited::new(receiver),
            tally,
            pending: Mutex::default(),
            left: channel::bounded(1),
            manager,
        }
    }

    /// Takes the next event if one is there.
    #[must_use]
    pub fn try_recv(&self) -> Option<Event> {
        if fork::is_child() {
            return None;
        }
        self.next_received().ok().or_else(|| {
            // What happened last may not have been handed over.
            self.manager.as_ref()?.upgrade()?.deliver_journal();
            self.next_received().ok()
        })
    }

    /// Waits for the next event; `None` once the manager is gone or the time is over.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        if fork::is_child() {
            return None;
        }
        let deadline = Instant::now().checked_add(timeout);
        // Relaxed: set before the manager's lock is taken to hand over; a thread that adds a record after that sees it.
        self.tally.all.waiting.fetch_add(1, Ordering::Relaxed);
        let event = self.try_recv().or_else(|| self.wait(deadline));
        self.tally.all.waiting.fetch_sub(1, Ordering::Relaxed);
        event
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Event> {
        let mut select = Select::new();
        select.recv(&*self.receiver);
        select.recv(&self.left.1);
        loop {
            // Before it looks: a thread that leaves events after that puts another there.
            let _token = self.left.1.try_recv();
            match self.next_received() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Disconnected) => return None,
                // At first, or since another thread that shares the subscriber was faster.
                Err(TryRecvError::Empty) => {}
            }
            let _only_one = match deadline {
                Some(deadline) => select.ready_deadline(deadline).ok()?,
                None => select.ready(),
            };
        }
    }

    /// Takes all events that are there, and those that come meanwhile.
    pub fn drain(&self) -> impl Iterator<Item = Event> + '_ {
        std::iter::from_fn(|| self.try_recv())
    }

    /// How many events this subscriber has lost because it was slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        // A statistic: it orders nothing.
        self.tally.lost.load(Ordering::Relaxed)
    }

    fn next_received(&self) -> Result<Event, TryRecvError> {
        // Held throughout: what one thread takes out of the channel, no other that shares the subscriber may pass.
        let mut pending = self.pending.lock();
        loop {
            if let Some(event) = pending.pop_front() {
                self.tally.queued.fetch_sub(1, Ordering::Relaxed);
                // Relaxed: a waiting thread has looked before, under the lock that is held here, or will find the rest itself.
                if !pending.is_empty() && self.tally.all.waiting.load(Ordering::Relaxed) > 0 {
                    // Fails only if a token is there.
                    let _told = self.left.0.try_send(());
                }
                return Ok(event);
            }
            match self.receiver.try_recv()? {
                Message::One(event) => pending.push_back(*event),
                Message::Batch { batch, take } => pending.extend(batch.expand(take)),
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Release: a thread that sees that one has gone finds out which. A swap: of several the first is found out too.
        self.tally.open.store(false, Ordering::Relaxed);
        self.tally.all.gone.swap(true, Ordering::Release);
    }
}
