//! Guards and waits as intervals.

use super::{told, waiting};
use crate::kit::{Rig, SECOND, Sets, acquiring, on, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::recorder::{End, Interval, Recorder, Recording, What};
use mlx_wired::{Error, EventKind, SumPolicy, Wait};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

#[test]
fn guards_and_waits_have_a_beginning_and_an_end() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10);
    let (big, small) = (rig.ticket(&policy, 8), rig.ticket(&policy, 2));
    let (big, small) = (big.label("big"), small.label("small"));
    rig.clock.advance(7 * SECOND);
    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    let first = big.acquire()?;
    let line = line!() - 1;
    rig.clock.advance(SECOND);
    let other = small.acquire()?;
    let waiter = waiting(&rig.manager, &big);
    rig.clock.advance(2 * SECOND);
    drop(first);
    waiter.result()?;
    rig.clock.advance(SECOND);
    drop(other);
    rig.clock.advance(SECOND);
    let recording = recorder.finish();

    assert_eq!((recording.duration(), recording.missing()), (6 * SECOND, 0));
    let expected = [
        (What::Guard, "big", 8, 1, 4, End::Released),
        (What::Wait, "big", 8, 2, 4, End::Admitted),
        (What::Guard, "small", 2, 2, 5, End::Released),
        (What::Guard, "big", 8, 4, 4, End::Released),
    ]
    .map(|(what, name, bytes, from, to, end)| (what, name.to_owned(), bytes, from, to, end));
    let mut found = told(&recording);
    found.sort_by_key(|it| (it.3, it.1.clone(), it.0 == What::Wait));
    let mut wanted = expected.to_vec();
    wanted.sort_by_key(|it| (it.3, it.1.clone(), it.0 == What::Wait));
    assert_eq!(found, wanted);

    let intervals = recording.intervals();
    assert!(intervals.iter().all(|it| it.begin_known));
    assert_eq!(intervals[0].place.map(|place| place.line()), Some(line));
    assert_eq!(intervals[0].thread, thread::current().id());
    let wait = intervals.iter().find(|it| it.what == What::Wait);
    let name = wait.and_then(|wait| wait.thread_name.as_deref());
    assert_eq!(name, Some("waiter"));
    let last = intervals.last().and_then(|it| it.thread_name.as_deref());
    assert_eq!(last, Some("waiter"), "its guard is on its own thread");
    Ok(())
}

#[test]
fn waits_that_are_given_up_end_so() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let _guard = ticket.acquire()?;
    let recorder = Recorder::new(&rig.manager);
    let timed = rig.queued_with(&ticket, Wait::new().timeout(3 * SECOND));
    rig.clock.advance(3 * SECOND);
    assert!(timed.result().is_err());
    let recording = recorder.finish();
    let wait = told(&recording).into_iter().find(|it| it.0 == What::Wait);
    let name = "SumPolicy".to_owned();
    assert_eq!(wait, Some((What::Wait, name, 10, 0, 3, End::TimedOut)));
    let given_up: u64 = recording.totals().iter().map(|it| it.given_up).sum();
    assert_eq!(given_up, 1);
    Ok(())
}

#[test]
fn a_wait_that_the_manager_ends_has_failed() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let _guard = ticket.acquire()?;
    let recorder = Recorder::new(&rig.manager);
    let waits = rig.queued(&ticket);
    rig.clock.advance(3 * SECOND);
    rig.manager.close();
    assert_eq!(waits.result().err(), Some(Error::Closed));
    rig.clock.advance(SECOND);
    let recording = recorder.finish();
    let wait = told(&recording).into_iter().find(|it| it.0 == What::Wait);
    let name = "SumPolicy".to_owned();
    assert_eq!(wait, Some((What::Wait, name, 10, 0, 3, End::Failed)));
    let given_up: u64 = recording.totals().iter().map(|it| it.given_up).sum();
    assert_eq!(given_up, 1);
    Ok(())
}

