//! Streams that were told, with one mistake made in them. A check that cannot fail would show nothing.

use super::guards::demand_of;
use super::plan::{Group, Plan};
use super::stream::{ANYWHERE, AT_REST, Check, Span};
use super::traffic;
use super::waits::admits;
use mlx_wired::{Event, EventKind};
use std::thread;
use std::time::Duration;

/// A mistake, and the check that must find it.
struct Mistake {
    what: &'static str,
    found_by: &'static str,
    /// Makes it at an event, if it can be made there; else it leaves everything as it is.
    make: fn(&mut Vec<Event>, usize) -> Option<()>,
}

const fn mistake(
    what: &'static str,
    found_by: &'static str,
    make: fn(&mut Vec<Event>, usize) -> Option<()>,
) -> Mistake {
    Mistake {
        what,
        found_by,
        make,
    }
}

const MISTAKES: &[Mistake] = &[
    mistake("one is lost", "numbers have no gaps", |events, n| {
        is(&events[n], &EventKind::LimitComputed)?;
        events.remove(n);
        Some(())
    }),
    mistake("one is told late", "times do not go back", |events, n| {
        let before = events.get(n.checked_sub(1)?)?.time;
        events[n].time = before.checked_sub(Duration::from_nanos(1))?;
        Some(())
    }),
    mistake("a release is not told", "live adds up", |events, n| {
        is(&events[n], &EventKind::TicketEnded)?;
        drop_and_renumber(events, n)
    }),
    mistake(
        "a release is not told",
        "each guard ends once",
        |events, n| {
            is(&events[n], &EventKind::TicketEnded)?;
            drop_and_renumber(events, n)
        },
    ),
    mistake(
        "a release is told twice",
        "each guard ends once",
        |events, n| {
            is(&events[n], &EventKind::TicketEnded)?;
            events.insert(n, events[n].clone());
            Some(())
        },
    ),
    mistake(
        "a resize is from another size",
        "each guard ends once",
        |events, n| match &mut events[n].kind {
            EventKind::TicketResized { from, .. } => {
                *from += 1;
                Some(())
            }
            _ => None,
        },
    ),
    mistake(
        "the releasing thread is told",
        "lent guards stay on their thread",
        |events, n| {
            is(&events[n], &EventKind::TicketEnded)?;
            let lent = !demand_of(events[n].label.as_deref()).owned;
            lent.then(|| events[n].thread = thread::current().id())
        },
    ),
    mistake(
        "a grant is told without its start",
        "what is granted starts",
        |events, n| {
            is(&events[n], &EventKind::TicketStarted)?;
            drop_and_renumber(events, n)
        },
    ),
    mistake(
        "the admitting thread is told",
        "what is granted starts",
        |events, n| {
            is(&events[n], &EventKind::AdmissionGranted)?;
            events[n].thread = thread::current().id();
            Some(())
        },
    ),
    mistake("nobody is said to wait", "waiters add up", |events, n| {
        // Of other kinds the check forgives one.
        is(&events[n], &EventKind::TicketEnded)?;
        (events[n].waiters > 0).then_some(())?;
        for event in events {
            event.waiters = 0;
        }
        Some(())
    }),
    mistake(
        "a wait that gives up is not told to end",
        "each wait ends once",
        |events, n| {
            is(&events[n], &EventKind::AdmissionTimedOut)?;
            let (thread, ticket) = (events[n].thread, events[n].ticket);
            let mut after = events[n + 1..].iter().filter(|it| it.thread == thread);
            let next = after.find(|it| it.kind == EventKind::AdmissionWait || admits(&it.kind));
            // Else what it gets next, without a wait, would pass for the end.
            let is_missed =
                next.is_none_or(|it| it.kind == EventKind::AdmissionWait || it.ticket != ticket);
            is_missed.then(|| drop_and_renumber(events, n))?
        },
    ),
    mistake(
        "the beginning of a wait is not told",
        "each wait ends once",
        |events, n| {
            is(&events[n], &EventKind::AdmissionTimedOut)?;
            let thread = events[n].thread;
            let begins = |it: &Event| it.thread == thread && it.kind == EventKind::AdmissionWait;
            let begin = events[..n].iter().rposition(begins)?;
            drop_and_renumber(events, begin)
        },
    ),
    mistake(
        "another ticket's wait ends",
        "each wait ends once",
        |events, n| {
            is(&events[n], &EventKind::AdmissionTimedOut)?;
            events[n].ticket = Some(u64::MAX);
            Some(())
        },
    ),
    mistake(
        "a stall is told twice",
        "stalls are of waits",
        |events, n| {
            let stalls = matches!(events[n].kind, EventKind::WaitStalled { .. });
            stalls.then(|| events.insert(n, events[n].clone()))
        },
    ),
    mistake(
        "less is computed than is called for",
        "what is computed is called for",
        |events, n| {
            is(&events[n], &EventKind::LimitComputed)?;
            let before = &events[n.checked_sub(1)?];
            is(before, &EventKind::TicketStarted)?;
            let built_in = demand_of(before.label.as_deref()).group != Group::Own;
            built_in.then(|| events[n].desired = Some(0))
        },
    ),
];

fn is(event: &Event, kind: &EventKind) -> Option<()> {
    (event.kind == *kind).then_some(())
}

fn drop_and_renumber(events: &mut Vec<Event>, n: usize) -> Option<()> {
    events.remove(n);
    for (event, number) in events.iter_mut().zip(0..) {
        event.sequence = number;
    }
    Some(())
}

fn check_named(name: &str) -> &'static Check {
    let mut all = ANYWHERE.iter().chain(AT_REST);
    all.find(|check| check.0 == name).expect("it is a check")
}

/// So many runs at most, until every mistake could be made.
const RUNS: u64 = 1000;

#[test]
fn each_check_finds_its_mistake() {
    let all = || ANYWHERE.iter().chain(AT_REST).map(|check| check.0);
    let mut unproved: Vec<&str> = all().collect();
    unproved.retain(|name| !MISTAKES.iter().any(|mistake| mistake.found_by == *name));
    assert!(unproved.is_empty(), "no mistake for {unproved:?}");

    let mut left: Vec<&Mistake> = MISTAKES.iter().collect();
    for seed in 1..=RUNS {
        let told = traffic::run(&Plan::draw(seed));
        left.retain(|mistake| !is_found(mistake, &told.events));
        if left.is_empty() {
            return;
        }
    }
    let left: Vec<&str> = left.iter().map(|mistake| mistake.what).collect();
    panic!("never made: {left:?}");
}

/// Whether it could be made; then it was found.
fn is_found(mistake: &Mistake, events: &[Event]) -> bool {
    let check = check_named(mistake.found_by).1;
    assert_eq!(check(&Span::whole(events)), Ok(()));
    let mut altered = events.to_vec();
    // In its second half, when the threads are at work.
    let made = (events.len() / 2..events.len()).any(|n| (mistake.make)(&mut altered, n).is_some());
    let is_right = check(&Span::whole(&altered)).is_ok();
    assert!(!made || !is_right, "{}: not found", mistake.what);
    made
}
