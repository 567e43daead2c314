//! Recordings: who held what and who waited, when; totals, sizes against time, and what is still held.

use mlx_wired::clock::FakeClock;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::recorder::{End, Interval, Recorder, Recording, What};
use mlx_wired::{Config, Error, EventKind, HolderState, Manager, SumPolicy, Ticket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

struct Rig {
    manager: Manager,
    backend: Arc<RecordingBackend>,
    clock: FakeClock,
}

fn rig() -> Result<Rig, Error> {
    let backend = RecordingBackend::metal().build();
    let clock = FakeClock::new();
    let manager = Manager::builder()
        .backend(backend.clone())
        .clock(clock.clone())
        .config(Config::default().housekeeping(false))
        .build()?;
    Ok(Rig {
        manager,
        backend,
        clock,
    })
}

/// What, name, bytes, from, to and end of each interval, times in seconds.
fn told(recording: &Recording) -> Vec<(What, String, u64, u64, u64, End)> {
    let tell = |it: Interval| {
        let name = it.name().to_owned();
        let (from, to) = (it.from.as_secs(), it.to.as_secs());
        (it.what, name, it.bytes, from, to, it.end)
    };
    recording.intervals().into_iter().map(tell).collect()
}

/// A thread that acquires and was seen to wait, and then releases.
fn waiting(manager: &Manager, ticket: &Ticket) -> thread::JoinHandle<Result<(), Error>> {
    let before = manager.waiting().len();
    let ticket = ticket.clone();
    let waiting = thread::Builder::new()
        .name("waiter".to_owned())
        .spawn(move || ticket.acquire().map(drop))
        .expect("a thread can be started");
    while manager.waiting().len() == before {
        thread::yield_now();
    }
    waiting
}

#[test]
fn guards_and_waits_have_a_beginning_and_an_end() -> Result<(), Error> {
    let Rig { manager, clock, .. } = rig()?;
    let policy = SumPolicy::capped(10);
    let (big, small) = (manager.ticket(&policy, 8), manager.ticket(&policy, 2));
    let (big, small) = (big.label("big"), small.label("small"));
    clock.advance(7 * SECOND);
    let recorder = Recorder::new(&manager);
    clock.advance(SECOND);
    let first = big.acquire()?;
    let line = line!() - 1;
    clock.advance(SECOND);
    let other = small.acquire()?;
    let waiter = waiting(&manager, &big);
    clock.advance(2 * SECOND);
    drop(first);
    waiter.join().expect("the waiter ends well")?;
    clock.advance(SECOND);
    drop(other);
    clock.advance(SECOND);
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
    let Rig { manager, clock, .. } = rig()?;
    let ticket = manager.ticket(&SumPolicy::capped(10), 10);
    let _guard = ticket.acquire()?;
    let recorder = Recorder::new(&manager);
    let timed = {
        let ticket = ticket.clone();
        thread::spawn(move || ticket.admit_timeout(3 * SECOND).map(drop))
    };
    while manager.waiting().is_empty() {
        thread::yield_now();
    }
    clock.advance(3 * SECOND);
    assert!(timed.join().expect("it ends well").is_err());
    let recording = recorder.finish();
    let wait = told(&recording).into_iter().find(|it| it.0 == What::Wait);
    let name = "SumPolicy".to_owned();
    assert_eq!(wait, Some((What::Wait, name, 10, 0, 3, End::TimedOut)));
    let totals = recording.totals();
    let given_up: u64 = totals.iter().map(|total| total.given_up).sum();
    assert_eq!(given_up, 1);
    Ok(())
}

#[test]
fn guards_that_lived_before_and_live_on_are_told() -> Result<(), Error> {
    let Rig { manager, clock, .. } = rig()?;
    let policy = SumPolicy::uncapped();
    let old = manager.ticket(&policy, 1).label("old");
    let (gone, stays) = (old.acquire()?, old.acquire()?);
    let recorder = Recorder::new(&manager);
    clock.advance(SECOND);
    drop(gone);
    clock.advance(SECOND);
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
    let Rig { manager, clock, .. } = rig()?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), 4).label("grows");
    let recorder = Recorder::new(&manager);
    let mut guard = ticket.acquire_owned()?;
    clock.advance(SECOND);
    guard.resize(6)?;
    clock.advance(SECOND);
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
fn a_recording_is_bounded_and_says_what_is_missing() -> Result<(), Error> {
    let Rig { manager, clock, .. } = rig()?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), 4);
    let _keeps_the_limit = ticket.acquire()?;
    let mut recorder = Recorder::with_capacity(&manager, 10);
    for _ in 0..20 {
        let guard = ticket.acquire()?;
        clock.advance(SECOND);
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

    let recorder = Recorder::with_capacity(&manager, 10);
    for _ in 0..20 {
        drop(ticket.acquire()?);
    }
    let recording = recorder.finish();
    assert!(recording.missing() > 10, "lost before a poll");
    Ok(())
}

