//! Acquires and releases that change nothing for others, kept as one record each until the subscribers expand them.
//!
//! They are by far the most frequent events. A record is a few plain stores under the manager's lock; the events that it
//! stands for are made on the subscriber's thread.

use super::{Event, EventKind};
use crate::holders::{About, thread_name};
use crate::sync::{Arc, ThreadId, thread_id};
use std::panic::Location;
use std::time::Instant;

/// After how many records they are handed over even if no subscriber asks.
const BATCH: usize = 64;

/// Records and their origins.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    records: Vec<Record>,
    origins: Vec<Origin>,
}

/// Which ticket on which thread.
#[derive(Debug)]
struct Origin {
    ticket: u64,
    size: u64,
    policy: Arc<str>,
    label: Option<Arc<str>>,
    thread: ThreadId,
    thread_name: Option<Arc<str>>,
}

#[derive(Debug)]
struct Record {
    /// Its index in [`Batch::origins`].
    origin: usize,
    /// Where the guard is acquired; none if it is released.
    acquired: Option<&'static Location<'static>>,
    moment: Moment,
}

/// The state after an acquire or release.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The number of the record's first event.
    pub(crate) sequence: u64,
    pub(crate) time: Instant,
    pub(crate) baseline: u64,
    pub(crate) desired: u64,
    pub(crate) live: u64,
    pub(crate) waiters: u64,
}

impl Record {
    /// How many events it stands for: an acquire is granted, started and computed; a release ended and computed.
    fn events(&self) -> usize {
        if self.acquired.is_some() { 3 } else { 2 }
    }
}

impl Batch {
    /// How many events it stands for.
    pub(super) fn events(&self) -> usize {
        self.records.iter().map(Record::events).sum()
    }

    /// The first `take` events.
    pub(super) fn expand(&self, take: usize) -> impl Iterator<Item = Event> + '_ {
        self.records
            .iter()
            .flat_map(|record| record.expand(&self.origins[record.origin]))
            .take(take)
    }
}

impl Record {
    fn expand(&self, origin: &Origin) -> impl Iterator<Item = Event> {
        let of_ticket = |kind, live| Event {
            kind,
            ticket: Some(origin.ticket),
            size: Some(origin.size),
            policy: Some(origin.policy.clone()),
            label: origin.label.clone(),
            place: self.acquired,
            desired: None,
            live,
            ..self.computed(origin)
        };
        let live = self.moment.live;
        let [first, second] = if self.acquired.is_some() {
            let granted = of_ticket(EventKind::AdmissionGranted, live.saturating_sub(1));
            [
                Some(granted),
                Some(of_ticket(EventKind::TicketStarted, live)),
            ]
        } else {
            [Some(of_ticket(EventKind::TicketEnded, live)), None]
        };
        let all = [first, second, Some(self.computed(origin))];
        let first = self.moment.sequence;
        let numbered = all.into_iter().flatten().zip(first..);
        numbered.map(|(event, sequence)| Event { sequence, ..event })
    }

    /// The limit that is called for is computed after each of them.
    fn computed(&self, origin: &Origin) -> Event {
        Event {
            sequence: 0,
            time: self.moment.time,
            kind: EventKind::LimitComputed,
            ticket: None,
            size: None,
            policy: None,
            label: None,
            place: None,
            thread: origin.thread,
            thread_name: origin.thread_name.clone(),
            baseline: self.moment.baseline,
            desired: Some(self.moment.desired),
            applied: None,
            live: self.moment.live,
            waiters: self.moment.waiters,
        }
    }
}

/// The records that were not handed over yet.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    batch: Batch,
}

impl Journal {
    /// Adds a record of the ticket of this number, on the calling thread. `acquired`: where, or none for a release.
    pub(crate) fn add(
        &mut self,
        ticket: u64,
        about: &About,
        acquired: Option<&'static Location<'static>>,
        moment: Moment,
    ) {
        let thread = thread_id();
        let Batch { records, origins } = &mut self.batch;
        let known = |origin: &Origin| origin.ticket == ticket && origin.thread == thread;
        // Mostly the last one's.
        let index = origins.iter().rposition(known).unwrap_or_else(|| {
            origins.push(Origin {
                ticket,
                size: about.bytes,
                policy: about.policy.clone(),
                label: about.label.clone(),
                thread,
                thread_name: thread_name(),
            });
            origins.len() - 1
        });
        records.push(Record {
            origin: index,
            acquired,
            moment,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.records.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batch.records.len() >= BATCH
    }

    pub(super) fn take(&mut self) -> Batch {
        let next = Batch {
            records: Vec::with_capacity(BATCH),
            origins: Vec::new(),
        };
        std::mem::replace(&mut self.batch, next)
    }
}
