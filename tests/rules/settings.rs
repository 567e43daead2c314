//! R10, R14 and R33: margin, reserve and budget bound demands everywhere, may change while guards live, and are refused by
//! name where they make no sense.

use crate::kit::{
    Custom, GIB, Rig, SECOND, Worker, acquiring, assert_matches, eager, invalid_field, kinds,
    numbers, quiet, would_block,
};
use mlx_wired::ffi::{RecordingBackend, RecordingBuilder};
use mlx_wired::{Config, Error, EventKind, Obstacle, SumPolicy, Wait, WireMode};

/// What a policy capped by the device may hold.
fn budget(device: RecordingBuilder, config: Config) -> Result<u64, Error> {
    let rig = Rig::on(device, config)?;
    let budget = rig.manager.budget().expect("it is known");
    let whole = rig.ticket(&SumPolicy::new(), budget);
    let more = rig.ticket(&SumPolicy::new(), budget + 1);
    drop(whole.try_acquire()?);
    assert_matches!(more.try_acquire(), Err(Error::NeverAdmissible { .. }));
    Ok(budget)
}

#[test]
fn r10_a_reserve_of_all_the_memory_is_refused() -> Result<(), Error> {
    // 48 GiB recommended of 64.
    for reserve in [64 * GIB, 64 * GIB + 1, u64::MAX] {
        assert_eq!(invalid_field(Rig::new(quiet().reserve(reserve))), "reserve");
        let rig = Rig::new(quiet())?;
        let changed = rig.manager.configure(|config| config.reserve(reserve));
        assert_eq!(invalid_field(changed), "reserve");
        assert_eq!(rig.manager.config(), quiet(), "nothing is changed");
        assert_eq!(rig.manager.ceiling(), Some(48 * GIB));
    }
    Ok(())
}

#[test]
fn r14_margin_and_reserve_count_without_wired_memory() -> Result<(), Error> {
    // 12 GiB measured of 16.
    let cpu = RecordingBackend::cpu;
    assert_eq!(budget(cpu(), quiet())?, 12 * GIB);
    assert_eq!(budget(cpu(), quiet().margin(0.5))?, 6 * GIB);
    assert_eq!(budget(cpu(), quiet().reserve(2 * GIB))?, 12 * GIB);
    assert_eq!(budget(cpu(), quiet().reserve(8 * GIB))?, 8 * GIB);
    assert_eq!(
        budget(cpu(), quiet().margin(0.5).reserve(8 * GIB))?,
        6 * GIB
    );
    // 76 GiB measured of 80.
    let card = RecordingBackend::cuda;
    assert_eq!(budget(card(), quiet().margin(0.25))?, 57 * GIB);
    assert_eq!(budget(card(), quiet().reserve(40 * GIB))?, 40 * GIB);
    Ok(())
}

#[test]
fn r33_a_budget_above_the_memory_is_refused() -> Result<(), Error> {
    for (device, memory) in [
        (RecordingBackend::metal(), 64 * GIB),
        (RecordingBackend::cpu(), 16 * GIB),
        (RecordingBackend::cuda(), 80 * GIB),
    ] {
        for budget in [memory + 1, u64::MAX] {
            let built = Rig::on(device.clone(), quiet().budget(budget));
            assert_eq!(invalid_field(built), "budget");
            let rig = Rig::on(device.clone(), quiet())?;
            let changed = rig.manager.configure(|config| config.budget(budget));
            assert_eq!(invalid_field(changed), "budget");
            assert_eq!(rig.manager.config(), quiet(), "nothing is changed");
        }
        let rig = Rig::on(device, quiet().budget(memory))?;
        assert_eq!(rig.manager.config().budget, Some(memory));
    }
    Ok(())
}

