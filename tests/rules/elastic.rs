//! R33a: caps that give way under pressure, and delay no demand for ever.

use crate::support::{GIB, Rig, SECOND, Worker, acquiring, queued, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::snapshot::WaitReason;
use mlx_wired::{
    BudgetPolicy, Config, Error, EventKind, FixedPolicy, Obstacle, Policy, PressureLevel,
    SumPolicy, Ticket, Wait, WireMode,
};
use std::time::Duration;

const SHARES: [f64; 4] = [1.0, 0.9, 0.75, 0.5];
const LONG: Duration = Duration::from_secs(10);
/// A pressure of each level.
const LEVELS: [(f64, PressureLevel); 4] = [
    (0.0, PressureLevel::Normal),
    (0.25, PressureLevel::Warning),
    (0.5, PressureLevel::Urgent),
    (0.75, PressureLevel::Critical),
];

fn elastic() -> Config {
    quiet().elastic(SHARES).stall_after(None)
}

/// A manager whose caps count by half.
fn half() -> Result<Rig, Error> {
    let rig = Rig::new(elastic())?;
    rig.manager.set_pressure(1.0)?;
    Ok(rig)
}

fn cap(bytes: u64) -> SumPolicy {
    SumPolicy::capped(bytes)
}

#[track_caller]
fn in_the_way(ticket: &Ticket) -> Obstacle {
    match ticket.try_acquire() {
        Err(Error::WouldBlock { obstacle, .. }) => obstacle,
        other => panic!("expected that it would block, got {other:?}"),
    }
}

const CRITICAL: Obstacle = Obstacle::Elastic {
    level: PressureLevel::Critical,
    percent: 50,
};

#[test]
fn r33a_by_the_level_a_share_of_each_cap_counts() -> Result<(), Error> {
    fn check(rig: &Rig, policy: impl Policy + Clone, cap: u64) -> Result<(), Error> {
        let one = rig.manager.ticket(&policy, 1);
        rig.manager.set_pressure(0.0)?;
        let _work = one.acquire()?;
        for ((pressure, _), share) in LEVELS.into_iter().zip(SHARES) {
            rig.manager.set_pressure(pressure)?;
            let counts = (cap as f64 * share) as u64;
            assert_eq!(one.available(), Some(counts - 1), "at {pressure}");
            assert_eq!(rig.manager.available_to(&policy), Some(counts - 1));
            let rest = rig.manager.ticket(&policy, counts - 1);
            drop(rest.try_acquire()?);
            let more = rig.manager.ticket(&policy, counts);
            assert!(more.try_acquire().is_err(), "at {pressure}");
        }
        Ok(())
    }
    let rig = Rig::new(elastic())?;
    check(&rig, cap(200), 200)?;
    check(&rig, BudgetPolicy::new(0).with_cap(400), 400)?;
    check(&rig, cap(200).at_most(9), 200)?;
    let device = rig.manager.budget().expect("it is on Metal");
    check(&rig, SumPolicy::new(), device)?;
    rig.finish()?;
    let rig = Rig::new(elastic().budget(1000))?;
    check(&rig, SumPolicy::uncapped(), 1000)?;
    check(&rig, cap(400), 400)?;
    rig.finish()
}

#[test]
fn r33a_it_is_off_by_default() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    rig.manager.set_pressure(1.0)?;
    let ticket = rig.manager.ticket(&cap(100), 50);
    let all = (ticket.acquire()?, ticket.acquire()?);
    let snapshot = rig.manager.snapshot();
    assert_eq!(
        (snapshot.level, snapshot.share),
        (PressureLevel::Critical, 1.0)
    );
    drop(all);
    rig.finish()
}

#[test]
fn r33a_shares_that_make_no_sense_are_refused() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let wrong = [
        [1.0, 0.9, 0.95, 0.5],
        [1.1, 0.9, 0.75, 0.5],
        [1.0, 0.9, 0.75, -0.1],
        [1.0, f64::NAN, 0.75, 0.5],
    ];
    for shares in wrong {
        let error = rig.manager.configure(|config| config.elastic(shares));
        let is_told = matches!(
            error,
            Err(Error::InvalidConfig {
                field: "elastic",
                ..
            })
        );
        assert!(is_told, "{error:?}");
    }
    assert_eq!(rig.manager.config().elastic, None);
    rig.finish()
}

