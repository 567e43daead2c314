//! What a manager tells: its events and errors.

use super::PATIENCE;
use mlx_wired::{Error, Event, EventKind, Subscriber};

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
