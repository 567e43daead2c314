//! R24: what subscribers are told.

use crate::kit::{GIB, PATIENCE, Rig, SECOND, kinds, of_kind, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{CancelToken, Error, Event, EventKind, FixedPolicy, SumPolicy, Wait};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn position(kinds: &[EventKind], kind: &EventKind) -> usize {
    let found = kinds.iter().position(|other| other == kind);
    found.unwrap_or_else(|| panic!("{kind:?} is missing in {kinds:?}"))
}

#[test]
fn r24_a_guards_life_is_told_in_order() -> Result<(), Error> {
    use EventKind::{
        AdmissionGranted, BaselineCaptured, BaselineRestored, LimitApplied, LimitComputed,
        TicketEnded, TicketStarted,
    };
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    let told = kinds(&events);
    let in_order = [
        BaselineCaptured,
        TicketStarted,
        LimitComputed,
        LimitApplied,
        TicketEnded,
        BaselineRestored,
    ];
    let positions = in_order.each_ref().map(|kind| position(&told, kind));
    assert!(positions.is_sorted(), "{told:?}");
    assert!(position(&told, &AdmissionGranted) < position(&told, &TicketStarted));
    for kind in [
        BaselineCaptured,
        TicketStarted,
        TicketEnded,
        BaselineRestored,
    ] {
        let times = told.iter().filter(|other| **other == kind).count();
        assert_eq!(times, 1, "{kind:?}");
    }
    rig.finish()
}

#[test]
fn r24_sequences_have_no_gaps_and_time_is_the_managers() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    for _ in 0..5 {
        drop(ticket.acquire()?);
        rig.clock.advance(SECOND);
    }
    let told: Vec<Event> = events.drain().collect();
    let start = told[0].sequence;
    for (n, event) in (start..).zip(&told) {
        assert_eq!(event.sequence, n);
    }
    assert!(told.is_sorted_by_key(|event| event.time));
    let span = told[told.len() - 1].time - told[0].time;
    assert_eq!(span, 4 * SECOND);
    rig.finish()
}

#[test]
fn r24_events_carry_ticket_sizes_and_counts() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let waiting = rig.queued(&ticket);
    let told: Vec<Event> = events.drain().collect();
    let find = |kind: &EventKind| -> &Event {
        let found = told.iter().rev().find(|event| event.kind == *kind);
        found.unwrap_or_else(|| panic!("{kind:?} is missing in {told:?}"))
    };
    let started = find(&EventKind::TicketStarted);
    assert_eq!(
        (started.ticket, started.size),
        (Some(ticket.id()), Some(10))
    );
    assert_eq!(started.policy.as_deref(), Some("SumPolicy"));
    assert_eq!((started.live, started.waiters), (1, 0));
    // As in mlx-swift, it does not count itself.
    let wait = find(&EventKind::AdmissionWait);
    assert_eq!(wait.ticket, Some(ticket.id()));
    assert_eq!((wait.live, wait.waiters), (1, 0), "itself not counted");
    let computed = find(&EventKind::LimitComputed);
    assert!(computed.desired.is_some());
    let applied = find(&EventKind::LimitApplied);
    assert_eq!(
        (applied.desired, applied.applied, applied.baseline),
        (Some(10), Some(10), 7)
    );
    drop(guard);
    drop(waiting.result()?);
    rig.finish()
}

#[test]
fn r24_the_baseline_is_told_again_if_mlx_answers_otherwise() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    let captured = || -> Vec<u64> {
        let told = of_kind(&events, &EventKind::BaselineCaptured);
        told.iter().map(|event| event.baseline).collect()
    };
    assert_eq!(captured(), [0, 7], "counted with, then answered");
    drop(ticket.acquire()?);
    assert_eq!(captured(), [7]);
    rig.finish()
}

#[test]
fn r24_reservations_capture_no_baseline() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10).reservation();
    drop(ticket.acquire()?);
    let told = kinds(&events);
    assert!(told.contains(&EventKind::TicketStarted) && told.contains(&EventKind::TicketEnded));
    assert!(!told.contains(&EventKind::BaselineCaptured), "{told:?}");
    rig.finish()
}

#[test]
fn r24_waits_and_their_ends_are_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let guard = ticket.acquire()?;
    let token = CancelToken::new();
    let cancelled = rig.queued_with(&ticket, Wait::new().cancel(&token));
    let timed = rig.queued_with(&ticket, Wait::new().timeout(SECOND));
    let _before = kinds(&events);
    token.cancel();
    assert!(cancelled.result().is_err());
    rig.clock.advance(SECOND);
    assert!(timed.result().is_err());
    let told = kinds(&events);
    assert_eq!(
        told,
        [EventKind::AdmissionCancelled, EventKind::AdmissionTimedOut]
    );
    drop(guard);
    rig.finish()
}

