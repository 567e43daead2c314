//! R24: the whole state at any time. R19: who holds what is always known.

use crate::kit::{Brake, Custom, GIB, Pending, Rig, SECOND, acquiring, eager, quiet, until};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::snapshot::{BaselineSource, CeilingSource};
use mlx_wired::{Config, Error, Guard, HolderState, Kind, MaxPolicy, Snapshot, SumPolicy, Ticket};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn r24_a_snapshot_tells_limits_groups_guards_and_waiters() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(GIB), quiet())?;
    let policy = SumPolicy::capped(12 * GIB);
    let weights = rig.ticket(&policy, 8 * GIB).label("weights");
    let weights = weights.reservation();
    let step = rig.ticket(&policy, 4 * GIB).label("step");
    let held = (weights.acquire()?, step.acquire()?);
    let line = line!() - 1;
    let waiting = rig.queued(&step);
    rig.clock.advance(3 * SECOND);

    let snapshot = rig.manager.snapshot();
    assert_eq!(snapshot.time, clock_of(&rig));
    assert_eq!((snapshot.live, snapshot.live_bytes), (2, 12 * GIB));
    // The baseline is MLX's answer; what is called for is capped.
    assert_eq!(
        (snapshot.baseline, snapshot.baseline_source),
        (GIB, BaselineSource::Mlx)
    );
    assert_eq!(
        (snapshot.desired, snapshot.applied),
        (12 * GIB, rig.manager.applied())
    );
    assert_eq!(snapshot.epoch, Some(held.1.epoch()));
    assert!(snapshot.guards_add_up && !snapshot.closed && !snapshot.setting);

    let [group] = &snapshot.groups[..] else {
        panic!("one group: {snapshot:?}");
    };
    assert_eq!(&*group.policy, "SumPolicy");
    assert_eq!(
        (group.guards, group.reservations, group.bytes, group.waiting),
        (2, 1, 12 * GIB, 1)
    );
    assert_eq!((group.capacity, group.limit), (Some(12 * GIB), 12 * GIB));

    let [first, second] = &snapshot.guards[..] else {
        panic!("two guards: {snapshot:?}");
    };
    assert_eq!(
        (first.bytes, first.kind, first.label.as_deref()),
        (8 * GIB, Kind::Reservation, Some("weights"))
    );
    assert_eq!(second.place.line(), line);
    assert_eq!(second.thread, thread::current().id());
    assert_eq!(second.group, group.number);

    let [waiter] = &snapshot.waiters[..] else {
        panic!("one waiter: {snapshot:?}");
    };
    assert_eq!((waiter.bytes, waiter.held), (4 * GIB, None));
    assert_eq!(waiter.waited, 3 * SECOND);
    assert_eq!(waiter.label.as_deref(), Some("step"));
    assert!(waiter.place.file().ends_with("kit/threads.rs"));
    drop(held);
    drop(waiting.result()?);
    rig.finish()
}

fn clock_of(rig: &Rig) -> std::time::Instant {
    use mlx_wired::clock::Clock;
    rig.clock.now()
}

#[test]
fn r24_a_snapshot_of_nothing_is_quiet() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let snapshot = rig.manager.snapshot();
    assert_eq!(
        (snapshot.live, snapshot.desired, snapshot.epoch),
        (0, 0, None)
    );
    assert!(snapshot.groups.is_empty() && snapshot.guards.is_empty());
    assert!(snapshot.guards_add_up);
    assert_eq!(snapshot.baseline_source, BaselineSource::Assumed);
    rig.finish()
}

