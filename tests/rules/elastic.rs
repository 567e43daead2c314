//! R33a: caps that give way under pressure, and delay no demand for ever.

mod holds;
mod patience;

use crate::kit::{GIB, Rig, SECOND, Worker, acquiring, in_the_way, invalid_field, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::snapshot::WaitReason;
use mlx_wired::{
    BudgetPolicy, Config, Error, EventKind, FixedPolicy, Obstacle, Policy, PressureLevel,
    SumPolicy, Wait, WireMode,
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

const CRITICAL: Obstacle = Obstacle::Elastic {
    level: PressureLevel::Critical,
    percent: 50,
};

#[test]
fn r33a_by_the_level_a_share_of_each_cap_counts() -> Result<(), Error> {
    fn check(rig: &Rig, policy: impl Policy + Clone, cap: u64) -> Result<(), Error> {
        let one = rig.ticket(&policy, 1);
        rig.manager.set_pressure(0.0)?;
        let _work = one.acquire()?;
        for ((pressure, _), share) in LEVELS.into_iter().zip(SHARES) {
            rig.manager.set_pressure(pressure)?;
            let counts = (cap as f64 * share) as u64;
            assert_eq!(one.available(), Some(counts - 1), "at {pressure}");
            assert_eq!(rig.manager.available_to(&policy), Some(counts - 1));
            let rest = rig.ticket(&policy, counts - 1);
            drop(rest.try_acquire()?);
            let more = rig.ticket(&policy, counts);
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
    let ticket = rig.ticket(&cap(100), 50);
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
        let refused = rig.manager.configure(|config| config.elastic(shares));
        assert_eq!(invalid_field(refused), "elastic");
    }
    assert_eq!(rig.manager.config().elastic, None);
    rig.finish()
}

#[test]
fn r33a_a_waiter_is_let_in_when_it_fits_by_the_share() -> Result<(), Error> {
    let rig = Rig::new(elastic())?;
    let ticket = rig.ticket(&cap(100), 20);
    let (first, second, third) = (
        ticket.acquire_owned()?,
        ticket.acquire()?,
        ticket.acquire()?,
    );
    rig.manager.set_pressure(1.0)?;
    let fourth = rig.queued(&ticket);
    drop(first);
    assert_eq!(rig.manager.waiting().len(), 1);
    rig.manager.set_pressure(0.6)?;
    let fourth = fourth.result()?;
    rig.manager.set_pressure(1.0)?;
    let last = rig.queued(&ticket);
    drop(fourth);
    assert_eq!(rig.manager.waiting().len(), 1);
    drop(third);
    drop((last.result()?, second));
    rig.finish()
}

#[test]
fn r33a_growth_is_not_delayed() -> Result<(), Error> {
    let rig = half()?;
    let ticket = rig.ticket(&cap(100), 40);
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
        let step = rig.ticket(&policy, 40);
        let weights = step.clone().reservation().acquire_owned()?;
        rig.clock.advance(LONG);
        let model = rig.ticket(&policy, 10).resident();
        let model = model.acquire_owned()?;
        rig.clock.advance(LONG);
        let first = step.acquire_owned()?;
        let second = rig.queued(&step);
        drop(first);
        drop(second.result()?);
        // A leaked guard is no work.
        rig.ticket(&policy, 5).acquire_owned()?.leak();
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
    let one = rig.ticket(&cap(90), 30);
    let other = rig.ticket(&cap(91), 30);
    let working = one.acquire_owned()?;
    assert_eq!(in_the_way(&other), CRITICAL);
    let waits = rig.queued(&other);
    drop(working);
    drop(waits.result()?);
    rig.finish()
}

/// What can never be, is no affair of the pressure.
#[test]
fn r33a_refusals_go_by_the_caps_in_full() -> Result<(), Error> {
    let rig = half()?;
    let policy = cap(100);
    let never = rig.ticket(&policy, 101);
    let never = never.try_acquire();
    assert!(matches!(never, Err(Error::NeverAdmissible { .. })));
    let weights = rig.ticket(&policy, 60).reservation().room_for(40);
    let weights = weights.acquire()?;
    // It fits beside them, if not by half.
    let step = rig.ticket(&policy, 40);
    drop(step.acquire()?);
    let larger = rig.ticket(&policy, 41);
    let larger = larger.try_acquire();
    assert!(matches!(larger, Err(Error::NoRoom { .. })), "{larger:?}");
    drop(weights);
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
    let ticket = rig.ticket(&cap(100), 80);
    let all = (ticket.acquire()?, ticket.acquire()?);
    drop(all);
    rig.finish()
}

/// The settings may come later than the pressure, and go.
#[test]
fn r33a_the_shares_may_change_while_guards_live() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    rig.manager.set_pressure(1.0)?;
    let ticket = rig.ticket(&cap(100), 50);
    let first = ticket.acquire()?;
    rig.manager.configure(|config| config.elastic(SHARES))?;
    let second = rig.queued(&ticket);
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
    let ticket = rig.ticket(&policy, 50);
    let first = ticket.acquire_owned()?;
    assert_eq!(in_the_way(&ticket), CRITICAL);
    let load = rig.queued(&ticket.clone().resident());
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
    let high = rig.ticket(&FixedPolicy::new(1000), 1).acquire_owned()?;
    let ticket = rig.ticket(&cap(100), 25);
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
    let ticket = rig.ticket(&cap(8), 1);
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

/// The smallest script that hangs where the share counts for the only step of a job.
#[test]
fn r33a_a_step_beside_its_own_weights_is_served() -> Result<(), Error> {
    for budget in [None, Some(10)] {
        let rig = Rig::new(elastic().budget(budget))?;
        rig.manager.set_pressure(1.0)?;
        let policy = cap(10);
        let weights = rig.ticket(&policy, 5).reservation().acquire_owned()?;
        let works_on = rig.ticket(&SumPolicy::uncapped(), 1);
        let works_on = budget.is_some().then(|| works_on.clone().acquire_owned());
        let step = acquiring(&rig.ticket(&policy, 1));
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
