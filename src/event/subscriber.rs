//! The receiving end of a manager's events.

use super::Event;
use super::journal::Batch;
use crate::manager::Inner;
use crate::sync::unmodelled::{AtomicBool, AtomicU64, Mutex};
use crate::sync::{Arc, Ordering, Weak};
use crossbeam::channel::Receiver;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Receives a manager's events.
///
/// The channel is bounded: when it is full, events are lost to this subscriber and counted.
/// Dropping the subscriber ends the subscription.
#[derive(Debug)]
pub struct Subscriber {
    receiver: Receiver<Message>,
    tally: Arc<Tally>,
    /// Those of the last message that were not taken yet.
    pending: Mutex<VecDeque<Event>>,
    /// Keeps records that it hands over when it is asked.
    manager: Weak<Inner>,
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

impl Message {
    fn events(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Batch { take, .. } => *take,
        }
    }
}

/// What the two ends of a subscription share.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) capacity: u64,
    /// Events in the channel.
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
        manager: Weak<Inner>,
    ) -> Self {
        Self {
            receiver,
            tally,
            pending: Mutex::default(),
            manager,
        }
    }

    /// Takes the next event if one is there.
    #[must_use]
    pub fn try_recv(&self) -> Option<Event> {
        self.next_received().or_else(|| {
            // What happened last may not have been handed over.
            self.manager.upgrade()?.hand_over();
            self.next_received()
        })
    }

    /// Waits for the next event; `None` once the manager is gone or the time is over.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now().checked_add(timeout);
        // Relaxed: set before the manager's lock is taken to hand over; who adds a record after that sees it.
        self.tally.all.waiting.fetch_add(1, Ordering::Relaxed);
        let event = self.try_recv().or_else(|| {
            let message = match deadline {
                Some(deadline) => self.receiver.recv_deadline(deadline).ok()?,
                None => self.receiver.recv().ok()?,
            };
            self.open(message);
            self.next_received()
        });
        self.tally.all.waiting.fetch_sub(1, Ordering::Relaxed);
        event
    }

    /// Takes all events that are there.
    pub fn drain(&self) -> impl Iterator<Item = Event> + '_ {
        std::iter::from_fn(|| self.try_recv())
    }

    /// How many events this subscriber has lost because it was slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        // A statistic: it orders nothing.
        self.tally.lost.load(Ordering::Relaxed)
    }

    fn next_received(&self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.lock().pop_front() {
                return Some(event);
            }
            self.open(self.receiver.try_recv().ok()?);
        }
    }

    fn open(&self, message: Message) {
        let events = message.events() as u64;
        self.tally.queued.fetch_sub(events, Ordering::Relaxed);
        let mut pending = self.pending.lock();
        match message {
            Message::One(event) => pending.push_back(*event),
            Message::Batch { batch, take } => pending.extend(batch.expand(take)),
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Release: whoever sees that one has gone finds out which.
        self.tally.open.store(false, Ordering::Relaxed);
        self.tally.all.gone.store(true, Ordering::Release);
    }
}
