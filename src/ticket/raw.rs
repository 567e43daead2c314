//! What a guard of either kind is made of.

use super::Ticket;
use super::finish::{Hook, Work, finish};
use super::released::Released;
use crate::Error;
use crate::fork;
use crate::holders::{self, Record};
use crate::manager::AcquireWait;
use crate::manager::state::grant::Admission;
use crate::manager::state::pinned::PinKey;
use crate::manager::state::word::Word;
use crate::sync::Ordering;
#[cfg(feature = "tracing")]
use crate::trace::GuardSpan;
use crate::wait::Wait;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::time::{Duration, Instant};

/// What a guard remembers of its admission. Released by [`Raw::release_borrowed`] or [`Raw::release`], once.
pub(super) struct Raw {
    /// The group's word at admission; or, if it [stays](Record::stays), what the group called for then.
    at: u64,
    record: Record,
    /// What most guards never have. Emptied by the release, so that dropping the guard checks it once.
    extra: ManuallyDrop<Option<Box<Extra>>>,
}

#[derive(Default)]
struct Extra {
    waited: Duration,
    wanted: Option<u64>,
    epoch: u64,
    hook: Option<Hook>,
    /// Its key among the pinned demands, if it is one.
    pin: Option<PinKey>,
    /// What the guard holds since it was resized, in place of its ticket.
    resized: Option<Ticket>,
    /// Closed once the guard is released.
    #[cfg(feature = "tracing")]
    span: Option<GuardSpan>,
}

impl From<Admission> for Extra {
    fn from(admission: Admission) -> Self {
        Self {
            waited: admission.waited,
            wanted: Some(admission.wanted),
            epoch: admission.epoch,
            pin: admission.pin,
            hook: None,
            resized: None,
            #[cfg(feature = "tracing")]
            span: None,
        }
    }
}

/// Records a borrowed guard, with when it was acquired if that is known.
fn record_dated(
    ticket: &Ticket,
    location: &'static Location<'static>,
    since: Option<Instant>,
) -> Record {
    let record = ticket.record(location);
    match since {
        Some(at) => holders::note_since(record, &ticket.group().listed, at),
        None => record,
    }
}

impl Raw {
    /// Stands in for one that was taken out of its guard.
    pub(super) const EMPTY: Self = Self {
        at: 0,
        record: Record::NONE,
        extra: ManuallyDrop::new(None),
    };

    /// A guard that the fast path gave.
    #[inline]
    pub(super) fn fast(word: Word, record: Record) -> Self {
        Self {
            at: word.0,
            record,
            extra: ManuallyDrop::new(None),
        }
    }

