//! What a recording keeps, and what it tells of the whole.

use crate::kit::{Rig, SECOND, acquiring, on, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::recorder::{End, Recorder, What};
use mlx_wired::{Error, HolderState, SumPolicy};
use std::thread;
use std::time::Duration;

#[test]
fn a_recording_is_bounded_and_says_what_is_missing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 4);
    let _keeps_the_limit = ticket.acquire()?;
    let mut recorder = Recorder::with_capacity(&rig.manager, 10);
    for _ in 0..20 {
        let guard = ticket.acquire()?;
        rig.clock.advance(SECOND);
        drop(guard);
        recorder.poll();
    }
    let recording = recorder.finish();
    assert_eq!(recording.events().len(), 10);
    let all = recording.events()[9].sequence - recording.events()[0].sequence;
    assert_eq!(all, 9, "the latest, without a gap");
    assert!(recording.missing() > 10, "{}", recording.missing());
    assert!(recording.duration() < 20 * SECOND);
    // Each end has a beginning, if only that of the recording.
    let intervals = recording.intervals();
    assert!(intervals.iter().all(|it| it.from <= it.to));
    let open = intervals.iter().filter(|it| it.end == End::Open);
    assert_eq!(open.count(), 1, "the one that lives: {intervals:?}");

    let recorder = Recorder::with_capacity(&rig.manager, 10);
    for _ in 0..20 {
        drop(ticket.acquire()?);
    }
    let recording = recorder.finish();
    assert!(recording.missing() > 10, "lost before a poll");
    Ok(())
}

#[test]
fn totals_say_what_each_source_used() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let (weights, step) = (rig.ticket(&policy, 100), rig.ticket(&policy, 10));
    let (weights, step) = (weights.label("weights"), step.label("step"));
    let recorder = Recorder::new(&rig.manager);
    let kept = weights.acquire()?;
    for _ in 0..3 {
        let guard = step.acquire()?;
        rig.clock.advance(2 * SECOND);
        drop(guard);
    }
    let both = (step.acquire()?, step.acquire()?);
    rig.clock.advance(SECOND);
    drop((kept, both));
    let totals = recorder.finish().totals();
    let names: Vec<_> = totals.iter().map(|total| &*total.name).collect();
    // By place: the loop's steps, then the two taken together, on two places of one line.
    assert_eq!(names, ["weights", "step", "step", "step"]);
    let (weights, looped) = (&totals[0], &totals[1]);
    assert_eq!((weights.guards, weights.most), (1, 100));
    assert!((weights.byte_seconds - 700.0).abs() < 1e-6);
    assert_eq!((looped.guards, looped.largest, looped.most), (3, 10, 10));
    assert_eq!((looped.held, looped.waits), (6 * SECOND, 0));
    Ok(())
}

#[test]
fn a_heat_map_shows_sizes_against_time() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let recorder = Recorder::new(&rig.manager);
    let large = rig.ticket(&policy, 1000);
    let large = large.acquire()?;
    rig.clock.advance(SECOND);
    let small = rig.ticket(&policy, 16);
    let small = small.acquire()?;
    rig.clock.advance(SECOND / 2);
    drop(large);
    rig.clock.advance(SECOND * 5 / 2);
    drop(small);
    let map = recorder.finish().heat_map(4);
    assert_eq!((map.column, &map.classes[..]), (SECOND, &[16, 1024][..]));
    let rounded = |row: &Vec<f64>| -> Vec<u64> { row.iter().map(|x| x.round() as u64).collect() };
    assert_eq!(rounded(&map.rows[0]), [0, 16, 16, 16]);
    assert_eq!(rounded(&map.rows[1]), [1000, 500, 0, 0]);
    Ok(())
}

#[test]
fn the_leak_report_tells_held_leaked_and_forgotten_guards() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let ticket = |bytes, label: &'static str| rig.ticket(&policy, bytes).label(label);
    let older = ticket(1, "older");
    let older = older.acquire()?;
    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    let held = ticket(2, "held");
    let held = held.acquire()?;
    let leaked = ticket(3, "leaked");
    leaked.acquire()?.leak();
    let forgotten = ticket(4, "forgotten");
    std::mem::forget(forgotten.acquire()?);
    let line = line!() - 1;
    drop(forgotten);
    rig.clock.advance(4 * SECOND);
    let report = recorder.finish().leaks();

    let found: Vec<_> = report
        .outstanding
        .iter()
        .map(|it| {
            let label = it.holder.label.as_deref().unwrap_or_default();
            (label, it.holder.state, it.held_for.as_secs(), it.older)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("forgotten", HolderState::Forgotten, 4, false),
            ("leaked", HolderState::Leaked, 4, false),
            ("held", HolderState::Held, 4, false),
            ("older", HolderState::Held, 5, true),
        ]
    );
    assert_eq!(report.lost_bytes(), 7);
    let text = report.to_string();
    let forgotten = format!("4 B forgotten at tests/recorder/recordings.rs:{line}:");
    for part in [
        "forgotten, no thread can release it: 4 B",
        &forgotten,
        "leaked on purpose: 3 B",
        "still held: 3 B",
        "held for at least 5.0s",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    drop((older, held));
    let nothing = Recorder::new(&Rig::new(quiet())?.manager).finish().leaks();
    assert_eq!(nothing.to_string(), "nothing is held");
    Ok(())
}