#[test]
fn r33a_a_waiter_is_let_in_when_the_level_falls() -> Result<(), Error> {
    let rig = Rig::new(elastic())?;
    let ticket = rig.manager.ticket(&cap(100), 30);
    let first = ticket.acquire()?;
    rig.manager.set_pressure(1.0)?;
    assert_eq!(in_the_way(&ticket), CRITICAL);
    let second = queued(&rig.manager, &ticket, Wait::new());
    rig.manager.set_pressure(0.3)?;
    drop(second.result()?);
    drop(first);
    rig.finish()
}

#[test]
fn r33a_a_waiter_is_let_in_when_it_fits_by_the_share() -> Result<(), Error> {
    let rig = Rig::new(elastic())?;
    let ticket = rig.manager.ticket(&cap(100), 20);
    let (first, second, third) = (
        ticket.acquire_owned()?,
        ticket.acquire()?,
        ticket.acquire()?,
    );
    rig.manager.set_pressure(1.0)?;
    let fourth = queued(&rig.manager, &ticket, Wait::new());
    drop(first);
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.manager.set_pressure(0.6)?;
    let fourth = fourth.result()?;
    rig.manager.set_pressure(1.0)?;
    let last = queued(&rig.manager, &ticket, Wait::new());
    drop(fourth);
    assert_eq!(rig.manager.waiting().len(), 1);
    drop(third);
    drop((last.result()?, second));
    rig.finish()
}

/// It only delays: what waits is told why, and is let in when its patience is over.
#[test]
fn r33a_no_demand_is_delayed_longer_than_its_patience() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.manager.ticket(&cap(100), 50);
    let first = ticket.acquire()?;
    let second = queued(&rig.manager, &ticket, Wait::new());
    rig.clock.advance(SECOND);
    let waiter = rig.manager.snapshot().waiters.remove(0);
    let why = WaitReason::Delayed {
        level: PressureLevel::Critical,
        in_use: 50,
        counts: 50,
    };
    assert_eq!(waiter.why, why);
    rig.clock.advance(LONG - SECOND - Duration::from_nanos(1));
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(Duration::from_nanos(1));
    drop(second.result()?);
    drop(first);
    rig.finish()
}

/// Each waits its own patience at most: one that was behind another for as long is let in with it.
#[test]
fn r33a_patience_begins_when_the_pressure_delays() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let ticket = rig.manager.ticket(&policy, 25);
    let all = rig.manager.ticket(&policy, 100);
    let first = rig.manager.ticket(&policy, 50).acquire_owned()?;
    // It waits for work.
    let whole = queued(&rig.manager, &all, Wait::new());
    let behind = queued(&rig.manager, &ticket, Wait::new());
    rig.clock.advance(2 * LONG);
    assert_eq!(rig.manager.waiting().len(), 2);
    drop(first);
    // No active guard lives.
    let whole = whole.result()?;
    assert_eq!(rig.manager.waiting().len(), 1);
    drop(whole);
    drop(behind.result()?);
    rig.finish()
}

#[test]
fn r33a_a_deadline_before_that_is_kept_and_names_the_pressure() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.manager.ticket(&cap(100), 50);
    let first = ticket.acquire()?;
    let second = queued(&rig.manager, &ticket, Wait::new().timeout(SECOND));
    rig.clock.advance(SECOND);
    let error = second.result().expect_err("it was too late");
    assert!(matches!(error, Error::Timeout { obstacle, .. } if obstacle == CRITICAL));
    let text = error.to_string();
    assert!(
        text.contains("the pressure is critical, 50 % of its cap count; wait until it falls"),
        "{text}"
    );
    assert!(text.len() <= 160, "{text}");
    drop(first);
    rig.finish()
}