#[test]
fn guards_that_lived_before_and_live_on_are_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let old = rig.ticket(&policy, 1).label("old");
    let (gone, stays) = (old.acquire()?, old.acquire()?);
    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    drop(gone);
    rig.clock.advance(SECOND);
    let recording = recorder.finish();
    let mut found = told(&recording);
    found.sort_by_key(|it| it.4);
    let old = || "old".to_owned();
    assert_eq!(
        found,
        [
            (What::Guard, old(), 1, 0, 1, End::Released),
            (What::Guard, old(), 1, 0, 2, End::Open),
        ]
    );
    assert!(recording.intervals().iter().all(|it| !it.begin_known));
    drop(stays);
    Ok(())
}

#[test]
fn an_owned_guard_may_end_on_another_thread_and_a_resized_one_goes_on() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 4).label("grows");
    let recorder = Recorder::new(&rig.manager);
    let mut guard = ticket.acquire_owned()?;
    rig.clock.advance(SECOND);
    guard.resize(6)?;
    rig.clock.advance(SECOND);
    let ended = thread::spawn(move || drop(guard)).join();
    ended.expect("the other thread ends well");
    let recording = recorder.finish();
    let grows = || "grows".to_owned();
    assert_eq!(
        told(&recording),
        [
            (What::Guard, grows(), 4, 0, 1, End::Resized),
            (What::Guard, grows(), 6, 1, 2, End::Released),
        ]
    );
    assert_eq!(recording.totals()[0].most, 6);
    Ok(())
}

#[test]
fn of_two_alike_the_resized_one_goes_on() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let alike = || rig.ticket(&SumPolicy::uncapped(), 4).label("alike");
    let (one, other) = (alike(), alike());
    let recorder = Recorder::new(&rig.manager);
    let mut resized = one.acquire()?;
    rig.clock.advance(SECOND);
    let stays = other.acquire()?;
    rig.clock.advance(SECOND);
    resized.resize(6)?;
    rig.clock.advance(SECOND);
    drop((resized, stays));
    let intervals = told(&recorder.finish());
    let guard = |bytes, from, to, end| (What::Guard, "alike".to_owned(), bytes, from, to, end);
    assert_eq!(
        intervals,
        [
            guard(4, 0, 2, End::Resized),
            guard(4, 1, 3, End::Released),
            guard(6, 2, 3, End::Released),
        ]
    );
    Ok(())
}

#[test]
fn a_recording_that_begins_and_ends_amid_work_is_whole() -> Result<(), Error> {
    let (manager, _) = on(RecordingBackend::metal());
    // Two of the four wait.
    let ticket = manager.ticket(&SumPolicy::capped(20), 10).label("step");
    let stop = AtomicBool::new(false);
    // So few for each recording that no event is dropped, however long the recording thread is kept from polling.
    let acquires = AtomicU32::new(0);
    let recordings: Vec<Recording> = thread::scope(|scope| {
        let _stops = Sets(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let one_less = |left: u32| left.checked_sub(1);
                    match acquires.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
                        Ok(_) => drop(ticket.acquire()),
                        Err(_) => thread::yield_now(),
                    }
                }
            });
        }
        let recordings = (0..20).map(|_| {
            acquires.store(1000, Ordering::Relaxed);
            let mut recorder = Recorder::new(&manager);
            recorder.poll();
            recorder.finish()
        });
        recordings.collect()
    });
    for recording in recordings {
        assert_eq!(recording.missing(), 0);
        let at_end = recording.at_end().expect("the manager lives");
        let intervals = recording.intervals();
        let open = intervals
            .iter()
            .filter(|it| it.what == What::Guard && it.end == End::Open);
        assert_eq!(open.count(), at_end.guards.len());
        let started = |event: &&mlx_wired::Event| event.kind == EventKind::TicketStarted;
        let started = recording.events().iter().filter(started).count();
        let known = intervals
            .iter()
            .filter(|it| it.what == What::Guard && it.begin_known);
        assert_eq!(known.count(), started);
        let waits = |wanted: fn(&Interval) -> bool| {
            let waits = intervals.iter().filter(|it| it.what == What::Wait);
            waits.filter(|it| wanted(it)).count()
        };
        let waiters = (waits(|it| !it.begin_known), waits(|it| it.end == End::Open));
        let expected = (recording.at_start().waiters.len(), at_end.waiters.len());
        assert_eq!(waiters, expected);
        assert_eq!(waits(|it| it.end == End::Unknown), 0);
        assert!(
            recording
                .events()
                .iter()
                .all(|event| event.time <= at_end.time)
        );
    }
    Ok(())
}

