//! The guards of one group that are in no slot.

use super::about::About;
use super::numbers::{ByNumber, Numbers, shrink};
use super::record::{Listing, Record, SHARDS};
use super::recorded::{GuardLocation, Recorded};
use crate::sync::unmodelled::Mutex;
use crate::sync::{Thread, ThreadId, thread_id};
use crossbeam::utils::CachePadded;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// In shards, so that threads seldom meet. A shard is made when a thread of its own first lists a guard.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    shards: [OnceLock<Box<CachePadded<Mutex<Shard>>>>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    guards: ByNumber<Entry>,
    last: u64,
}

impl Shard {
    /// Lists a guard, in the shard of this index.
    fn add(&mut self, index: usize, entry: Entry) -> Record {
        self.last += 1;
        let (shard, number, owned) = (index, self.last, entry.owned);
        self.guards.insert(number, entry);
        Record::listed(owned, Listing { shard, number })
    }
}

/// One guard.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) ticket: u64,
    /// Of a borrowed guard, which may be forgotten and then outlives its ticket.
    pub(super) kept: Option<Arc<About>>,
    pub(super) location: GuardLocation,
    pub(super) thread: Thread,
    /// Of a borrowed guard: whether its thread has ended, so that no other can release it.
    pub(super) ended: Option<Arc<AtomicBool>>,
    /// Released wherever it is dropped: no thread holds it.
    pub(super) owned: bool,
    /// The thread that grows it, and holds it meanwhile.
    pub(super) grower: Option<Thread>,
    pub(super) since: Option<Instant>,
    pub(super) leaked: bool,
}

impl Entry {
    /// An owned guard.
    pub(super) fn owned(ticket: u64, location: GuardLocation, thread: Thread) -> Self {
        Self {
            ticket,
            kept: None,
            location,
            thread,
            ended: None,
            owned: true,
            grower: None,
            since: None,
            leaked: false,
        }
    }

    fn seen(&self) -> Recorded<'_> {
        let has_ended = |ended: &Arc<AtomicBool>| ended.load(Ordering::Relaxed);
        Recorded {
            ticket: self.ticket,
            kept: self.kept.as_ref(),
            location: self.location,
            thread: self.grower.as_ref().unwrap_or(&self.thread),
            of_thread: !self.owned || self.grower.is_some(),
            since: self.since,
            leaked: self.leaked,
            ended: self.ended.as_ref().is_some_and(has_ended),
        }
    }
}

/// A thread's shard. Threads that are started one after another have different ones.
pub(super) fn shard_of(thread: ThreadId) -> usize {
    let mut number = Numbers::default();
    thread.hash(&mut number);
    number.finish() as usize % SHARDS
}

impl Listed {
    fn shard(&self, index: usize) -> &Mutex<Shard> {
        self.shards[index].get_or_init(Box::default)
    }

    /// Lists a guard of the calling thread.
    #[cold]
    pub(super) fn add(&self, entry: Entry) -> Record {
        let index = shard_of(thread_id());
        self.shard(index).lock().add(index, entry)
    }

    /// Lists a guard that was in a slot.
    pub(super) fn insert(&self, listing: Listing, entry: Entry) {
        let mut shard = self.shard(listing.shard).lock();
        shard.guards.insert(listing.number, entry);
    }

    pub(super) fn change(&self, listing: Listing, change: impl FnOnce(&mut Entry)) {
        let Some(shard) = self.shards[listing.shard].get() else {
            return;
        };
        if let Some(entry) = shard.lock().guards.get_mut(&listing.number) {
            change(entry);
        }
    }

    pub(super) fn remove(&self, listing: Listing) -> Option<Entry> {
        let mut shard = self.shards[listing.shard].get()?.lock();
        let entry = shard.guards.remove(&listing.number);
        shrink(&mut shard.guards);
        entry
    }

    /// Gives an owned guard that was listed as of a slot a number of its own. Returns its record.
    pub(super) fn renumber(&self, listing: Listing) -> Option<Record> {
        let Listing {
            shard: index,
            number,
        } = listing;
        let mut shard = self.shards[index].get()?.lock();
        let entry = shard.guards.remove(&number)?;
        Some(shard.add(index, entry))
    }

    /// Whether a guard was ever listed.
    pub(crate) fn is_made(&self) -> bool {
        self.shards.iter().any(|shard| shard.get().is_some())
    }

    /// At most `most` of them, in no order. Returns how many.
    pub(crate) fn each(&self, most: usize, visit: &mut impl FnMut(Recorded<'_>)) -> usize {
        let mut left = most;
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            let shard = shard.lock();
            for entry in shard.guards.values().take(left) {
                visit(entry.seen());
                left -= 1;
            }
        }
        most - left
    }
}