#[test]
fn r33_the_budget_changes_while_guards_live() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let set = |budget: Option<u64>| rig.manager.configure(|config| config.budget(budget));
    let guards = [
        ticket.acquire_owned()?,
        ticket.clone().reservation().acquire_owned()?,
    ];
    set(Some(25))?;
    assert!(ticket.try_acquire().is_err_and(|e| e.is_would_block()));
    // Nothing is revoked, and nothing more is given.
    set(Some(15))?;
    assert_eq!(rig.limit(), 20);
    let none = rig.ticket(&SumPolicy::uncapped(), 0);
    assert!(none.try_acquire().is_err_and(|e| e.is_would_block()));
    set(None)?;
    drop(ticket.try_acquire()?);
    drop(guards);
    rig.finish()
}

#[test]
fn r33_settings_change_while_waiters_wait() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(15))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let held = ticket.acquire_owned()?;
    let waiting = rig.queued(&ticket);
    rig.manager.configure(|config| config.budget(19))?;
    waiting.assert_pending();
    rig.manager.configure(|config| config.budget(20))?;
    drop((held, waiting.result()?));
    rig.finish()
}

#[test]
fn r33_a_waiter_that_never_fits_any_more_is_refused() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(20))?;
    let policy = SumPolicy::uncapped();
    let held = rig.ticket(&policy, 15).label("decode");
    let held = held.acquire_owned()?;
    let large = rig.queued(&rig.ticket(&policy, 12));
    let custom = rig.ticket(&Custom::capped(100), 11);
    let custom = rig.queued(&custom);
    let small = rig.queued(&rig.ticket(&policy, 5));
    rig.manager.configure(|config| config.budget(10))?;
    for (waiter, size) in [(large, 12), (custom, 11)] {
        let Err(Error::NeverAdmissible {
            size: told,
            capacity: Some(10),
            contention,
            ..
        }) = waiter.result()
        else {
            panic!("it can never be admitted");
        };
        assert_eq!(told, size);
        assert_eq!(contention.holders[0].label.as_deref(), Some("decode"));
    }
    small.assert_pending();
    drop(held);
    drop(small.result()?);
    rig.finish()
}

#[test]
fn r33_a_waiter_that_is_refused_is_counted_no_more() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(20))?;
    let events = rig.manager.subscribe(1 << 10);
    let policy = SumPolicy::uncapped();
    let held = rig.ticket(&policy, 15).acquire_owned()?;
    let ticket = rig.ticket(&policy, 12);
    let large = rig.queued(&ticket);
    rig.manager.configure(|config| config.budget(10))?;
    assert!(matches!(large.result(), Err(Error::NeverAdmissible { .. })));
    assert_eq!((rig.manager.waiters(), ticket.waiters()), (0, 0));
    drop(held);
    let told: Vec<_> = events.drain().collect();
    let last = told.last().expect("much was told");
    assert_eq!(last.waiters, 0, "{last:?}");
    rig.finish()
}

#[test]
fn r33_a_growing_guard_that_never_fits_any_more_keeps_its_size() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(20))?;
    let policy = SumPolicy::uncapped();
    let held = rig.ticket(&policy, 10).acquire_owned()?;
    let mut grows = rig.ticket(&policy, 5).acquire_owned()?;
    let growing = crate::kit::Pending::spawn(move || {
        let refused = grows.resize(12);
        (grows, refused)
    });
    growing.until_queued(&rig.manager);
    rig.manager.configure(|config| config.budget(11))?;
    let (grows, refused) = growing.result();
    assert_matches!(refused, Err(Error::NeverAdmissible { size: 12, .. }));
    assert_eq!(grows.bytes(), 5);
    drop((held, grows));
    rig.finish()
}

#[test]
fn r33_a_lower_budget_ends_the_circle_that_it_closes() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(40))?;
    let policy = SumPolicy::uncapped();
    let ticket = |bytes| rig.ticket(&policy, bytes);
    let outside = ticket(10).acquire_owned()?;
    // Once the guard outside is released both go on, one after the other.
    let workers = [(); 2].map(|()| Worker::holding(&rig.manager, &ticket(10)));
    let [one, two] = workers.map(|worker| worker.waits(&ticket(15), Wait::new()));
    rig.manager.configure(|config| config.budget(30))?;
    // 10 and 10 are held by the two, of 30: each waits for the other.
    assert_eq!(
        rig.manager.waiting().len(),
        1,
        "the other goes on without it"
    );
    drop(outside);
    let refused = [one.result(), two.result()];
    let circles = refused
        .iter()
        .filter(|result| matches!(result, Err(Error::WouldDeadlock { .. })));
    assert_eq!(circles.count(), 1, "{refused:?}");
    rig.finish()
}