#[test]
fn r33a_growth_is_not_delayed() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.manager.ticket(&cap(100), 40);
    let mut work = ticket.acquire_owned()?;
    work.try_resize(100)?;
    work.resize(10)?;
    let hold = ticket.clone().reservation();
    let mut hold = hold.acquire_owned()?;
    hold.try_resize(90)?;
    drop((work, hold));
    rig.finish()
}

#[test]
fn r33a_the_first_in_a_line_without_active_guards_is_not_delayed() -> Result<(), Error> {
    for budget in [None, Some(100)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(100);
        let step = rig.manager.ticket(&policy, 40);
        let weights = step.clone().reservation().acquire_owned()?;
        rig.clock.advance(LONG);
        let model = rig.manager.ticket(&policy, 10).resident();
        let model = model.acquire_owned()?;
        rig.clock.advance(LONG);
        let first = step.acquire_owned()?;
        let second = queued(&rig.manager, &step, Wait::new());
        drop(first);
        drop(second.result()?);
        // A leaked guard is no work.
        rig.manager.ticket(&policy, 5).acquire_owned()?.leak();
        drop(step.acquire()?);
        drop((weights, model));
        assert!(rig.manager.waiting().is_empty());
    }
    Ok(())
}

/// With a budget the line is of all groups: work of any of them delays.
#[test]
fn r33a_under_a_budget_the_work_of_all_groups_counts() -> Result<(), Error> {
    let rig = Rig::new(elastic().budget(100))?;
    rig.manager.set_pressure(1.0)?;
    let one = rig.manager.ticket(&cap(90), 30);
    let other = rig.manager.ticket(&cap(91), 30);
    let working = one.acquire_owned()?;
    assert_eq!(in_the_way(&other), CRITICAL);
    let waits = queued(&rig.manager, &other, Wait::new());
    drop(working);
    drop(waits.result()?);
    rig.finish()
}

#[test]
fn r33a_a_hold_is_set_aside_and_delays_no_work() -> Result<(), Error> {
    for budget in [None, Some(1000)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(100);
        let step = rig.manager.ticket(&policy, 20);
        let model = rig.manager.ticket(&policy, 60).resident();
        let first = step.acquire_owned()?;
        assert_eq!(in_the_way(&model), CRITICAL);
        let load = queued(&rig.manager, &model, Wait::new());
        let waiter = rig.manager.snapshot().waiters.remove(0);
        assert!(waiter.set_aside);
        assert!(matches!(waiter.why, WaitReason::Delayed { counts: 50, .. }));
        // Work goes on.
        let second = step.try_acquire()?;
        drop(first);
        assert_eq!(rig.manager.waiting().len(), 1);
        // The last guard leaves: nothing is left to wait for.
        drop(second);
        drop(load.result()?);
        // A released guard and the next acquire find the way free again.
        drop(step.try_acquire()?);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r33a_a_hold_waits_while_any_guard_lives_and_at_most_its_patience() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let weights = rig.manager.ticket(&policy, 40).reservation();
    let _held = weights.acquire()?;
    let other = queued(&rig.manager, &weights, Wait::new());
    rig.clock.advance(LONG - Duration::from_nanos(1));
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(Duration::from_nanos(1));
    drop(other.result()?);
    rig.finish()
}

#[test]
fn r33a_holds_that_are_delayed_come_in_their_order() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let hold = |bytes| rig.manager.ticket(&policy, bytes).reservation();
    let work = rig.manager.ticket(&policy, 45).acquire_owned()?;
    let large = queued(&rig.manager, &hold(20), Wait::new());
    // It would fit, and came later.
    let small = queued(&rig.manager, &hold(5), Wait::new());
    assert_eq!(rig.manager.waiting().len(), 2);
    drop(work);
    drop((large.result()?, small.result()?));
    rig.finish()
}

