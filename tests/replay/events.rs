//! Comparing events.

use crate::differences::{Counts, Difference};
use crate::trace::{RecordedEvent, Step};
use mlx_wired::{Event, EventKind};
use std::collections::HashMap;

/// One of our events in the recordings' form, if the Swift actor has its kind.
pub(crate) fn ours(event: &Event, numbers: &HashMap<u64, u64>) -> Option<RecordedEvent> {
    let kind = match &event.kind {
        EventKind::BaselineCaptured => "baselineCaptured",
        EventKind::AdmissionWait => "admissionWait",
        EventKind::AdmissionGranted => "admissionGranted",
        EventKind::AdmissionCancelled => "admissionCancelled",
        EventKind::TicketStarted => "ticketStarted",
        EventKind::TicketEnded => "ticketEnded",
        EventKind::LimitComputed => "limitComputed",
        EventKind::LimitApplied => "limitApplied",
        EventKind::LimitApplyFailed(_) => "limitApplyFailed",
        EventKind::BaselineRestored => "baselineRestored",
        _ => return None,
    };
    Some((
        kind.to_owned(),
        event.ticket.map(|id| numbers[&id]),
        event.size,
        Some(event.baseline),
        event.desired,
        event.applied,
        event.live,
        event.waiters,
    ))
}

/// A baseline is told of before the ticket that begins its epoch, with the value counted with.
pub(crate) fn check_epoch(ours: &[RecordedEvent], baseline: u64) -> Result<(), String> {
    for (index, event) in ours.iter().enumerate() {
        if event.0 != "baselineCaptured" {
            continue;
        }
        let before_start = ours[index..].iter().any(|later| later.0 == "ticketStarted");
        if !before_start || event.3 != Some(baseline) {
            return Err(format!(
                "a baseline told of in the wrong place or with another value: {ours:?}"
            ));
        }
    }
    Ok(())
}

/// Compares what both sides must agree on.
pub(crate) fn compare(
    step: &Step,
    ours: &[RecordedEvent],
    in_force: u64,
    differences: &mut Counts,
) -> Result<(), String> {
    let theirs = agreed(step, &step.events, in_force, Some(differences));
    let ours = agreed(step, ours, in_force, None);
    let same = theirs.len() == ours.len()
        && theirs
            .iter()
            .zip(&ours)
            .all(|(theirs, ours)| matches(theirs, ours));
    if same {
        return Ok(());
    }
    Err(format!(
        "events\n    ours     {ours:?}\n    recorded {theirs:?}"
    ))
}

/// The events without those that may differ.
fn agreed(
    step: &Step,
    events: &[RecordedEvent],
    mut in_force: u64,
    mut differences: Option<&mut Counts>,
) -> Vec<RecordedEvent> {
    let mut kept: Vec<RecordedEvent> = Vec::new();
    for event in events {
        let difference = match event.0.as_str() {
            "baselineCaptured" | "baselineRestored" => Some(Difference::BaselineEvents),
            "limitApplyFailed" => Some(Difference::Retries),
            "limitApplied" | "limitComputed" if step.admitted.is_some() => {
                Some(Difference::HandOver)
            }
            "limitApplied" if event.5 == Some(in_force) => Some(Difference::RedundantCall),
            "limitApplied" => {
                in_force = event.5.unwrap_or(in_force);
                None
            }
            "admissionWait" if step.action != "start" => Some(Difference::RepeatedWait),
            _ => None,
        };
        match (difference, &mut differences) {
            (None, _) => kept.push(event.clone()),
            (Some(difference), Some(counts)) => counts.note(difference),
            (Some(_), None) => {}
        }
    }
    kept
}

/// What the recording leaves out, we may tell.
fn matches(theirs: &RecordedEvent, ours: &RecordedEvent) -> bool {
    let told = |theirs: Option<u64>, ours: Option<u64>| theirs.is_none() || theirs == ours;
    theirs.0 == ours.0
        && told(theirs.1, ours.1)
        && told(theirs.2, ours.2)
        && told(theirs.3, ours.3)
        && told(theirs.4, ours.4)
        && told(theirs.5, ours.5)
        && (theirs.6, theirs.7) == (ours.6, ours.7)
}
