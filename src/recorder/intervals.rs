//! From single events to guards and waits with a beginning and an end.

use super::Recording;
use crate::snapshot::Waiter;
use crate::sync::ThreadId;
use crate::{Event, EventKind, Holder};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A guard's life, or a wait for admission.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Interval {
    /// Guard or wait.
    pub what: What,
    /// The ticket's [id](crate::Ticket::id).
    pub ticket: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its policy's label.
    pub policy: Arc<str>,
    /// Its name.
    pub label: Option<Arc<str>>,
    /// Where it was acquired, if that was recorded.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::place::optional"))]
    pub place: Option<&'static Location<'static>>,
    /// The thread that acquired.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::thread"))]
    pub thread: ThreadId,
    /// That thread's name.
    pub thread_name: Option<Arc<str>>,
    /// When it began, after the [beginning](Recording::begin) of the recording.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub from: Duration,
    /// When it ended; if it did not, the end of the recording.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialize::duration"))]
    pub to: Duration,
    /// Whether `from` is when it began, not only from when on it is known.
    pub begin_known: bool,
    /// How it ended.
    pub end: End,
}

/// What an [`Interval`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum What {
    /// A guard lives.
    Guard,
    /// An acquire or a resize waits for admission.
    Wait,
}

/// How an [`Interval`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum End {
    /// The guard was released.
    Released,
    /// The guard went on with another size.
    Resized,
    /// The wait ended with admission.
    Admitted,
    /// The wait's deadline came.
    TimedOut,
    /// The wait was cancelled.
    Cancelled,
    /// The wait ended with another error.
    Failed,
    /// It had not ended when the recording did.
    Open,
    /// Whether it ended, and how, was not recorded.
    Unknown,
}

impl End {
    /// Whether a wait ended so without admission.
    pub(super) const fn is_refusal(self) -> bool {
        matches!(self, Self::TimedOut | Self::Cancelled | Self::Failed)
    }
}

impl Interval {
    /// The ticket's name, or its policy's label if it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label.as_ref().unwrap_or(&self.policy)
    }

    /// The same, of which only the end was told.
    fn begun_before(mut self) -> Self {
        self.begin_known = false;
        self
    }

    /// How long it was.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

impl Recording {
    /// Every guard and wait, in the order in which they began.
    #[must_use]
    pub fn intervals(&self) -> Vec<Interval> {
        let mut builder = Builder::new(self);
        for event in &self.events {
            builder.apply_event(event);
        }
        builder.finish()
    }
}

/// Pairs beginnings with ends.
///
/// Events name the ticket, not the guard. Guards of one ticket on one thread are alike, so any of them may be the
/// one that ends.
struct Builder<'a> {
    recording: &'a Recording,
    done: Vec<Interval>,
    /// Open guards by ticket.
    guards: HashMap<u64, Vec<Interval>>,
    /// By the tickets of resized guards, those that they had before.
    resized: HashMap<u64, u64>,
    /// Open waits; a thread waits for one thing at a time.
    waits: HashMap<ThreadId, Interval>,
}

impl<'a> Builder<'a> {
    fn new(recording: &'a Recording) -> Self {
        let mut builder = Self {
            recording,
            done: Vec::new(),
            guards: HashMap::new(),
            resized: HashMap::new(),
            waits: HashMap::new(),
        };
        // Once events were dropped, it is not known which of the first guards still live, and which waiters still wait.
        if recording.dropped == 0 {
            for holder in &recording.at_start.guards {
                let guard = of_holder(holder, Duration::ZERO);
                builder.guards.entry(guard.ticket).or_default().push(guard);
            }
            for waiter in &recording.at_start.waiters {
                let wait = of_waiter(waiter, Duration::ZERO);
                builder.waits.insert(wait.thread, wait);
            }
        }
        builder
    }

    fn at(&self, time: Instant) -> Duration {
        self.recording.after_begin(time)
    }

    fn apply_event(&mut self, event: &Event) {
        let now = self.at(event.time);
        match &event.kind {
            EventKind::AdmissionWait => {
                self.end_wait(event, now, End::Unknown);
                if let Some(wait) = of_event(What::Wait, event, now) {
                    self.waits.insert(wait.thread, wait);
                }
            }
            EventKind::AdmissionGranted => self.end_wait(event, now, End::Admitted),
            EventKind::AdmissionTimedOut => self.end_wait(event, now, End::TimedOut),
            EventKind::AdmissionCancelled => self.end_wait(event, now, End::Cancelled),
            EventKind::AdmissionFailed(_) => self.end_wait(event, now, End::Failed),
            EventKind::TicketStarted => {
                self.end_wait(event, now, End::Unknown);
                if let Some(guard) = of_event(What::Guard, event, now) {
                    self.guards.entry(guard.ticket).or_default().push(guard);
                }
            }
            EventKind::TicketResized { from_ticket, .. } => {
                self.end_wait(event, now, End::Admitted);
                self.resize(event, *from_ticket, now);
            }
            EventKind::TicketEnded => self.release(event, now),
            _ => {}
        }
    }

    fn end_wait(&mut self, event: &Event, now: Duration, end: End) {
        // What began before the first event that was kept. A demand that is admitted may not have waited.
        let told = self.waits.remove(&event.thread).or_else(|| {
            let wait = of_event(What::Wait, event, Duration::ZERO);
            wait.filter(|_| end.is_refusal())
                .map(Interval::begun_before)
        });
        let Some(mut wait) = told else { return };
        // Another ticket's event says only that this wait is over.
        wait.end = if event.ticket == Some(wait.ticket) {
            end
        } else {
            End::Unknown
        };
        wait.to = now;
        self.done.push(wait);
    }

