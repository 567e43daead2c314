//! Guards: each has a beginning and one end.

use super::Checked;
use super::plan::{DEMANDS, Demand};
use super::stream::Span;
use mlx_wired::{Event, EventKind};
use std::thread::ThreadId;

/// What a guard is known by. Guards of one ticket on one thread are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Life {
    ticket: u64,
    bytes: u64,
}

/// Guards that live.
#[derive(Debug)]
struct Lives(Vec<(Life, ThreadId)>);

/// What the ticket asks for that a guard was acquired with, or resized from.
pub(crate) fn demand_of(label: Option<&str>) -> &'static Demand {
    let place = label.and_then(|label| label.parse::<usize>().ok());
    &DEMANDS[place.expect("every ticket of a run has a label")]
}

impl Lives {
    fn before(span: &Span<'_>) -> Self {
        let guards = span.start.map_or(&[][..], |it| &it.guards).iter();
        let lives = guards.map(|it| {
            let (ticket, bytes) = (it.ticket, it.bytes);
            (Life { ticket, bytes }, it.thread)
        });
        Self(lives.collect())
    }

    fn take(&mut self, life: Life, thread: ThreadId) -> Option<ThreadId> {
        let own = self.0.iter().position(|it| *it == (life, thread));
        let alike = || self.0.iter().position(|it| it.0 == life);
        let index = own.or_else(alike)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Follows `event`. Returns the thread that the guard had which it ends, `Err` if none lives.
    fn follow(&mut self, event: &Event) -> Result<Option<ThreadId>, &'static str> {
        let (Some(ticket), Some(bytes)) = (event.ticket, event.size) else {
            return Ok(None);
        };
        let new = Life { ticket, bytes };
        let gone = match event.kind {
            EventKind::TicketStarted => None,
            EventKind::TicketEnded => Some(new),
            EventKind::TicketResized { from, from_ticket } => Some(Life {
                ticket: from_ticket,
                bytes: from,
            }),
            _ => return Ok(None),
        };
        let taken = gone.map(|gone| self.take(gone, event.thread));
        let thread = match taken {
            Some(None) => return Err("no such guard lives"),
            Some(thread) => thread,
            None => None,
        };
        if event.kind != EventKind::TicketEnded {
            // A resized guard stays on the thread that acquired it.
            self.0.push((new, thread.unwrap_or(event.thread)));
        }
        Ok(thread)
    }
}

/// Whoever pairs beginnings with ends must find one end for each, and none too many.
pub(crate) fn each_guard_ends_once(span: &Span<'_>) -> Checked {
    let mut lives = Lives::before(span);
    for (n, event) in span.events.iter().enumerate() {
        let followed = lives.follow(event);
        span.ensure(n, followed.is_ok(), followed.err().unwrap_or_default())?;
    }
    let sorted = |lives: &Lives| {
        let mut all: Vec<Life> = lives.0.iter().map(|it| it.0).collect();
        all.sort_unstable();
        all
    };
    let listed = Lives::before(&Span {
        start: span.end,
        ..*span
    });
    let (open, listed) = (sorted(&lives), sorted(&listed));
    match open == listed {
        true => Ok(()),
        false => Err(format!("{open:?} have not ended, but {listed:?} live")),
    }
}

/// Events of a guard that cannot leave its thread carry that thread, whichever thread does what is told.
pub(crate) fn lent_guards_stay_on_their_thread(span: &Span<'_>) -> Checked {
    let mut lives = Lives::before(span);
    for (n, event) in span.events.iter().enumerate() {
        let Ok(Some(thread)) = lives.follow(event) else {
            continue;
        };
        let owned = demand_of(event.label.as_deref()).owned;
        let own = thread == event.thread;
        span.ensure(n, owned || own, format_args!("it lived on {thread:?}"))?;
    }
    Ok(())
}