#[test]
fn r24_a_wait_that_the_manager_ends_is_told_as_its_threads() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let _guard = ticket.acquire_owned()?;
    let events = rig.manager.subscribe(100);
    let waits = rig.queued(&ticket);
    let began = of_kind(&events, &EventKind::AdmissionWait);
    rig.manager.close();
    assert_eq!(waits.result().err(), Some(Error::Closed));
    let is_failure = |it: &Event| matches!(it.kind, EventKind::AdmissionFailed(_));
    let ended: Vec<Event> = events.drain().filter(is_failure).collect();
    let ([began], [ended]) = (&began[..], &ended[..]) else {
        panic!("each is told once: {began:?} {ended:?}");
    };
    let closed = EventKind::AdmissionFailed(Error::Closed.to_string());
    assert_eq!(ended.kind, closed);
    let whose = |it: &Event| (it.ticket, it.thread, it.place);
    assert_eq!(whose(ended), whose(began));
    assert_eq!(ended.waiters, 0);
    Ok(())
}

#[test]
fn r24_a_slow_subscriber_loses_events_and_is_told_how_many() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let slow = rig.manager.subscribe(3);
    let quick = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    for _ in 0..5 {
        drop(ticket.acquire()?);
    }
    let all: Vec<Event> = quick.drain().collect();
    assert_eq!(quick.lost(), 0);
    let kept: Vec<Event> = slow.drain().collect();
    assert_eq!(kept, all[..3]);
    assert_eq!(slow.lost(), all.len() as u64 - 3);
    // There is room again.
    drop(ticket.acquire()?);
    assert!(
        slow.try_recv()
            .is_some_and(|event| event.sequence >= all.len() as u64)
    );
    rig.finish()
}

#[test]
fn r24_a_subscriber_that_is_gone_costs_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let first = rig.manager.subscribe(0);
    let second = rig.manager.subscribe(100);
    drop(first);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    assert!(second.try_recv().is_some());
    drop(second);
    drop(ticket.acquire()?);
    // Whoever comes later sees what comes later: nothing was counted in between.
    let third = rig.manager.subscribe(100);
    drop(ticket.acquire()?);
    assert!(third.try_recv().is_some());
    rig.finish()
}

#[test]
fn r24_guards_taken_before_anybody_watched_are_counted() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let guards = (ticket.acquire()?, ticket.acquire()?);
    let events = rig.manager.subscribe(100);
    let third = ticket.acquire()?;
    let lives = |kind| -> Vec<u64> {
        let told = of_kind(&events, &kind);
        told.iter().map(|event| event.live).collect()
    };
    assert_eq!(lives(EventKind::TicketStarted), [3]);
    drop((guards, third));
    assert_eq!(lives(EventKind::TicketEnded), [2, 1, 0]);
    rig.finish()
}

#[test]
fn r24_a_subscriber_is_told_of_nothing_before_it_came() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let first = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 1);
    let held = rig.ticket(&SumPolicy::uncapped(), 100).acquire_owned()?;
    drop((ticket.acquire()?, ticket.acquire()?));
    let before: Vec<Event> = first.drain().collect();
    // Nobody has asked for these yet.
    drop((ticket.acquire()?, ticket.acquire()?));
    let second = rig.manager.subscribe(100);
    assert_eq!(kinds(&second), []);
    let after: Vec<Event> = first.drain().collect();
    let numbers = before.iter().chain(&after).map(|event| event.sequence);
    assert!(numbers.is_sorted());
    let ended = after.iter().filter(|it| it.kind == EventKind::TicketEnded);
    assert_eq!(ended.count(), 2);
    drop(held);
    drop((first, second));
    rig.finish()
}

#[test]
fn r24_subscribers_hear_of_the_managers_end() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    drop(rig);
    // Not the time-out: the channel is closed.
    let begin = std::time::Instant::now();
    assert!(events.recv_timeout(Duration::from_secs(60)).is_none());
    assert!(begin.elapsed() < Duration::from_secs(30));
    Ok(())
}

#[test]
fn r24_a_model_near_the_ceiling_is_warned_of() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let warned = |model| -> Result<bool, Error> {
        drop(rig.manager.wire_max(model)?);
        let kind = EventKind::ModelNearCeiling {
            model,
            ceiling: 48 * GIB,
        };
        Ok(kinds(&events).contains(&kind))
    };
    assert!(!warned(43 * GIB)?);
    assert!(warned(44 * GIB)?);
    assert!(warned(500 * GIB)?, "only warned of");
    rig.finish()
}