#[test]
fn a_wait_that_began_before_is_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let (held, both) = (ticket.acquire()?, rig.ticket(&SumPolicy::capped(10), 6));
    let ends = waiting(&rig.manager, &ticket);
    let goes_on = waiting(&rig.manager, &both);
    rig.clock.advance(SECOND);
    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    let recording = recorder.finish();
    let name = || "SumPolicy".to_owned();
    let waits = |recording: &Recording| {
        let mut waits = told(recording);
        waits.retain(|it| it.0 == What::Wait);
        waits
    };
    let open = |bytes| (What::Wait, name(), bytes, 0, 1, End::Open);
    assert_eq!(waits(&recording), [open(10), open(6)]);
    assert!(recording.intervals().iter().all(|it| !it.begin_known));

    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    drop(held);
    ends.result()?;
    goes_on.result()?;
    let ended = |bytes| (What::Wait, name(), bytes, 0, 1, End::Admitted);
    assert_eq!(waits(&recorder.finish()), [ended(10), ended(6)]);
    Ok(())
}

#[test]
fn a_guard_that_was_on_its_way_is_held_from_then_on() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    let acquiring = acquiring(&ticket);
    gate.wait_entered(1);
    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    gate.open();
    let guard = acquiring.result()?;
    rig.clock.advance(4 * SECOND);
    let recording = recorder.finish();
    let name = "SumPolicy".to_owned();
    assert_eq!(told(&recording), [(What::Guard, name, 10, 1, 5, End::Open)]);
    drop(guard);
    Ok(())
}

#[test]
fn a_resized_guard_whose_beginning_was_dropped_is_told_from_then_on() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let (grows, other) = (
        rig.ticket(&policy, 4).label("grows"),
        rig.ticket(&policy, 1),
    );
    let mut recorder = Recorder::with_capacity(&rig.manager, 10);
    let mut guard = grows.acquire_owned()?;
    for _ in 0..10 {
        rig.clock.advance(SECOND);
        drop(other.acquire()?);
        recorder.poll();
    }
    rig.clock.advance(SECOND);
    guard.resize(6)?;
    drop(guard);
    let recording = recorder.finish();
    let whole = recording.duration();
    assert!(recording.missing() > 0 && whole >= SECOND);
    let mut intervals = recording.intervals();
    intervals.retain(|it| it.name() == "grows");
    let found = intervals
        .iter()
        .map(|it| (it.bytes, it.begin_known, it.from, it.end));
    let told = (6, false, whole, End::Released);
    assert!(found.eq([told]), "{intervals:?}");
    Ok(())
}

#[test]
fn a_wait_whose_beginning_was_dropped_is_told() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(10);
    let (full, other) = (
        rig.ticket(&policy, 10),
        rig.ticket(&SumPolicy::uncapped(), 1),
    );
    let held = full.acquire()?;
    let mut recorder = Recorder::with_capacity(&rig.manager, 10);
    let waiter = waiting(&rig.manager, &full);
    for _ in 0..10 {
        rig.clock.advance(SECOND);
        drop(other.acquire()?);
        recorder.poll();
    }
    let recording = recorder.finish();
    let whole = recording.duration().as_secs();
    assert!(recording.missing() > 0 && whole < 9);
    let waits = told(&recording).into_iter().filter(|it| it.0 == What::Wait);
    let name = "SumPolicy".to_owned();
    assert!(waits.eq([(What::Wait, name, 10, 0, whole, End::Open)]));

    let mut recorder = Recorder::with_capacity(&rig.manager, 10);
    let timed = rig.ticket(&policy, 6).label("timed");
    let gives_up = rig.queued_with(&timed, Wait::new().timeout(10 * SECOND));
    for _ in 0..10 {
        rig.clock.advance(SECOND);
        drop(other.acquire()?);
        recorder.poll();
    }
    assert!(gives_up.result().is_err());
    let intervals = recorder.finish().intervals();
    let wait = intervals.iter().find(|it| it.name() == "timed");
    let ends =
        |it: &Interval| (it.what, it.begin_known, it.end) == (What::Wait, false, End::TimedOut);
    assert!(wait.is_some_and(ends), "{intervals:?}");
    drop(held);
    waiter.result()
}
