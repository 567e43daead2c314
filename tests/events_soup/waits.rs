//! Waits: each has a beginning and one end.

use super::Checked;
use super::plan::STALL_AFTER;
use super::stream::Span;
use mlx_wired::{EventKind, Snapshot};
use std::collections::HashMap;
use std::thread::ThreadId;
use std::time::Duration;

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

/// A notice: how long its waiter has waited, and its line admitted no waiter.
type Notice = (Duration, Duration);

/// Whether a notice may follow another of the same wait: later, and unless the line has admitted a waiter between them only
/// after twice the time.
fn follows((waited, stood): Notice, before: Notice) -> bool {
    // When the line's time began, as seen from the waiter's.
    let began =
        |waited: Duration, stood: Duration| waited.as_nanos().wrapping_sub(stood.as_nanos());
    let doublings = |stood: Duration| (stood.as_nanos() / STALL_AFTER.as_nanos()).checked_ilog2();
    let same = began(waited, stood) == began(before.0, before.1);
    waited > before.0 && (!same || doublings(stood) > doublings(before.1))
}

/// R30: a line is told of by the thread of its first waiter. That wait may end just before it is told.
pub(crate) fn stalls_are_of_waits(span: &Span<'_>) -> Checked {
    // The last wait of each thread, and the last notice of it.
    let started = of_snapshot(span.start).into_iter();
    let mut last: HashMap<_, _> = started
        .map(|(thread, ticket)| (thread, (ticket, None)))
        .collect();
    for (n, event) in span.events.iter().enumerate() {
        match event.kind {
            EventKind::AdmissionWait => {
                last.insert(event.thread, (event.ticket.unwrap_or_default(), None));
            }
            EventKind::WaitStalled { waited, stood, .. } => {
                let notice = (waited, stood);
                let of_wait = match last.get_mut(&event.thread) {
                    Some((ticket, before)) => {
                        let before = before.replace(notice);
                        event.ticket == Some(*ticket)
                            && stood >= STALL_AFTER
                            && before.is_none_or(|before| follows(notice, before))
                    }
                    // Its wait may have ended before the beginning.
                    None => span.start.is_some(),
                };
                span.ensure(n, of_wait, "not of its thread's wait, or too soon")?;
            }
            _ => {}
        }
    }
    Ok(())
}