#[test]
fn r24_events_about_the_limit_carry_the_one_in_force() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let guard = ticket.acquire()?;
    rig.backend.fail_next(1);
    ticket.acquire().expect_err("the setter fails");
    drop(guard);
    // Counted with what is known at first, then with MLX's answer.
    let in_force = [
        (EventKind::BaselineCaptured, vec![0, 7]),
        (EventKind::BaselineRestored, vec![7]),
    ];
    let told: Vec<Event> = events.drain().collect();
    let applied = |wanted: &dyn Fn(&EventKind) -> bool| -> Vec<Option<u64>> {
        let of_kind = told.iter().filter(|event| wanted(&event.kind));
        of_kind.map(|event| event.applied).collect()
    };
    for (kind, limits) in in_force {
        let limits: Vec<_> = limits.into_iter().map(Some).collect();
        assert_eq!(applied(&|other| *other == kind), limits, "{kind:?}");
    }
    let failed = applied(&|kind| matches!(kind, EventKind::LimitApplyFailed(_)));
    assert_eq!(failed, [Some(17)]);
    rig.finish()
}

#[test]
fn r24_events_tell_the_acquirers_thread_place_and_name() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let policy = SumPolicy::capped(10);
    let ticket = rig.ticket(&policy, 10).label("step");
    let guard = ticket.acquire()?;
    let line = line!() - 1;
    let waiting = rig.queued(&ticket);
    let waiter = rig.manager.waiting()[0].thread;
    // This thread admits the other.
    drop(guard);
    drop(waiting.result()?);
    let started = of_kind(&events, &EventKind::TicketStarted);
    let own = std::thread::current();
    assert_eq!(started[0].thread, own.id());
    assert_eq!(started[0].thread_name.as_deref(), own.name());
    assert_eq!(started[0].place.map(|place| place.line()), Some(line));
    assert_eq!(started[1].thread, waiter);
    assert_eq!(started[1].label.as_deref(), Some("step"));
    rig.finish()
}

#[test]
fn r24_events_have_the_name_that_the_ticket_had_then() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let ticket = rig.ticket(&FixedPolicy::new(GIB), 10);
    let _stays = ticket.clone().acquire_owned()?;
    let ticket = ticket.label("first");
    drop(ticket.acquire()?);
    drop(ticket.acquire()?);
    let ticket = ticket.label("second");
    drop(ticket.acquire()?);
    let ended = of_kind(&events, &EventKind::TicketEnded);
    let names: Vec<_> = ended.into_iter().map(|event| event.label).collect();
    let expected = ["first", "first", "second"].map(|name| Some(name.into()));
    assert_eq!(names, expected);
    Ok(())
}

/// Threads that share a subscriber: each gets what it gets in order, and together they get everything.
#[test]
fn r24_threads_may_share_a_subscriber() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1 << 20);
    let ticket = rig.ticket(&FixedPolicy::new(GIB), 10);
    let last = rig.ticket(&FixedPolicy::new(GIB), 11);
    let _stays = ticket.acquire_owned()?;
    let is_last = |event: &Event| event.size == Some(11) && event.kind == EventKind::TicketEnded;
    let over = AtomicBool::new(false);
    let receive = || {
        let mut sequences = Vec::new();
        while !over.load(Ordering::SeqCst) {
            let Some(event) = events.recv_timeout(Duration::ZERO) else {
                continue;
            };
            if is_last(&event) {
                over.store(true, Ordering::SeqCst);
            }
            sequences.push(event.sequence);
        }
        sequences
    };
    let received = thread::scope(|scope| {
        let receivers = [(); 2].map(|()| scope.spawn(receive));
        for _ in 0..5_000 {
            drop(ticket.acquire()?);
        }
        drop(last.acquire()?);
        Ok(receivers.map(|it| it.join().expect("it ends well")))
    })?;
    for sequences in &received {
        assert!(sequences.is_sorted(), "in order for each");
    }
    let mut all: Vec<u64> = received.concat();
    all.extend(events.drain().map(|event| event.sequence));
    all.sort_unstable();
    let count = all.len() as u64;
    assert!(all.into_iter().eq(0..count), "each event once");
    Ok(())
}

/// One thread takes the first event of several that were handed over together, just before another falls asleep.
#[test]
fn r24_what_one_thread_leaves_another_gets() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(1 << 20);
    let ticket = rig.ticket(&FixedPolicy::new(GIB), 10);
    let _stays = ticket.acquire_owned()?;
    for round in 0..5_000 {
        events.drain().for_each(drop);
        let receive = || events.recv_timeout(PATIENCE).is_some();
        let guard = thread::scope(|scope| {
            let receivers = [(); 2].map(|()| scope.spawn(receive));
            let guard = ticket.acquire();
            for it in receivers {
                assert!(
                    it.join().expect("it ends well"),
                    "three events for two threads, round {round}"
                );
            }
            guard
        })?;
        drop(guard);
    }
    Ok(())
}