    /// A borrowed guard that was admitted as fast while a subscriber listened.
    pub(super) fn watched(
        word: Word,
        since: Instant,
        ticket: &Ticket,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            at: word.0,
            record: record_dated(ticket, location, Some(since)),
            extra: ManuallyDrop::new(None),
        }
    }

    /// A borrowed guard that the slow path gave.
    pub(super) fn slow(
        admission: Admission,
        ticket: &Ticket,
        location: &'static Location<'static>,
    ) -> Self {
        ticket.add_staying();
        let record = record_dated(ticket, location, admission.since);
        let wanted = admission.wanted;
        // A driving guard's epoch lives as long as the guard.
        let is_plain = admission.waited.is_zero() && !ticket.is_pinned();
        Self {
            at: wanted,
            record: record.staying(),
            extra: ManuallyDrop::new((!is_plain).then(|| Box::new(admission.into()))),
        }
    }

    /// An owned guard that the slow path gave.
    pub(super) fn owned(admission: Admission, record: Record) -> Self {
        Self {
            at: admission.word.0,
            record,
            extra: ManuallyDrop::new(Some(Box::new(admission.into()))),
        }
    }

    pub(super) fn wanted(&self, ticket: &Ticket) -> u64 {
        let known = self.extra.as_ref().and_then(|extra| extra.wanted);
        known.unwrap_or_else(|| {
            if self.record.stays() {
                return self.at;
            }
            let sum = Word(self.at).sum();
            ticket.manager().wanted(self.held(ticket).request(), sum)
        })
    }

    pub(super) fn waited(&self) -> Duration {
        self.extra
            .as_ref()
            .map_or(Duration::ZERO, |extra| extra.waited)
    }

    pub(super) fn epoch(&self, ticket: &Ticket) -> u64 {
        match &*self.extra {
            Some(extra) if !ticket.kind().is_driving() => extra.epoch,
            // A driving guard's epoch lives as long as the guard.
            _ => ticket.manager().epoch(),
        }
    }

    pub(super) fn is_wired(&self, ticket: &Ticket) -> bool {
        ticket
            .manager()
            .has_wired(ticket.request(), self.wanted(ticket))
    }

    /// Notes that the guard is leaked on purpose.
    pub(super) fn note_leak(&self, ticket: &Ticket) {
        if fork::is_child() {
            return;
        }
        let list = &ticket.group().listed;
        let record = holders::out_of_owned_slot(self.record, list);
        holders::note_leak(record, list);
        let pin = self.extra.as_ref().and_then(|extra| extra.pin);
        if let Some(location) = holders::location_of(record, list) {
            ticket
                .manager()
                .leak(self.held(ticket).request(), pin, location);
        }
    }

    /// The same with an open span, if a `tracing` subscriber wants it.
    #[cfg(feature = "tracing")]
    #[inline]
    pub(super) fn traced(mut self, ticket: &Ticket) -> Self {
        if let Some(span) = GuardSpan::open(ticket.id, ticket.request().about()) {
            self.extra().span = Some(span);
        }
        self
    }

    pub(super) fn set_hook(&mut self, hook: Hook) {
        self.extra().hook = Some(hook);
    }

    /// What the fast path never has, for a guard whose release is not the fast one from now on.
    fn extra(&mut self) -> &mut Extra {
        self.record = self.record.slow();
        self.extra.get_or_insert_default()
    }

    /// Releases.
    #[inline(always)]
    pub(super) fn release_borrowed(&mut self, ticket: &Ticket) {
        let Self { at, record, .. } = *self;
        let gates = ticket.gates();
        let left = if record.is_plain_slot() {
            ticket.subtract_if_floor_kept(Word(at), gates)
        } else {
            None
        };
        match left {
            Some(left) if left.is_quiet(gates.floor.load(Ordering::Acquire)) => {
                holders::forget_slot(record);
            }
            // In registers: what is in memory is stored between the two read-modify-writes of every guard.
            _ => Self::finish_release(ticket, left, record, self.extra.take()),
        }
    }

    /// Releases an owned guard.
    #[inline]
    pub(super) fn release_owned(&mut self, ticket: &Ticket, work: Work) {
        if fork::is_child() {
            return;
        }
        if self.extra.is_none() && ticket.release_owned_unlocked() {
            return holders::forget(self.record, &ticket.group().listed);
        }
        std::mem::replace(self, Self::EMPTY).release_slow(ticket, work);
    }

    /// Ends a guard of whose demand so much is left behind, or which has not left yet.
    #[inline(never)]
    fn finish_release(
        ticket: &Ticket,
        left: Option<Word>,
        record: Record,
        extra: Option<Box<Extra>>,
    ) {
        let has_left = match left {
            Some(left) => {
                ticket.look_under_lock_if_needed(left, false);
                true
            }
            None => record.is_plain_slot() && ticket.try_release_unlocked(),
        };
        if has_left {
            return holders::forget_slot(record);
        }
        let raw = Self {
            record,
            extra: ManuallyDrop::new(extra),
            ..Self::EMPTY
        };
        raw.release_slow(ticket, Work::Here);
    }

    #[cold]
    #[inline(never)]
    fn release_slow(mut self, ticket: &Ticket, work: Work) {
        if fork::is_child() {
            // What it has besides is the parent's, too: it is not dropped.
            return;
        }
        let resized = self.take_resized();
        let ticket = resized.as_ref().unwrap_or(ticket);
        if self.stays() {
            ticket.subtract_staying();
        }
        let manager = ticket.manager();
        let hook = self.take_hook();
        let finishes = hook.is_some() || manager.finishes_each();
        if finishes {
            // What went wrong is in an event.
            drop(finish(ticket, hook, work));
            if fork::is_child() {
                // The hook has forked.
                return;
            }
        }
        // One that was grown changes what the limit is rounded to.
        let may_be_quiet = !ticket.is_grown() && (ticket.group().custom || manager.is_watched());
        if may_be_quiet && manager.release_without_session(ticket.request()) {
            drop(self.extra.take());
            holders::forget(self.record, &ticket.group().listed);
            return;
        }
        if !finishes {
            drop(finish(ticket, None, work));
        }
        self.release_demand(ticket);
    }

    /// Releases and tells.
    pub(super) fn release(mut self, ticket: &Ticket, work: Work) -> Released {
        if fork::is_child() {
            return forked(ticket);
        }
        let resized = self.take_resized();
        let ticket = resized.as_ref().unwrap_or(ticket);
        if self.stays() {
            ticket.subtract_staying();
        }
        let manager = ticket.manager();
        let before = manager.applied();
        let error = finish(ticket, self.take_hook(), work);
        if fork::is_child() {
            // The hook has forked.
            return forked(ticket);
        }
        let failed = self.release_demand(ticket);
        let limit = manager.applied();
        let error = error.or_else(|| failed.map(|failed| *failed));
        Released {
            limit,
            lowered: limit < before,
            error,
        }
    }

    /// What the guard holds: its ticket, or what it was resized to.
    pub(super) fn held<'a>(&'a self, ticket: &'a Ticket) -> &'a Ticket {
        let resized = self.extra.as_ref().and_then(|extra| extra.resized.as_ref());
        resized.unwrap_or(ticket)
    }

    /// Whether it counts among what stays.
    fn stays(&self) -> bool {
        stays(self.record)
    }

    fn take_hook(&mut self) -> Option<Hook> {
        self.extra.as_mut().and_then(|extra| extra.hook.take())
    }

    fn take_resized(&mut self) -> Option<Ticket> {
        self.extra.as_mut().and_then(|extra| extra.resized.take())
    }

    /// Changes the size, all or nothing.
    pub(super) fn resize(
        &mut self,
        ticket: &Ticket,
        bytes: u64,
        wait: Wait,
        location: &'static Location<'static>,
    ) -> Result<(), Error> {
        fork::check()?;
        if bytes == self.held(ticket).bytes() {
            return Ok(());
        }
        let list = &ticket.group().listed;
        self.record = holders::out_of_owned_slot(self.record, list);
        let from = self.held(ticket);
        let manager = ticket.manager().clone();
        let to = from.resized(bytes);
        let how = AcquireWait::from(wait.started(&*manager.clock));
        let mut resizing = Resizing::begin(from, &to, self.record);
        let pin = self.extra.as_ref().and_then(|extra| extra.pin);
        let resized = manager.resize(from.request(), to.request(), pin, &how, location);
        if resized.is_ok() {
            resizing.held = &to;
        }
        drop(resizing);
        let admission = resized?;
        holders::rename(self.record, list, to.id());
        let extra = self.extra();
        extra.wanted = Some(admission.wanted);
        extra.resized = Some(to);
        Ok(())
    }

    fn release_demand(&mut self, ticket: &Ticket) -> Option<Box<Error>> {
        let extra = self.extra.take();
        let pin = extra.as_ref().and_then(|extra| extra.pin);
        let failed = ticket.release_demand(pin);
        holders::forget(self.record, &ticket.group().listed);
        drop(extra);
        failed
    }
}

