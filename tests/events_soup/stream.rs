//! What must hold of every stream of events.

use super::{Checked, guards, limits, waits};
use mlx_wired::recorder::Recording;
use mlx_wired::{Event, EventKind, Snapshot};
use std::fmt::{Display, Write as _};

/// All events between two moments, and the state at both.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) events: &'a [Event],
    /// None: nothing lives, and nobody waits.
    pub(crate) start: Option<&'a Snapshot>,
    pub(crate) end: Option<&'a Snapshot>,
}

/// One check of a span, and its name.
pub(crate) type Check = (&'static str, fn(&Span<'_>) -> Checked);

/// Those that hold amid the work too.
pub(crate) const ANYWHERE: &[Check] = &[
    ("numbers have no gaps", numbers_have_no_gaps),
    ("times do not go back", times_do_not_go_back),
    ("live adds up", live_adds_up),
    ("what is granted starts", what_is_granted_starts),
    ("waiters add up", waits::waiters_add_up),
    ("each wait ends once", waits::each_wait_ends_once),
    ("stalls are of waits", waits::stalls_are_of_waits),
];

/// Those that need to know exactly which guards live at both ends: single guards are listed a moment after the rest of a
/// snapshot.
pub(crate) const AT_REST: &[Check] = &[
    ("each guard ends once", guards::each_guard_ends_once),
    (
        "lent guards stay on their thread",
        guards::lent_guards_stay_on_their_thread,
    ),
    (
        "what is computed is called for",
        limits::what_is_computed_is_called_for,
    ),
];

pub(crate) fn check(span: &Span<'_>) -> Checked {
    all(ANYWHERE, span)
}

pub(crate) fn check_at_rest(span: &Span<'_>) -> Checked {
    all(AT_REST, span)
}

fn all(checks: &[Check], span: &Span<'_>) -> Checked {
    let named = |(name, check): &Check| check(span).map_err(|fault| format!("{name}: {fault}"));
    checks.iter().try_for_each(named)
}

impl<'a> Span<'a> {
    /// Of a manager's whole life.
    pub(crate) fn whole(events: &'a [Event]) -> Self {
        Self {
            events,
            start: None,
            end: None,
        }
    }

    pub(crate) fn of(recording: &'a Recording) -> Self {
        Self {
            events: recording.events(),
            start: Some(recording.at_start()),
            end: recording.at_end(),
        }
    }

    /// Fails at the event in place `n` unless `holds`, with what came before it.
    pub(crate) fn ensure(&self, n: usize, holds: bool, what: impl Display) -> Checked {
        if holds {
            return Ok(());
        }
        let mut fault = what.to_string();
        for event in &self.events[n.saturating_sub(8)..=n] {
            let kind = format!("{:?}", event.kind);
            let kind = kind.split('(').next().unwrap_or_default();
            let kind: String = kind.chars().take(60).collect();
            // A string takes anything.
            let _written = write!(
                fault,
                "\n  {} {kind} ticket {:?} of {:?} on {:?}, {} live, {} wait",
                event.sequence, event.ticket, event.size, event.thread, event.live, event.waiters
            );
        }
        Err(fault)
    }
}

/// Who loses events must be able to see it.
fn numbers_have_no_gaps(span: &Span<'_>) -> Checked {
    let first = match span.start {
        None => 0,
        Some(_) => span.events.first().map_or(0, |event| event.sequence),
    };
    for (n, event) in span.events.iter().enumerate() {
        let number = first + n as u64;
        span.ensure(n, event.sequence == number, format_args!("not {number}"))?;
    }
    Ok(())
}

/// Durations are differences of them.
fn times_do_not_go_back(span: &Span<'_>) -> Checked {
    let mut last = span.start.map(|snapshot| snapshot.time);
    for (n, event) in span.events.iter().enumerate() {
        span.ensure(n, last <= Some(event.time), "earlier than what came before")?;
        last = Some(event.time);
    }
    let end = span.end.is_none_or(|snapshot| last <= Some(snapshot.time));
    match end {
        true => Ok(()),
        false => Err("the snapshot at the end is older".to_owned()),
    }
}

/// Whoever counts beginnings and ends must come to the same as the manager.
fn live_adds_up(span: &Span<'_>) -> Checked {
    let mut live = span.start.map_or(0, |snapshot| snapshot.live);
    for (n, event) in span.events.iter().enumerate() {
        match event.kind {
            EventKind::TicketStarted => live += 1,
            EventKind::TicketEnded => {
                span.ensure(n, live > 0, "nothing lives")?;
                live -= 1;
            }
            _ => {}
        }
        span.ensure(n, event.live == live, format_args!("{live} live"))?;
    }
    let told = span.end.map_or(0, |snapshot| snapshot.live);
    match told == live {
        true => Ok(()),
        false => Err(format!("{live} live at the end, not {told}")),
    }
}

/// Nobody else comes between an admission and its guard.
fn what_is_granted_starts(span: &Span<'_>) -> Checked {
    let whose = |event: &Event| (event.ticket, event.size, event.thread, event.place);
    let mut granted = None;
    for (n, event) in span.events.iter().enumerate() {
        let starts = (event.kind == EventKind::TicketStarted).then(|| whose(event));
        span.ensure(n, granted == starts, "grant and start do not match")?;
        granted = (event.kind == EventKind::AdmissionGranted).then(|| whose(event));
        let has_place = granted.is_none_or(|(.., place)| place.is_some());
        span.ensure(n, has_place, "a grant without its place")?;
    }
    match granted {
        None => Ok(()),
        Some(granted) => Err(format!("granted and not started: {granted:?}")),
    }
}
