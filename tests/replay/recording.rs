//! What a recorded step says by itself: its calls, its events and who lives must fit together.
//!
//! A difference is excused only in a step that passes this, so that no number of a recording is left unread, those
//! that this library does not repeat included.

use crate::ledger::Ledger;
use crate::trace::{Action, Header, Kind, Set, Step, Told};

/// The limit in force after each of the step's events.
pub(crate) struct Limits(Vec<u64>);

impl Limits {
    /// Whether the event applied the limit already in force.
    pub(crate) fn is_redundant(&self, event: usize, before: &Ledger) -> bool {
        let previous = event.checked_sub(1).map_or(before.in_force, |e| self.0[e]);
        self.0[event] == previous
    }

    /// The limit in force when the event came.
    pub(crate) fn before_event(&self, event: usize, before: &Ledger) -> u64 {
        event.checked_sub(1).map_or(before.in_force, |e| self.0[e])
    }
}

/// Where the ticket that was let in begins to act: the actor wakes its waiters after it has settled the limit for the
/// one that left.
pub(crate) fn entry(step: &Step) -> Option<usize> {
    let enters = |event: &Told| {
        use Kind::{AdmissionGranted, AdmissionWait, BaselineCaptured};
        matches!(
            event.kind,
            BaselineCaptured | AdmissionGranted | AdmissionWait
        )
    };
    (step.action == Action::End)
        .then(|| step.events.iter().position(enters))
        .flatten()
}

pub(crate) fn check(step: &Step, before: &Ledger, header: &Header) -> Result<Limits, String> {
    let entry = entry(step);
    let mut live = before.live();
    let mut waiters = before.waiters() - u64::from(step.action == Action::Cancel);
    let mut limit = before.in_force;
    let mut limits = Vec::new();
    let mut calls = step.setter.iter();
    for (index, event) in step.events.iter().enumerate() {
        if entry == Some(index) {
            waiters = 0;
        }
        match event.kind {
            Kind::TicketStarted => live += 1,
            Kind::TicketEnded => live -= 1,
            Kind::AdmissionWait if step.action == Action::End => {
                let waiting = before.waiting(event.ticket).ok_or("a stranger waits")?;
                agree(event, "size", event.size, waiting.size)?;
            }
            Kind::LimitComputed => {
                let next = step.events.get(index + 1);
                let call =
                    next.filter(|e| matches!(e.kind, Kind::LimitApplied | Kind::LimitApplyFailed));
                match call.and_then(|call| call.desired) {
                    Some(asked) => agree(event, "desired limit", event.desired, asked)?,
                    None if header.shrinks_at_once() => {
                        agree(event, "desired limit", event.desired, limit)?;
                    }
                    None => {}
                }
            }
            Kind::LimitApplied | Kind::LimitApplyFailed => {
                limit = check_call(event, limit, &mut calls, header)?;
                agree(event, "applied limit", event.applied, limit)?;
            }
            Kind::BaselineCaptured | Kind::BaselineRestored => {
                agree(event, "applied limit", event.applied, header.baseline())?;
            }
            Kind::AdmissionWait | Kind::AdmissionGranted | Kind::AdmissionCancelled => {}
        }
        agree(event, "baseline", event.baseline, header.baseline())?;
        agree(event, "live count", Some(event.live), live)?;
        agree(event, "waiter count", Some(event.waiters), waiters)?;
        limits.push(limit);
    }
    if let Some(call) = calls.next() {
        return Err(format!("no event for {call:?}"));
    }
    if limit != step.applied {
        return Err(format!("{limit} was set, {} is in force", step.applied));
    }
    Ok(Limits(limits))
}

/// The limit after an event of a call, which must be the next of the calls.
fn check_call<'a>(
    event: &Told,
    limit: u64,
    calls: &mut impl Iterator<Item = &'a Set>,
    header: &Header,
) -> Result<u64, String> {
    let asked = event.desired.ok_or("a call without a limit")?;
    let succeeded = event.kind == Kind::LimitApplied;
    if header.supported {
        let call = Set {
            limit: asked,
            previous: limit,
            succeeded,
        };
        let recorded = calls.next();
        if recorded != Some(&call) || succeeded == header.fails(asked) {
            return Err(format!(
                "{event:?} for {recorded:?} while {limit} is in force"
            ));
        }
    }
    Ok(if succeeded { asked } else { limit })
}

fn agree(event: &Told, what: &str, told: Option<u64>, known: u64) -> Result<(), String> {
    match told {
        Some(told) if told != known => Err(format!("{what} {told}, not {known}: {event:?}")),
        _ => Ok(()),
    }
}