/// What a release does in a forked child.
fn forked(ticket: &Ticket) -> Released {
    Released {
        limit: ticket.manager().applied(),
        lowered: false,
        error: Some(Error::Forked),
    }
}

/// Whether a guard counts among what [stays](crate::manager::state::group::Group::staying).
fn stays(record: Record) -> bool {
    record.stays() || !record.is_borrowed()
}

/// A guard while it changes its size: no release counts on its staying, and a growing one is in its thread's hands. Undone when
/// dropped, in unwinding too.
struct Resizing<'a> {
    /// What the guard has when this is over.
    held: &'a Ticket,
    record: Record,
    grows: bool,
}

impl<'a> Resizing<'a> {
    fn begin(from: &'a Ticket, to: &Ticket, record: Record) -> Self {
        if stays(record) {
            from.subtract_staying();
        }
        let grows = !record.is_borrowed() && to.bytes() > from.bytes();
        if grows {
            holders::note_growing(record, &from.group().listed, true);
        }
        Self {
            held: from,
            record,
            grows,
        }
    }
}

impl Drop for Resizing<'_> {
    fn drop(&mut self) {
        if self.grows {
            holders::note_growing(self.record, &self.held.group().listed, false);
        }
        if stays(self.record) {
            self.held.add_staying();
        }
    }
}