    fn release(&mut self, event: &Event, now: Duration) {
        let Some(ticket) = event.ticket else { return };
        let guard = self.remove_open(ticket, event.thread);
        // What began before the first event that was kept.
        let guard = guard
            .or_else(|| of_event(What::Guard, event, Duration::ZERO).map(Interval::begun_before));
        if let Some(guard) = guard {
            self.close(guard, now, End::Released);
        }
    }

    /// A resized guard has another ticket.
    fn resize(&mut self, event: &Event, from_ticket: u64, now: Duration) {
        let Some(mut resized) = of_event(What::Guard, event, now) else {
            return;
        };
        match self.remove_open(from_ticket, event.thread) {
            Some(old) => {
                // It stays on the thread that acquired it.
                (resized.thread, resized.thread_name) = (old.thread, old.thread_name.clone());
                self.close(old, now, End::Resized);
            }
            None => resized.begin_known = false,
        }
        self.resized.insert(resized.ticket, from_ticket);
        self.guards.entry(resized.ticket).or_default().push(resized);
    }

    /// Takes the newest of a ticket's open guards on `thread`; if it has none, on any other.
    fn remove_open(&mut self, ticket: u64, thread: ThreadId) -> Option<Interval> {
        let open = self.guards.get_mut(&ticket)?;
        let own = open.iter().rposition(|guard| guard.thread == thread);
        let index = own.or(open.len().checked_sub(1))?;
        Some(open.remove(index))
    }

    fn close(&mut self, mut interval: Interval, to: Duration, end: End) {
        interval.to = to;
        interval.end = end;
        self.done.push(interval);
    }

    /// What is open is still open only if the manager says so.
    fn finish(mut self) -> Vec<Interval> {
        let end = self.recording.duration();
        let at_end = self.recording.at_end.as_ref();
        let is_complete = self.recording.missing() == 0 && at_end.is_some();
        for waiter in at_end.map_or(&[][..], |state| &state.waiters) {
            let told = match self.waits.entry(waiter.thread) {
                Entry::Occupied(wait) if wait.get().ticket == waiter.ticket => Some(wait.remove()),
                _ => None,
            };
            // Its beginning is among those that are missing.
            let from = end.saturating_sub(waiter.waited);
            let wait = told.unwrap_or_else(|| of_waiter(waiter, from));
            self.close(wait, end, End::Open);
        }
        for (_, wait) in std::mem::take(&mut self.waits) {
            self.close(wait, end, End::Unknown);
        }
        let mut unmatched = Vec::new();
        for holder in at_end.map_or(&[][..], |state| &state.guards) {
            match self.remove_open(holder.ticket, holder.thread) {
                Some(guard) => self.close(guard, end, End::Open),
                None => unmatched.push(holder),
            }
        }
        for holder in unmatched {
            // The guard waits for the limit with a new size, and is listed with the old one.
            let mut resized = self.resized.iter();
            let resized = resized.find(|(to, from)| {
                let open = self.guards.get(*to);
                **from == holder.ticket && open.is_some_and(|open| !open.is_empty())
            });
            let ticket = resized.map(|(to, _)| *to);
            let guard = ticket.and_then(|ticket| self.remove_open(ticket, holder.thread));
            // Listed a little later than the last event was told, on its way to its guard when the recording began, or
            // its beginning is among those that are missing.
            let from = match holder.age {
                Some(age) => end.saturating_sub(age),
                None if is_complete => end,
                None => Duration::ZERO,
            };
            let guard = guard.unwrap_or_else(|| of_holder(holder, from));
            self.close(guard, end, End::Open);
        }
        let mut left: Vec<Interval> = self.guards.drain().flat_map(|(_, open)| open).collect();
        // Listed a little later than the first event, so that it was taken for two.
        left.retain(|guard| guard.begin_known || !is_complete);
        for guard in left {
            self.close(guard, end, End::Unknown);
        }
        self.done
            .sort_by_key(|interval| (interval.from, interval.ticket));
        self.done
    }
}

fn of_event(what: What, event: &Event, from: Duration) -> Option<Interval> {
    Some(Interval {
        what,
        ticket: event.ticket?,
        bytes: event.size?,
        policy: event.policy.clone()?,
        label: event.label.clone(),
        place: event.place,
        thread: event.thread,
        thread_name: event.thread_name.clone(),
        from,
        to: from,
        begin_known: true,
        end: End::Open,
    })
}

/// A wait that began before anything was recorded.
fn of_waiter(waiter: &Waiter, from: Duration) -> Interval {
    Interval {
        what: What::Wait,
        ticket: waiter.ticket,
        bytes: waiter.bytes,
        policy: waiter.policy.clone(),
        label: waiter.label.clone(),
        place: Some(waiter.place),
        thread: waiter.thread,
        thread_name: waiter.thread_name.clone(),
        from,
        to: from,
        begin_known: false,
        end: End::Open,
    }
}

/// A guard that lived before anything was recorded.
fn of_holder(holder: &Holder, from: Duration) -> Interval {
    Interval {
        what: What::Guard,
        ticket: holder.ticket,
        bytes: holder.bytes,
        policy: holder.policy.clone(),
        label: holder.label.clone(),
        place: Some(holder.place),
        thread: holder.thread,
        thread_name: holder.thread_name.as_deref().map(Arc::from),
        from,
        to: from,
        begin_known: false,
        end: End::Open,
    }
}