/// Two holds wait for work, in line: of the one that the pressure sets aside then the other keeps its distance.
#[test]
fn r33a_a_hold_in_line_passes_none_that_the_pressure_sets_aside() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let hold = |bytes| rig.manager.ticket(&policy, bytes).reservation();
    let (most, some) = (hold(1).acquire_owned()?, rig.manager.ticket(&policy, 44));
    let some = some.acquire_owned()?;
    rig.manager.set_pressure(0.0)?;
    let rest = rig.manager.ticket(&policy, 55).acquire_owned()?;
    let large = queued(&rig.manager, &hold(20), Wait::new());
    let small = queued(&rig.manager, &hold(3), Wait::new());
    rig.manager.set_pressure(1.0)?;
    drop(rest);
    // 45 live, and 50 count.
    assert_eq!(rig.manager.waiting().len(), 2);
    rig.manager.set_pressure(0.0)?;
    drop((large.result()?, small.result()?, most, some));
    rig.finish()
}

/// What can never be, is no affair of the pressure.
#[test]
fn r33a_refusals_go_by_the_caps_in_full() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let never = rig.manager.ticket(&policy, 101);
    let never = never.try_acquire();
    assert!(matches!(never, Err(Error::NeverAdmissible { .. })));
    let weights = rig.manager.ticket(&policy, 60).reservation().room_for(40);
    let weights = weights.acquire()?;
    // It fits beside them, if not by half.
    let step = rig.manager.ticket(&policy, 40);
    drop(step.acquire()?);
    let larger = rig.manager.ticket(&policy, 41);
    let larger = larger.try_acquire();
    assert!(matches!(larger, Err(Error::NoRoom { .. })), "{larger:?}");
    drop(weights);
    rig.finish()
}

/// A thread that waits for the pressure alone waits in no circle.
#[test]
fn r33a_a_nested_acquire_is_served_after_the_patience() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.manager.ticket(&cap(10), 4);
    let worker = Worker::holding(&rig.manager, &ticket).waits(&ticket, Wait::new());
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(LONG);
    worker.result()?;
    // And growth at once.
    let mut guard = ticket.acquire_owned()?;
    guard.try_resize(7)?;
    drop(guard);
    rig.finish()
}

#[test]
fn r33a_every_change_of_the_level_is_an_event() -> Result<(), Error> {
    let rig = Rig::new(elastic())?;
    let events = rig.manager.subscribe(64);
    let steps = [0.1, 0.3, 0.4, 1.0, f64::NAN, 0.7, 0.0];
    for pressure in steps {
        rig.manager.set_pressure(pressure)?;
    }
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv())
        .filter_map(|event| match event.kind {
            EventKind::PressureChanged { from, to } => Some((from, to)),
            _ => None,
        })
        .collect();
    use PressureLevel::{Critical, Normal, Urgent, Warning};
    let expected = [
        (Normal, Warning),
        (Warning, Critical),
        (Critical, Urgent),
        (Urgent, Normal),
    ];
    assert_eq!(told, expected);
    rig.finish()
}

#[test]
fn r33a_level_and_share_are_in_the_snapshot() -> Result<(), Error> {
    let rig = Rig::new(elastic().budget(GIB))?;
    rig.manager.set_pressure(0.6)?;
    let snapshot = rig.manager.snapshot();
    assert_eq!(
        (snapshot.level, snapshot.share),
        (PressureLevel::Urgent, 0.75)
    );
    let text = snapshot.to_string();
    let line = "pressure  0.60, urgent; 75 % of caps and budget count for new demands";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("budget    1 GiB"), "{text}");
    rig.finish()
}

#[test]
fn r33a_without_coordination_nothing_is_delayed() -> Result<(), Error> {
    let rig = Rig::new(elastic().mode(WireMode::Uncoordinated))?;
    rig.manager.set_pressure(1.0)?;
    let ticket = rig.manager.ticket(&cap(100), 80);
    let all = (ticket.acquire()?, ticket.acquire()?);
    drop(all);
    rig.finish()
}

/// The settings may come later than the pressure, and go.
#[test]
fn r33a_the_shares_may_change_while_guards_live() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    rig.manager.set_pressure(1.0)?;
    let ticket = rig.manager.ticket(&cap(100), 50);
    let first = ticket.acquire()?;
    rig.manager.configure(|config| config.elastic(SHARES))?;
    let second = queued(&rig.manager, &ticket, Wait::new());
    rig.manager.configure(|config| config.elastic(None))?;
    drop(second.result()?);
    drop(first);
    rig.finish()
}