#[test]
fn r33_many_lines_become_one_and_one_becomes_many() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let group = |bytes| rig.ticket(&SumPolicy::capped(10), bytes);
    let other = |bytes| {
        let policy = SumPolicy::capped(12);
        rig.ticket(&policy, bytes)
    };
    let (held, held_there) = (group(10).acquire_owned()?, other(12).acquire_owned()?);
    let first = rig.queued(&group(5));
    let second = rig.queued(&other(6));
    let third = rig.queued(&group(4));
    rig.manager.configure(|config| config.budget(30))?;
    drop(held_there);
    // There is room for it in its group, but it is behind the first of the one line.
    second.assert_pending();
    let guard = acquiring(&other(1));
    guard.until_queued(&rig.manager);
    assert_eq!(rig.manager.waiting().len(), 4);
    rig.manager.configure(|config| config.budget(None))?;
    // Each group has its line again.
    drop((second.result()?, guard.result()?));
    first.assert_pending();
    drop(held);
    drop((first.result()?, third.result()?));
    rig.finish()
}

#[test]
fn r33_a_lower_ceiling_is_applied_at_once() -> Result<(), Error> {
    // The default thresholds, and a cooldown that has just begun.
    let rig = Rig::new(quiet())?;
    let events = rig.manager.subscribe(100);
    let by_sum = rig.ticket(&SumPolicy::new(), 40 * GIB);
    let guard = by_sum.acquire_owned()?;
    assert!(!guard.is_clamped());
    rig.manager.configure(|config| config.reserve(28 * GIB))?;
    assert_eq!(rig.limit(), 36 * GIB);
    assert!(guard.is_clamped() && guard.is_wired());
    let told = kinds(&events);
    assert!(told.contains(&EventKind::BudgetChanged {
        from: Some(48 * GIB),
        to: Some(36 * GIB)
    }));
    rig.manager.configure(|config| config.margin(0.5))?;
    assert_eq!((rig.limit(), rig.calls()), (24 * GIB, 3));
    // A higher one raises as called for.
    rig.manager
        .configure(|config| config.margin(0.0).reserve(0))?;
    assert_eq!(rig.limit(), 40 * GIB);
    assert!(!guard.is_clamped());
    drop(guard);
    rig.finish()
}

#[test]
fn r33_a_guard_of_the_fast_path_is_clamped_too() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::new(), 20 * GIB);
    let stays = ticket.acquire()?;
    let fast = ticket.acquire()?;
    rig.manager.configure(|config| config.margin(0.5))?;
    for guard in [&stays, &fast] {
        assert!(guard.applied() == 24 * GIB && guard.is_wired());
    }
    // The first called for 20 GiB, which it has.
    assert!(!stays.is_clamped() && fast.is_clamped());
    assert_eq!(fast.wanted(), 40 * GIB);
    drop((stays, fast));
    rig.finish()
}

#[test]
fn r33_what_is_held_back_below_a_lower_ceiling_stays_held_back() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |gib| rig.ticket(&SumPolicy::uncapped(), gib * GIB);
    let stays = ticket(10).acquire_owned()?;
    drop(ticket(30).acquire()?);
    assert_eq!(rig.limit(), 40 * GIB, "the cooldown holds the shrink back");
    rig.manager.configure(|config| config.margin(0.5))?;
    assert_eq!(rig.limit(), 24 * GIB);
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 10 * GIB);
    drop(stays);
    rig.finish()
}

