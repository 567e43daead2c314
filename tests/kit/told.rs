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
