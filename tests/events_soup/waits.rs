//! Waits: each has a beginning and one end.

use super::Checked;
use super::stream::Span;
use mlx_wired::{EventKind, Snapshot};
use std::collections::HashMap;
use std::thread::ThreadId;

/// The tickets that threads wait for: each waits for one at a time.
type Waits = HashMap<ThreadId, u64>;

fn of_snapshot(snapshot: Option<&Snapshot>) -> Waits {
    let waiters = snapshot.map_or(&[][..], |snapshot| &snapshot.waiters);
    let waits = waiters.iter().map(|waiter| (waiter.thread, waiter.ticket));
    waits.collect()
}

const fn gives_up(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::AdmissionTimedOut
            | EventKind::AdmissionCancelled
            | EventKind::AdmissionFailed(_)
    )
}

pub(crate) const fn admits(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::AdmissionGranted | EventKind::TicketResized { .. }
    )
}

/// Whoever pairs beginnings with ends must find one end for each, of the same ticket, and none too many.
pub(crate) fn each_wait_ends_once(span: &Span<'_>) -> Checked {
    let mut waits = of_snapshot(span.start);
    for (n, event) in span.events.iter().enumerate() {
        let (thread, ticket) = (event.thread, event.ticket.unwrap_or_default());
        if event.kind == EventKind::AdmissionWait {
            let other = waits.insert(thread, ticket);
            span.ensure(n, other.is_none(), "its thread waits already")?;
        } else if gives_up(&event.kind) {
            let waited = waits.remove(&thread) == Some(ticket);
            span.ensure(n, waited, "its thread did not wait for that")?;
        } else if admits(&event.kind) {
            // Who is admitted at once has not waited.
            let waited_for = waits.remove(&thread);
            let same = waited_for.is_none_or(|it| it == ticket);
            span.ensure(n, same, "its thread waits for something else")?;
        } else if event.kind == EventKind::TicketStarted {
            let waits = waits.contains_key(&thread);
            span.ensure(n, !waits, "its thread waits")?;
        }
    }
    let open = of_snapshot(span.end);
    match waits == open {
        true => Ok(()),
        false => Err(format!("{waits:?} are open, but {open:?} wait")),
    }
}

/// Whoever counts waits must come to the same as the manager.
///
/// A wait leaves the queue before its end is told: with a grant that opens an epoch the baseline is told before, and
/// a manager that closes empties the whole queue first.
pub(crate) fn waiters_add_up(span: &Span<'_>) -> Checked {
    let mut waits: u64 = span.start.map_or(0, |it| it.waiters.len() as u64);
    let mut waiting = of_snapshot(span.start);
    for (n, event) in span.events.iter().enumerate() {
        let before = waits;
        if event.kind == EventKind::AdmissionWait {
            waiting.insert(event.thread, 0);
            waits += 1;
        } else if (gives_up(&event.kind) || admits(&event.kind))
            && waiting.remove(&event.thread).is_some()
        {
            waits -= 1;
        }
        let holds = match event.kind {
            EventKind::AdmissionWait => event.waiters == before,
            EventKind::BaselineCaptured => event.waiters + 1 >= waits && event.waiters <= waits,
            EventKind::AdmissionFailed(_) => event.waiters <= waits,
            _ => event.waiters == waits,
        };
        span.ensure(n, holds, format_args!("{waits} wait"))?;
    }
    Ok(())
}

/// R24: a wait is told to stall once, by the thread that waits. It may end just before that is told.
pub(crate) fn stalls_are_of_waits(span: &Span<'_>) -> Checked {
    // The last wait of each thread, unless it was told to stall already.
    let mut last = of_snapshot(span.start);
    for (n, event) in span.events.iter().enumerate() {
        match event.kind {
            EventKind::AdmissionWait => {
                last.insert(event.thread, event.ticket.unwrap_or_default());
            }
            EventKind::WaitStalled { .. } => {
                let waited_for = last.remove(&event.thread);
                // Its wait may have ended before the beginning.
                let of_wait = waited_for == event.ticket;
                let known = span.start.is_none() || waited_for.is_some();
                span.ensure(n, of_wait || !known, "not of its thread's wait")?;
            }
            _ => {}
        }
    }
    Ok(())
}
