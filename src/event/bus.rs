//! The manager's side: hands each event to every subscriber without waiting.

use super::Event;
use super::journal::Journal;
use super::subscriber::{JournalOwner, Message, Subscriber, Subscribers, Tally};
use crate::sync::unmodelled::{AtomicBool, AtomicU64, Mutex};
use crate::sync::{Arc, Ordering, Weak};
use arc_swap::ArcSwap;
use crossbeam::channel::{self, Sender};

#[derive(Debug)]
struct Tap {
    sender: Sender<Message>,
    tally: Arc<Tally>,
}

impl Tap {
    /// Sends as many of `events` as fit. `message` makes the message of so many.
    fn send(&self, events: u64, message: impl FnOnce(u64) -> Message) {
        // Only the bus adds, and its callers serialise themselves: what is free can only grow meanwhile.
        let queued = self.tally.queued.load(Ordering::Relaxed);
        let sent = events.min(self.tally.capacity.saturating_sub(queued));
        if sent < events {
            self.tally.lost.fetch_add(events - sent, Ordering::Relaxed);
        }
        if sent > 0 {
            self.tally.queued.fetch_add(sent, Ordering::Relaxed);
            // Fails only if the subscriber is gone.
            drop(self.sender.send(message(sent)));
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Bus {
    taps: ArcSwap<Vec<Arc<Tap>>>,
    /// Serialises changes of `taps`.
    changing: Mutex<()>,
    /// A subscriber was added, and not all were seen to be gone.
    watched: AtomicBool,
    subscribers: Arc<Subscribers>,
    sequence: AtomicU64,
}

impl Bus {
    pub(crate) fn subscribe(
        &self,
        capacity: usize,
        manager: Option<Weak<dyn JournalOwner>>,
    ) -> Subscriber {
        // Bounded by the tally, so that no memory is taken for what never comes.
        let (sender, receiver) = channel::unbounded();
        let tally = Arc::new(Tally {
            capacity: capacity.max(1) as u64,
            queued: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            open: AtomicBool::new(true),
            all: self.subscribers.clone(),
        });
        let tap = Arc::new(Tap {
            sender,
            tally: tally.clone(),
        });
        let _changing = self.changing.lock();
        let mut taps = self.open_taps();
        taps.push(tap);
        self.taps.store(Arc::new(taps));
        self.watched.store(true, Ordering::Relaxed);
        Subscriber::new(receiver, tally, manager)
    }

    fn open_taps(&self) -> Vec<Arc<Tap>> {
        let taps = self.taps.load();
        taps.iter()
            .filter(|tap| tap.tally.open.load(Ordering::Relaxed))
            .cloned()
            .collect()
    }

    /// Whether a subscriber lives; forgets those that are gone.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        // Relaxed: a thread subscribes under the manager's lock, and one that takes the lock afterwards sees it.
        self.watched.load(Ordering::Relaxed)
            && (!self.subscribers.gone.load(Ordering::Relaxed) || self.forget_gone())
    }

    /// Forgets subscribers that are gone. Returns whether any is left.
    #[cold]
    fn forget_gone(&self) -> bool {
        let _changing = self.changing.lock();
        // Acquire: what has gone is seen as gone.
        self.subscribers.gone.swap(false, Ordering::Acquire);
        let taps = self.open_taps();
        self.watched.store(!taps.is_empty(), Ordering::Relaxed);
        self.taps.store(Arc::new(taps));
        self.watched.load(Ordering::Relaxed)
    }

    /// The number of the next of so many events. Callers serialise themselves.
    pub(crate) fn number(&self, events: u64) -> u64 {
        let next = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(next + events, Ordering::Relaxed);
        next
    }

    /// Delivers `event`, which gets the next number, after what the journal holds. Callers serialise themselves.
    pub(crate) fn emit(&self, journal: &mut Journal, mut event: Event) {
        self.deliver_journal(journal);
        event.sequence = self.number(1);
        for tap in self.taps.load().iter() {
            tap.send(1, |_| Message::One(Box::new(event.clone())));
        }
    }

    /// Whether records should be handed over: there are many, or a subscriber sleeps.
    pub(crate) fn is_due(&self, journal: &Journal) -> bool {
        journal.is_full() || self.subscribers.waiting.load(Ordering::Relaxed) > 0
    }

    /// Delivers what the journal holds. Callers serialise themselves.
    pub(crate) fn deliver_journal(&self, journal: &mut Journal) {
        if journal.is_empty() {
            return;
        }
        let batch = Arc::new(journal.take());
        let events = batch.events() as u64;
        for tap in self.taps.load().iter() {
            tap.send(events, |take| Message::Batch {
                batch: batch.clone(),
                take: take as usize,
            });
        }
    }
}

impl Subscriber {
    /// One that receives nothing, for a forked child: the bus is its parent's.
    pub(crate) fn silent(capacity: usize) -> Self {
        Bus::default().subscribe(capacity, None)
    }
}