/// While somebody watches, acquires take another way.
#[test]
fn r33a_it_is_the_same_while_somebody_watches() -> Result<(), Error> {
    let rig = half()?;
    let events = rig.manager.subscribe(1024);
    let policy = cap(100);
    let ticket = rig.manager.ticket(&policy, 50);
    let first = ticket.acquire_owned()?;
    assert_eq!(in_the_way(&ticket), CRITICAL);
    let load = queued(&rig.manager, &ticket.clone().resident(), Wait::new());
    // A release that nobody in line waits for.
    drop(first);
    drop(load.result()?);
    drop(events);
    rig.finish()
}

/// Where the limit covers everything, acquires take no lock.
#[test]
fn r33a_acquires_without_the_lock_go_by_the_share() -> Result<(), Error> {
    let rig = Rig::new(elastic())?;
    let high = rig
        .manager
        .ticket(&FixedPolicy::new(1000), 1)
        .acquire_owned()?;
    let ticket = rig.manager.ticket(&cap(100), 25);
    let held = ticket.acquire_owned()?;
    rig.manager.maintain();
    drop(ticket.acquire()?);
    for (pressure, fits) in [(0.0, 3), (1.0, 1), (0.5, 2), (0.25, 2), (0.0, 3)] {
        rig.manager.set_pressure(pressure)?;
        let admissions = rig.manager.stats().admissions;
        let guards: Vec<_> = (0..fits).map(|_| ticket.acquire()).collect();
        assert_eq!(rig.manager.stats().admissions, admissions, "at {pressure}");
        assert!(ticket.try_acquire().is_err(), "at {pressure}");
        drop(guards);
    }
    drop((held, high));
    rig.finish()
}

/// Whatever threads do, what they have admitted by share is below it, and each goes on.
#[test]
fn r33a_no_admission_passes_the_share() -> Result<(), Error> {
    let backend = RecordingBackend::metal();
    let rig = Rig::on(backend, elastic().pressure_patience(Duration::MAX))?;
    let ticket = rig.manager.ticket(&cap(8), 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let outer = ticket.acquire().expect("it waits");
                    drop(outer);
                }
            });
        }
        for n in 0..200_usize {
            let (pressure, _) = LEVELS[n % 4];
            rig.manager
                .set_pressure(pressure)
                .expect("it is not inside");
        }
        rig.manager.set_pressure(1.0).expect("it is not inside");
        // From here on 4 of 8 count: a fifth that comes now is told so, or fits.
        for _ in 0..500 {
            if let Ok(guard) = ticket.try_acquire() {
                let in_use = ticket.in_use();
                assert!(in_use <= 5, "{in_use} of 4, and one that came before");
                drop(guard);
            }
        }
    });
    rig.finish()
}

/// One that gives up leaves its place to the next.
#[test]
fn r33a_one_that_gives_up_leaves_its_place() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let step = rig.manager.ticket(&policy, 40);
    let hold = |bytes| rig.manager.ticket(&policy, bytes).reservation();
    let work = step.acquire_owned()?;
    let gives_up = queued(&rig.manager, &hold(60), Wait::new().timeout(SECOND));
    let small = acquiring(&hold(10), Wait::new());
    small.until_queued(&rig.manager);
    rig.clock.advance(SECOND);
    let error = gives_up.result().expect_err("it was too late");
    assert!(matches!(error, Error::Timeout { obstacle, .. } if obstacle == CRITICAL));
    drop((small.result()?, work));
    rig.finish()
}

