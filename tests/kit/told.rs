//! What a manager tells: its events and errors.

use super::PATIENCE;
use mlx_wired::{Error, Event, EventKind, Obstacle, Subscriber, Ticket};

/// The error without the names of those in the way, to be compared with its numbers.
pub(crate) fn numbers(mut error: Error) -> Error {
    if let Error::Timeout { contention, .. }
    | Error::NeverAdmissible { contention, .. }
    | Error::WouldDeadlock { contention, .. } = &mut error
    {
        **contention = Default::default();
    }
    error
}

/// The kinds of all events that are there.
pub(crate) fn kinds(events: &Subscriber) -> Vec<EventKind> {
    events.drain().map(|event| event.kind).collect()
}

/// The next event of which `wanted` is true.
#[track_caller]
pub(crate) fn next(events: &Subscriber, wanted: impl Fn(&EventKind) -> bool) -> Event {
    loop {
        match events.recv_timeout(PATIENCE) {
            Some(event) if wanted(&event.kind) => return event,
            Some(_) => {}
            None => panic!("the event never came"),
        }
    }
}

/// The setting that a refusal names.
#[track_caller]
pub(crate) fn invalid_field<T>(refused: Result<T, Error>) -> &'static str {
    match refused {
        Ok(_) => panic!("it was not refused"),
        Err(Error::InvalidConfig { field, .. }) => field,
        Err(other) => panic!("{other:?} names no setting"),
    }
}

/// Waits until so many guards have begun, each with its demand counted.
#[track_caller]
pub(crate) fn until_started(events: &Subscriber, guards: usize) {
    for _ in 0..guards {
        let _started = next(events, |kind| *kind == EventKind::TicketStarted);
    }
}

/// What a thread is told that would wait for ever: how many bytes it asked for and holds, and how many threads there are.
#[track_caller]
pub(crate) fn deadlock<T>(result: Result<T, Error>) -> (u64, u64, usize) {
    match result.map(|_| ()) {
        Err(Error::WouldDeadlock {
            requested,
            held,
            threads,
            ..
        }) => (requested, held, threads),
        other => panic!("expected a deadlock, got {other:?}"),
    }
}

/// The refusal of an attempt where nobody waits: of how many bytes, how many of how many are in use, and what is in the
/// way.
pub(crate) fn would_block(
    requested: u64,
    (in_use, capacity): (u64, u64),
    obstacle: Obstacle,
) -> Error {
    Error::WouldBlock {
        requested,
        in_use,
        capacity: Some(capacity),
        waiting: 0,
        obstacle,
    }
}

/// The events of one kind that are there.
pub(crate) fn of_kind(events: &Subscriber, kind: &EventKind) -> Vec<Event> {
    events.drain().filter(|event| event.kind == *kind).collect()
}

/// What is in the way of an acquire that may not wait.
#[track_caller]
pub(crate) fn in_the_way(ticket: &Ticket) -> Obstacle {
    match ticket.try_acquire() {
        Err(Error::WouldBlock { obstacle, .. }) => obstacle,
        other => panic!("expected that it would block, got {other:?}"),
    }
}