#[test]
fn totals_say_what_each_source_used() -> Result<(), Error> {
    let Rig { manager, clock, .. } = rig()?;
    let policy = SumPolicy::uncapped();
    let (weights, step) = (manager.ticket(&policy, 100), manager.ticket(&policy, 10));
    let (weights, step) = (weights.label("weights"), step.label("step"));
    let recorder = Recorder::new(&manager);
    let kept = weights.acquire()?;
    for _ in 0..3 {
        let guard = step.acquire()?;
        clock.advance(2 * SECOND);
        drop(guard);
    }
    let both = (step.acquire()?, step.acquire()?);
    clock.advance(SECOND);
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
    let Rig { manager, clock, .. } = rig()?;
    let policy = SumPolicy::uncapped();
    let recorder = Recorder::new(&manager);
    let large = manager.ticket(&policy, 1000);
    let large = large.acquire()?;
    clock.advance(SECOND);
    let small = manager.ticket(&policy, 16);
    let small = small.acquire()?;
    clock.advance(SECOND / 2);
    drop(large);
    clock.advance(SECOND * 5 / 2);
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
    let Rig { manager, clock, .. } = rig()?;
    let policy = SumPolicy::uncapped();
    let ticket = |bytes, label: &'static str| manager.ticket(&policy, bytes).label(label);
    let older = ticket(1, "older");
    let older = older.acquire()?;
    let recorder = Recorder::new(&manager);
    clock.advance(SECOND);
    let held = ticket(2, "held");
    let held = held.acquire()?;
    let leaked = ticket(3, "leaked");
    leaked.acquire()?.leak();
    let forgotten = ticket(4, "forgotten");
    std::mem::forget(forgotten.acquire()?);
    let line = line!() - 1;
    drop(forgotten);
    clock.advance(4 * SECOND);
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
    let forgotten = format!("4 B forgotten at tests/recorder.rs:{line}:");
    for part in [
        "forgotten, nobody can release it: 4 B",
        &forgotten,
        "leaked on purpose: 3 B",
        "still held: 3 B",
        "held for at least 5.0s",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    drop((older, held));
    let nothing = Recorder::new(&rig()?.manager).finish().leaks();
    assert_eq!(nothing.to_string(), "nothing is held");
    Ok(())
}

#[test]
fn mlxs_memory_is_sampled_beside_the_events() -> Result<(), Error> {
    let Rig {
        manager,
        backend,
        clock,
    } = rig()?;
    let ticket = manager.ticket(&SumPolicy::capped(50), 10);
    let mut recorder = Recorder::new(&manager);
    let guard = ticket.acquire()?;
    backend.update_memory(|memory| memory.active = 77);
    clock.advance(SECOND);
    recorder.poll();
    backend.fail_memory(true);
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
    let Rig { manager, clock, .. } = rig()?;
    let mut recorder = Recorder::new(&manager);
    drop(manager.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    clock.advance(SECOND);
    drop(manager);
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
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()?;
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
fn a_recording_that_begins_and_ends_amid_work_is_whole() -> Result<(), Error> {
    let manager = Manager::builder()
        .backend(RecordingBackend::metal().build())
        .build()?;
    let ticket = manager.ticket(&SumPolicy::uncapped(), 10).label("step");
    let stop = AtomicBool::new(false);
    let recordings: Vec<Recording> = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(ticket.acquire());
                }
            });
        }
        let recordings = (0..20).map(|_| {
            let mut recorder = Recorder::new(&manager);
            recorder.poll();
            recorder.finish()
        });
        let recordings = recordings.collect();
        stop.store(true, Ordering::Relaxed);
        recordings
    });
    for recording in recordings {
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
        assert!(
            recording
                .events()
                .iter()
                .all(|event| event.time <= at_end.time)
        );
    }
    Ok(())
}