/// A hold that the pressure has set aside keeps its place for its patience. If the holds have grown meanwhile so that it does
/// not fit beside them, it waits for them on, and delays no step of theirs.
#[test]
fn r33a_a_hold_is_judged_beside_the_holds_before_it_is_in_line_again() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let weights = rig.manager.ticket(&policy, 10).reservation().room_for(20);
    let mut weights = weights.acquire_owned()?;
    let work = rig.manager.ticket(&policy, 40).acquire_owned()?;
    let job = rig.manager.ticket(&policy, 30).reservation();
    let job = queued(&rig.manager, &job, Wait::new());
    weights.try_resize(60)?;
    rig.clock.advance(2 * LONG);
    assert_eq!(rig.manager.waiting().len(), 1);
    drop(work);
    let waiter = rig.manager.snapshot().waiters.remove(0);
    assert!(waiter.set_aside, "{waiter:?}");
    let is_for_holds = matches!(waiter.why, WaitReason::Holds { .. });
    assert!(is_for_holds, "{waiter:?}");
    drop(rig.manager.ticket(&policy, 20).try_acquire()?);
    drop(weights);
    drop(job.result()?);
    rig.finish()
}

/// One behind another that the pressure delays is delayed by it, too.
#[test]
fn r33a_patience_is_not_spent_one_after_another() -> Result<(), Error> {
    for budget in [None, Some(1000)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(100);
        let one = rig.manager.ticket(&policy, 10);
        let other = rig.manager.ticket(&policy, 11);
        for (one, other) in [
            (one.clone(), other.clone()),
            (one.resident(), other.resident()),
        ] {
            let work = rig.manager.ticket(&policy, 50).acquire_owned()?;
            let first = queued(&rig.manager, &one, Wait::new());
            let gives_up = queued(&rig.manager, &other, Wait::new().timeout(LONG));
            rig.clock.advance(SECOND);
            let second = queued(&rig.manager, &other, Wait::new());
            rig.clock.advance(LONG - SECOND);
            let first = first.result()?;
            // Its deadline came with the end of its patience: it may be let in or not.
            let gives_up = gives_up.result();
            rig.clock.advance(SECOND);
            drop((first, second.result()?, gives_up, work));
            assert!(rig.manager.waiting().is_empty());
        }
        rig.finish()?;
    }
    Ok(())
}

/// One who has waited for work, behind work that waited for work, has all of its patience.
#[test]
fn r33a_patience_begins_anew_where_work_was_in_the_way() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let work = rig.manager.ticket(&policy, 40).acquire_owned()?;
    let more = rig.manager.ticket(&policy, 10).acquire_owned()?;
    let first = queued(&rig.manager, &rig.manager.ticket(&policy, 20), Wait::new());
    let second = queued(&rig.manager, &rig.manager.ticket(&policy, 50), Wait::new());
    rig.clock.advance(LONG);
    let first = first.result()?;
    rig.clock.advance(LONG);
    // 70 live, and 50 are asked for.
    drop(first);
    rig.clock.advance(LONG - SECOND);
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.clock.advance(SECOND);
    drop((second.result()?, work, more));
    rig.finish()
}

/// A demand that may be delayed no time is not delayed, in a `try_` form either.
#[test]
fn r33a_without_patience_nothing_is_delayed() -> Result<(), Error> {
    let rig = Rig::new(elastic().pressure_patience(Duration::ZERO))?;
    rig.manager.set_pressure(1.0)?;
    let ticket = rig.manager.ticket(&cap(100), 50);
    drop((ticket.try_acquire()?, ticket.try_acquire()?));
    rig.finish()
}

/// The smallest script that hangs where the share counts for the only step of a job.
#[test]
fn r33a_a_step_beside_its_own_weights_is_served() -> Result<(), Error> {
    for budget in [None, Some(10)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(10);
        let weights = rig
            .manager
            .ticket(&policy, 5)
            .reservation()
            .acquire_owned()?;
        let works_on = rig.manager.ticket(&SumPolicy::uncapped(), 1);
        let works_on = budget.is_some().then(|| works_on.clone().acquire_owned());
        let step = acquiring(&rig.manager.ticket(&policy, 1), Wait::new());
        if budget.is_some() {
            step.until_queued(&rig.manager);
            // Work of another group counts.
            rig.clock.advance(LONG);
        }
        drop((step.result()?, works_on.transpose()?, weights));
        rig.finish()?;
    }
    Ok(())
}