#[test]
fn r24_a_snapshot_says_what_made_the_ceiling() -> Result<(), Error> {
    let source = |config: Config| -> Result<(u64, CeilingSource), Error> {
        let rig = Rig::new(config)?;
        let ceiling = rig.manager.snapshot().ceiling.expect("Metal has one");
        assert_eq!(Some(ceiling.bytes), rig.manager.ceiling());
        Ok((ceiling.bytes, ceiling.source))
    };
    let recommended = |margin| CeilingSource::Recommended {
        recommended: 48 * GIB,
        margin,
    };
    assert_eq!(source(quiet())?, (48 * GIB, recommended(0)));
    assert_eq!(
        source(quiet().margin(0.25))?,
        (36 * GIB, recommended(12 * GIB))
    );
    let by_memory = CeilingSource::Memory {
        memory_size: 64 * GIB,
        reserve: 24 * GIB,
    };
    assert_eq!(source(quiet().reserve(24 * GIB))?, (40 * GIB, by_memory));
    let rig = Rig::on(RecordingBackend::cpu(), quiet())?;
    assert_eq!(rig.manager.snapshot().ceiling, None);
    rig.finish()
}

#[test]
fn r24_a_snapshot_tells_what_is_owed_and_when() -> Result<(), Error> {
    let config = eager().shrink_cooldown(5 * SECOND).linger(9 * SECOND);
    let rig = Rig::new(config)?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let (first, second) = (ticket.acquire()?, ticket.acquire()?);
    drop(first);
    rig.clock.advance(2 * SECOND);
    let owed = rig.manager.snapshot().owed;
    assert_eq!((owed.shrink_in, owed.restore_in), (Some(3 * SECOND), None));
    drop(second);
    rig.clock.advance(SECOND);
    let owed = rig.manager.snapshot().owed;
    assert_eq!((owed.shrink_in, owed.restore_in), (None, Some(8 * SECOND)));
    rig.backend.fail_next(1);
    rig.clock.advance(20 * SECOND);
    rig.manager.maintain();
    let owed = rig.manager.snapshot().owed;
    assert_eq!((owed.restore_in, owed.retry_in), (None, Some(SECOND)));
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r24_waits_are_counted_in_a_histogram() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::capped(10), 10);
    for seconds in [1, 2, 10] {
        let guard = ticket.acquire()?;
        let waiting = rig.queued(&ticket);
        rig.clock.advance(seconds * SECOND);
        drop(guard);
        drop(waiting.result()?);
    }
    let times = rig.manager.snapshot().wait_times;
    assert_eq!(times.count, 3);
    let near = |found: Duration, wanted: Duration| {
        assert!(found >= wanted && found < wanted.mul_f64(1.01), "{found:?}");
    };
    near(times.median, 2 * SECOND);
    near(times.longest, 10 * SECOND);
    assert_eq!(times.buckets.iter().map(|(_, n)| n).sum::<u64>(), 3);
    rig.finish()
}

#[test]
fn r24_acquires_served_by_anothers_call_are_counted() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    let first = acquiring(&ticket);
    gate.wait_entered(1);
    let others: Vec<_> = (0..3).map(|_| acquiring(&ticket)).collect();
    until("all are counted and wait for the limit", || {
        rig.manager.snapshot().uncovered == 4
    });
    let during = rig.manager.snapshot();
    assert!(during.setting && during.guards_add_up, "{during}");
    assert_eq!((during.live, during.guards.len()), (4, 0));
    gate.open();
    // All of them live until all are there: one that leaves makes the others look again, by sessions of their own.
    let others = others.into_iter().map(Pending::result);
    let guards = (first.result()?, others.collect::<Result<Vec<_>, _>>()?);
    let stats = rig.manager.stats();
    assert_eq!(stats.admissions, 4);
    assert!(stats.coalesced >= 2, "{stats:?}");
    drop(guards);
    rig.finish()
}

#[test]
fn r24_the_age_of_a_guard_is_known_after_a_wait_and_while_somebody_watches() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_threshold_ratio(1.0))?;
    let ticket = rig.ticket(&SumPolicy::capped(20), 10);
    let ages = || -> Vec<Option<Duration>> {
        let guards = rig.manager.holders();
        guards.iter().map(|guard| guard.age).collect()
    };
    let unwatched = (ticket.acquire()?, ticket.acquire()?);
    assert_eq!(ages(), [None, None]);
    let waiting = rig.queued(&ticket);
    drop(unwatched.0);
    let waited = waiting.result()?;
    rig.clock.advance(7 * SECOND);
    assert!(ages().contains(&Some(7 * SECOND)), "{:?}", ages());
    drop(waited);
    drop(unwatched.1);

    let _events = rig.manager.subscribe(100);
    let watched = ticket.acquire()?;
    rig.clock.advance(2 * SECOND);
    assert_eq!(ages(), [Some(2 * SECOND)]);
    drop(watched);
    assert!(ages().is_empty());
    rig.finish()
}