#[test]
fn mlxs_memory_is_sampled_beside_the_events() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(50), 10);
    let mut recorder = Recorder::new(&rig.manager);
    let guard = ticket.acquire()?;
    rig.backend.update_memory(|memory| memory.active = 77);
    rig.clock.advance(SECOND);
    recorder.poll();
    rig.backend.fail_memory(true);
    drop(guard);
    let recording = recorder.finish();
    let samples = recording.samples();
    let active: Vec<_> = samples
        .iter()
        .map(|sample| sample.memory.map(|memory| memory.active))
        .collect();
    assert_eq!(active.last(), Some(&None), "a failing counter is none");
    assert!(active.contains(&Some(77)), "{active:?}");
    let during = samples.iter().find(|sample| sample.demand == 10);
    let during = during.expect("a sample while the guard lived");
    assert_eq!((during.applied, during.cap), (10, Some(50)));
    Ok(())
}

#[test]
fn a_recorder_does_not_keep_the_manager_alive() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let mut recorder = Recorder::new(&rig.manager);
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    rig.clock.advance(SECOND);
    drop(rig);
    recorder.poll();
    let recording = recorder.finish();
    assert!(recording.at_end().is_none());
    assert_eq!(recording.intervals().len(), 1);
    assert!(recording.leaks().outstanding.is_empty());
    Ok(())
}

#[test]
fn nothing_is_lost_in_the_background_while_threads_acquire_and_release() -> Result<(), Error> {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 200;
    let (manager, _) = on(RecordingBackend::metal());
    let ticket = manager.ticket(&SumPolicy::capped(30), 10).label("step");
    let recorder = Recorder::new(&manager);
    let recorder = recorder.in_background(Duration::from_millis(1));
    let recorder = recorder.expect("a thread can be started");
    thread::scope(|scope| {
        let work = || -> Result<(), Error> {
            for _ in 0..ROUNDS {
                drop(ticket.acquire()?);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|it| it.join().expect("ends well"));
        ends.collect::<Result<(), Error>>()
    })?;
    let recording = recorder.finish();
    assert_eq!(recording.missing(), 0);
    let intervals = recording.intervals();
    let guards = intervals.iter().filter(|it| it.what == What::Guard);
    assert!(
        guards
            .clone()
            .all(|it| it.end == End::Released && it.begin_known)
    );
    assert_eq!(guards.count() as u64, THREADS * ROUNDS);
    let waits = intervals.iter().filter(|it| it.what == What::Wait);
    assert!(waits.clone().all(|it| it.end == End::Admitted));
    assert_eq!(waits.count() as u64, manager.stats().waits);
    assert!(recording.totals()[0].most <= 30);
    drop(Recorder::new(&manager).in_background(Duration::ZERO));
    Ok(())
}

#[test]
fn what_took_no_time_does_not_stay() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    let recorder = Recorder::new(&rig.manager);
    for _ in 0..3 {
        drop(ticket.acquire()?);
    }
    rig.clock.advance(SECOND);
    let totals = recorder.finish().totals();
    assert_eq!((totals[0].guards, totals[0].most), (3, 10));
    Ok(())
}

#[test]
fn the_latest_events_are_kept_however_few() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 4);
    let _stays = ticket.acquire_owned()?;
    let recorder = Recorder::with_capacity(&rig.manager, 10);
    for _ in 0..20 {
        drop(ticket.acquire()?);
    }
    let recording = recorder.finish();
    let last = recording.events().last().expect("there are events");
    let all = last.sequence - recording.events()[0].sequence + 1;
    assert_eq!((recording.events().len(), all), (10, 10));
    assert_eq!(last.live, 1, "the last thing that happened");
    assert_eq!(recording.missing(), recording.events()[0].sequence);
    Ok(())
}

#[test]
fn a_guard_of_the_recordings_time_is_not_older() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let recorder = Recorder::new(&rig.manager);
    let acquire = || acquiring(&ticket).result();
    let first = acquire()?;
    rig.clock.advance(SECOND);
    let second = acquire()?;
    rig.clock.advance(SECOND);
    // By a third thread: which of them it was nobody knows.
    drop(first);
    rig.clock.advance(SECOND);
    let leaks = recorder.finish().leaks();
    let found = &leaks.outstanding[0];
    assert_eq!((found.held_for, found.older), (2 * SECOND, false));

    drop(second);
    let older = ticket.acquire_owned()?;
    let recorder = Recorder::new(&rig.manager);
    rig.clock.advance(SECOND);
    let third = acquire()?;
    rig.clock.advance(SECOND);
    // By the thread that has acquired the older one.
    drop(third);
    let leaks = recorder.finish().leaks();
    let found = &leaks.outstanding[0];
    assert_eq!((found.held_for, found.older), (2 * SECOND, true));
    drop(older);
    Ok(())
}
