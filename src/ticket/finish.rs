//! Before a release: the work that the guard was held for is finished, its demand still counted.
//!
//! Two rules ask for that. Where the limit is wired, work must not be in flight when the limit falls, so a release that may
//! lower it finishes first. Where nothing is wired but memory is the card's, what is freed is given to others at once, so
//! each release of a guard that has work does ([`SyncOnRelease`](crate::SyncOnRelease)).

use super::Ticket;
use crate::Error;
use crate::event::EventKind;
use crate::fork;
use crate::user_code;

/// A hook's own error.
pub(super) type HookError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Hook = Box<dyn FnOnce() -> Result<(), HookError> + Send + Sync>;

/// What is known of the work that a guard was held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It is on the releasing thread's default stream.
    Here,
    /// Another thread took the guard. To synchronise here would make a stream where none was.
    Elsewhere,
    /// A closure has finished it. That may have been another stream, so a release that may lower the limit synchronises.
    Finished,
    /// The program says that nothing is in flight.
    Evaluated,
}

/// Runs the hook of a guard of `ticket`, or synchronises, if its release calls for that. Returns what went wrong.
pub(super) fn finish(ticket: &Ticket, hook: Option<Hook>, work: Work) -> Option<Error> {
    let manager = ticket.manager();
    let each = ticket.kind().is_driving() && manager.finishes_each();
    let may_lower = ticket.may_lower(ticket.flags());
    let result = user_code::catch(|| match hook {
        // Dropped here, too: its destructor is the user's.
        hook if !(each || may_lower) => {
            drop(hook);
            Ok(())
        }
        Some(hook) => hook().map_err(|error| error.to_string()),
        None if work == Work::Evaluated => Ok(()),
        None if manager.synchronizes_now(each && work == Work::Here, may_lower) => {
            manager.synchronize().map_err(|error| error.to_string())
        }
        None => Ok(()),
    });
    if fork::is_child() {
        // The hook has forked.
        return None;
    }
    let reason = match result {
        Ok(Ok(())) => return None,
        Ok(Err(reason)) => reason,
        Err(message) => format!("panicked: {message}"),
    };
    let kind = EventKind::ReleaseFailed(reason.clone());
    let mut core = manager.lock();
    core.stats.release_failures += 1;
    manager.emit(&mut core, kind, Some(ticket.request()), |_| {});
    Some(Error::Release { reason })
}