#[test]
fn r33_no_epoch_lingers_above_a_lower_ceiling() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 30 * GIB);
    drop(ticket.acquire()?);
    rig.manager.configure(|config| config.margin(0.25))?;
    assert_eq!(rig.limit(), 30 * GIB, "it lingers below the ceiling");
    rig.manager.configure(|config| config.margin(0.5))?;
    assert_eq!(rig.limit(), 0);
    rig.finish()
}

#[test]
fn r33_a_lower_ceiling_that_cannot_be_applied_is_owed() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 40 * GIB);
    let guard = ticket.acquire_owned()?;
    rig.backend.fail_next(1);
    rig.manager.configure(|config| config.margin(0.5))?;
    assert_eq!(rig.limit(), 40 * GIB);
    assert!(rig.manager.snapshot().owed.retry_in.is_some());
    rig.manager.maintain();
    assert_eq!(rig.limit(), 24 * GIB);
    drop(guard);
    rig.finish()
}

#[test]
fn r33_an_override_above_a_lower_ceiling_is_refused() -> Result<(), Error> {
    let rig = Rig::new(quiet().baseline_override(30 * GIB))?;
    let changed = rig.manager.configure(|config| config.margin(0.5));
    assert_eq!(invalid_field(changed), "baseline_override");
    assert_eq!(rig.manager.ceiling(), Some(48 * GIB));
    Ok(())
}

#[test]
fn r21_a_guard_under_a_ceiling_of_nothing_is_not_wired() -> Result<(), Error> {
    let device = || {
        RecordingBackend::metal()
            .recommended(0)
            .memory_size(8 * GIB)
    };
    let rig = Rig::on(device(), quiet())?;
    assert_eq!(rig.manager.ceiling(), Some(0));
    let guard = rig.ticket(&SumPolicy::uncapped(), GIB).acquire_owned()?;
    assert_eq!((rig.calls(), guard.applied()), (0, 0));
    assert!(!guard.is_wired() && guard.is_clamped());
    drop(guard);
    rig.finish()
}

#[test]
fn r39_the_settings_can_be_read() -> Result<(), Error> {
    let rig = Rig::new(quiet().margin(0.25).budget(GIB))?;
    rig.manager.configure(|config| config.linger(SECOND))?;
    let config = rig.manager.config();
    assert_eq!(config.mode, WireMode::Auto);
    assert_eq!((config.margin, config.reserve), (0.25, 0));
    assert_eq!((config.budget, config.linger), (Some(GIB), SECOND));
    assert!(!config.housekeeping);
    Ok(())
}

#[test]
#[allow(deprecated)]
fn the_former_name_of_a_mode_goes_on_working() {
    assert_eq!(WireMode::Off, WireMode::Uncoordinated);
    assert!(matches!(WireMode::Uncoordinated, WireMode::Off));
}

#[test]
fn r33_a_try_form_is_told_the_numbers_of_the_new_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let held = ticket.acquire_owned()?;
    rig.manager.configure(|config| config.budget(12))?;
    let refused = ticket.try_acquire().map(drop).map_err(numbers);
    let expected = would_block(10, (10, 12), Obstacle::Budget);
    assert_eq!(refused, Err(expected));
    drop(held);
    rig.finish()
}

#[test]
fn r33_a_waiter_that_new_settings_refuse_is_counted_no_longer() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(20).linger(SECOND))?;
    let policy = SumPolicy::uncapped();
    let held = rig.ticket(&policy, 15).acquire_owned()?;
    let ticket = rig.ticket(&policy, 12);
    let large = rig.queued(&ticket);
    rig.manager.configure(|config| config.budget(10))?;
    let refused = large.result();
    assert!(matches!(refused, Err(Error::NeverAdmissible { .. })));
    assert_eq!((ticket.waiters(), rig.manager.waiters()), (0, 0));
    let events = rig.manager.subscribe(100);
    drop(held);
    assert!(events.drain().all(|event| event.waiters == 0));
    // Nobody waits, so an epoch that lingers is no obstacle.
    rig.manager
        .configure(|config| config.mode(WireMode::Never))?;
    rig.finish()
}