#[test]
fn r19_leaked_and_forgotten_guards_are_told_from_held_ones() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = MaxPolicy::new();
    let states = || -> Vec<(u64, HolderState)> {
        let guards = rig.manager.holders();
        guards
            .iter()
            .map(|guard| (guard.bytes, guard.state))
            .collect()
    };
    let held = rig.ticket(&policy, 5);
    let held = held.acquire()?;
    let leaked = rig.ticket(&policy, 4);
    leaked.acquire()?.leak();
    leaked.acquire_owned()?.leak();
    let forgotten = rig.ticket(&policy, 3);
    mem::forget(forgotten.acquire()?);
    assert_eq!(
        states().last(),
        Some(&(3, HolderState::Held)),
        "its ticket lives"
    );
    drop(forgotten);
    let on_a_thread = rig.ticket(&policy, 2);
    let other = on_a_thread.clone();
    thread::spawn(move || mem::forget(other.acquire()))
        .join()
        .expect("the thread ends well");
    assert_eq!(
        states(),
        [
            (5, HolderState::Held),
            (4, HolderState::Leaked),
            (4, HolderState::Leaked),
            (3, HolderState::Forgotten),
            (2, HolderState::Forgotten),
        ]
    );
    drop(held);
    Ok(())
}

#[test]
fn r19_a_clone_that_is_described_anew_is_another_ticket() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&MaxPolicy::new(), 10).label("first");
    let other = ticket.clone().label("second").reservation();
    assert_ne!(ticket.id(), other.id());
    let guard = ticket.acquire()?;
    let holders = rig.manager.holders();
    assert_eq!(
        (holders[0].label.as_deref(), holders[0].kind),
        (Some("first"), Kind::Active)
    );
    drop(guard);
    rig.finish()
}

#[test]
fn r24_a_snapshot_prints_for_people() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    let policy = SumPolicy::capped(3 * GIB);
    let step = rig.ticket(&policy, 3 * GIB).label("step");
    let guard = step.acquire()?;
    let waiting = rig.queued(&step);
    rig.clock.advance(SECOND);
    let text = rig.manager.snapshot().to_string();
    for part in [
        "limit     3 GiB applied, 3 GiB desired",
        "ceiling   48 GiB: MLX recommends 48 GiB",
        "live      3 GiB in 1 guard, 1 waiting",
        "SumPolicy: 3 GiB of 3 GiB in 1 guard, calls for 3 GiB, 1 waiting",
        "3 GiB step at tests/rules/snapshot.rs:",
        "waits: 3 GiB step at tests/rules/../kit/threads.rs:",
        "since 1.0s",
        "setter    1 call, 0 failed",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    drop(guard);
    drop(waiting.result()?);
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    rig.finish()
}

/// Acquires and releases until told to stop, at times two guards at once.
fn churn(tickets: &[Ticket], stop: &AtomicBool) -> Result<(), Error> {
    let mut rounds = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let first = tickets[rounds % tickets.len()].acquire()?;
        if rounds.is_multiple_of(3) {
            drop(tickets[(rounds + 1) % tickets.len()].try_acquire());
        }
        drop(first);
        rounds += 1;
    }
    Ok(())
}

/// A group's count and sum belong together, and the sums are what the groups say.
#[track_caller]
fn assert_whole(snapshot: &Snapshot, sizes: &[(&str, u64)]) {
    for group in &snapshot.groups {
        let size = sizes.iter().find(|(policy, _)| *policy == &*group.policy);
        let (_, size) = size.unwrap_or_else(|| panic!("an unknown group: {group:?}"));
        assert_eq!(group.bytes, group.guards * size, "torn: {snapshot}");
        assert!(group.guards <= 16, "{snapshot}");
        if let Some(capacity) = group.capacity {
            assert!(group.bytes <= capacity, "{snapshot}");
        }
        let waiters = snapshot.waiters.iter();
        let waiting = waiters.filter(|waiter| waiter.group == group.number);
        assert_eq!(group.waiting, waiting.count(), "{snapshot}");
    }
    let sums = snapshot.groups.iter();
    assert_eq!(
        (snapshot.live, snapshot.live_bytes),
        sums.fold((0, 0), |(live, bytes), group| {
            (live + group.guards, bytes + group.bytes)
        })
    );
    for guard in &snapshot.guards {
        assert!(
            sizes
                .iter()
                .any(|(policy, size)| (*policy, *size) == (&*guard.policy, guard.bytes)),
            "{guard}"
        );
    }
}

#[test]
fn r24_snapshots_are_whole_while_eight_threads_acquire_and_release() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let custom = Custom::new().named("custom");
    let tickets = [
        rig.ticket(&SumPolicy::capped(5 * GIB), GIB),
        rig.ticket(&MaxPolicy::new(), 3 * GIB),
        rig.ticket(&custom, 2 * GIB),
    ];
    let label = custom_label(&tickets[2], &rig)?;
    let sizes = [
        ("SumPolicy", GIB),
        ("MaxPolicy", 3 * GIB),
        (&*label, 2 * GIB),
    ];
    let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let mut tickets = tickets.to_vec();
            tickets.rotate_left(n % 3);
            Pending::spawn(move || churn(&tickets, stop))
        })
        .collect();
    let mut live = 0;
    for _ in 0..2000 {
        let snapshot = rig.manager.snapshot();
        assert_whole(&snapshot, &sizes);
        live += snapshot.live;
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.result()?;
    }
    assert!(live > 0, "the threads were seen at work");
    let after = rig.manager.snapshot();
    assert_eq!((after.live, after.guards.len()), (0, 0));
    assert!(after.guards_add_up);
    rig.finish()
}

fn custom_label(ticket: &Ticket, rig: &Rig) -> Result<String, Error> {
    let _guard: Guard<'_> = ticket.acquire()?;
    Ok(rig.manager.holders()[0].policy.to_string())
}

#[test]
fn r24_what_was_withdrawn_is_not_uncovered() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let brake = Brake::default();
    let stops = brake.clone();
    let policy = Custom::new().admits(move |_, live, new| {
        if (live.sum, new) == (10, 30) {
            stops.stop();
        }
        live.sum + new <= 100
    });
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let held = ticket(10).acquire_owned()?;
    let gate = rig.backend.gate();
    rig.backend.fail_next(1);
    let fails = acquiring(&ticket(90));
    gate.wait_entered(1);
    let waits = rig.queued(&ticket(30));
    gate.open();
    // The queue is examined; who failed has not been told yet.
    brake.wait_stopped();
    let snapshot = rig.manager.snapshot();
    brake.release();
    assert!(fails.result().is_err());
    drop((waits.result()?, held));
    let told = (snapshot.uncovered, snapshot.live, snapshot.guards_add_up);
    assert_eq!(told, (0, 1, true));
    rig.finish()
}

#[test]
fn r24_waiters_that_came_at_one_time_are_told_in_their_order() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let caps = [100, 200].map(SumPolicy::capped);
    let tickets = caps.map(|policy| rig.ticket(&policy, 100));
    let held = [0, 1, 1].map(|group: usize| tickets[group].acquire_owned());
    let waiting = [1, 0].map(|group: usize| rig.queued(&tickets[group]));
    let snapshot = rig.manager.snapshot();
    let told: Vec<_> = snapshot.waiters.iter().map(|it| it.ticket).collect();
    assert_eq!(told, [tickets[1].id(), tickets[0].id()]);
    drop(held);
    for pending in waiting {
        drop(pending.result()?);
    }
    rig.finish()
}
