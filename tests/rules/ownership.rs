//! R23: one owner, its settings, and its end.

use crate::kit::{
    Custom, GIB, Pending, Rig, SECOND, acquiring, again, assert_matches, eager, invalid_field,
    is_again, next, quiet,
};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    Config, Error, EventKind, Manager, OnApplyFailure, Policy, SumPolicy, Wait, WireMode,
};
use std::thread;
use std::time::Duration;

fn exclusive(name: &'static str) -> Result<Manager, Error> {
    Manager::builder()
        .backend(RecordingBackend::metal().exclusive(name).build())
        .config(quiet())
        .build()
}

#[test]
fn r23_a_second_manager_on_the_same_resource_is_refused() -> Result<(), Error> {
    let first = exclusive("r23 one")?;
    let is_in_use = || {
        let refused = exclusive("r23 one").err();
        matches!(
            refused,
            Some(Error::BackendInUse {
                resource: "r23 one",
                ..
            })
        )
    };
    assert!(is_in_use());
    let _other = exclusive("r23 another")?;
    // Handles and tickets keep it.
    let handle = first.clone();
    let ticket = first.ticket(&SumPolicy::uncapped(), 1);
    drop(first);
    assert!(is_in_use());
    drop(handle);
    assert!(is_in_use());
    drop(ticket.acquire()?);
    drop(ticket);
    drop(exclusive("r23 one")?);
    Ok(())
}

#[test]
fn r23_a_refused_manager_leaves_the_first_its_resource() -> Result<(), Error> {
    let first = exclusive("r23 kept")?;
    for _ in 0..3 {
        assert!(exclusive("r23 kept").is_err());
    }
    drop(first.ticket(&SumPolicy::uncapped(), 1).acquire()?);
    drop(first);
    drop(exclusive("r23 kept")?);
    Ok(())
}

#[test]
fn r23_backends_without_a_resource_exclude_nobody() -> Result<(), Error> {
    let rigs = (Rig::new(quiet())?, Rig::new(quiet())?);
    rigs.0.finish()?;
    rigs.1.finish()
}

#[test]
fn r23_the_shared_manager_is_configured_before_its_first_use() -> Result<(), Error> {
    if !is_again() {
        let test = "ownership::r23_the_shared_manager_is_configured_before_its_first_use";
        again(test, &[]);
        return Ok(());
    }
    let refused = Manager::init_shared(Config::default().margin(2.0));
    assert_eq!(invalid_field(refused), "margin");
    let config = quiet().margin(0.125).linger(SECOND);
    let made = Manager::init_shared(config.clone())?;
    assert_eq!(made.config(), config);
    assert_eq!(Manager::shared().config(), config);
    assert!(std::ptr::eq(made, Manager::shared()));
    assert_eq!(
        Manager::init_shared(Config::default()).err(),
        Some(Error::SharedExists)
    );
    assert_eq!(Manager::shared().config(), config);
    let guard = SumPolicy::new().acquire(10)?;
    assert_eq!(guard.bytes(), 10);
    Ok(())
}

#[test]
fn r23_the_shared_manager_is_made_on_first_use() -> Result<(), Error> {
    if !is_again() {
        again(
            "ownership::r23_the_shared_manager_is_made_on_first_use",
            &[],
        );
        return Ok(());
    }
    drop(SumPolicy::new().ticket(10).acquire()?);
    assert_eq!(Manager::shared().config(), Config::default());
    assert_eq!(
        Manager::init_shared(quiet()).err(),
        Some(Error::SharedExists)
    );
    Ok(())
}

type Change = fn(Config) -> Config;

const ONLY_IDLE: [(&str, Change); 2] = [
    ("mode", |config| config.mode(WireMode::Never)),
    ("baseline_override", |config| config.baseline_override(9)),
];

#[test]
fn r23_some_settings_change_only_while_idle() -> Result<(), Error> {
    for (field, change) in ONLY_IDLE {
        let rig = Rig::new(quiet())?;
        let ticket = rig.ticket(&SumPolicy::capped(10), 10);
        let before = rig.manager.config();
        for kind in [
            ticket.clone(),
            ticket.clone().reservation(),
            ticket.clone().resident(),
        ] {
            let guard = kind.acquire()?;
            assert_eq!(rig.manager.configure(change), Err(Error::Busy { field }));
            assert_eq!(rig.manager.config(), before, "nothing is changed then");
            drop(guard);
        }
        rig.manager.configure(change)?;
        assert_ne!(rig.manager.config(), before);
    }
    Ok(())
}

#[test]
fn r36_a_backend_in_use_says_where_its_owner_was_built() -> Result<(), Error> {
    let build = || {
        let backend = RecordingBackend::metal().exclusive("r36").build();
        Manager::builder().backend(backend)
    };
    let (_owner, line) = (build().build()?, line!());
    let Err(Error::BackendInUse { built_at, .. }) = build().build() else {
        panic!("it has an owner");
    };
    assert_eq!((built_at.file(), built_at.line()), (file!(), line));
    Ok(())
}

#[test]
fn r23_a_zero_size_guard_is_not_idle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 0);
    for ticket in [ticket.clone(), ticket.reservation()] {
        let guard = ticket.acquire()?;
        let (field, change) = ONLY_IDLE[0];
        assert_eq!(rig.manager.configure(change), Err(Error::Busy { field }));
        drop(guard);
    }
    rig.finish()
}

#[test]
fn r23_the_others_change_at_any_time() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    rig.manager.configure(|config| {
        config
            .shrink_threshold_ratio(7.0)
            .shrink_threshold_bytes(1)
            .shrink_cooldown(Duration::ZERO)
            .linger(SECOND)
            .on_apply_failure(OnApplyFailure::Proceed)
    })?;
    drop(guard);
    assert_eq!(rig.limit(), 10, "the linger counts already");
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r23_values_out_of_range_change_nothing() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let refused = rig
        .manager
        .configure(|config| config.linger(SECOND).margin(f64::NAN));
    assert_eq!(invalid_field(refused), "margin");
    assert_eq!(rig.manager.config(), quiet());
    rig.finish()
}

#[test]
fn r23_a_new_margin_counts_for_device_caps_of_old_tickets() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::new(), 30 << 30);
    drop(ticket.acquire()?);
    rig.manager.configure(|config| config.margin(0.5))?;
    let refused = ticket.acquire().err();
    assert_matches!(refused, Some(Error::NeverAdmissible { .. }));
    rig.manager.configure(|config| config.margin(0.0))?;
    drop(ticket.acquire()?);
    rig.finish()
}

#[test]
fn r23_a_lingering_epoch_ends_before_idle_settings_change() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    assert_eq!(rig.limit(), 10);
    rig.manager
        .configure(|config| config.mode(WireMode::Never))?;
    assert_eq!(rig.limit(), 0);
    assert_eq!(
        rig.manager.config().linger(Duration::ZERO),
        quiet().mode(WireMode::Never)
    );
    rig.finish()
}

#[test]
fn r23_a_setting_that_is_refused_ends_no_linger() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    let refuses = Custom::new().admits(|_, _, _| false).ever(|_, _| true);
    let waiting = rig.queued_with(&rig.ticket(&refuses, 1), Wait::new().timeout(SECOND));
    for (field, change) in ONLY_IDLE {
        assert_eq!(rig.manager.configure(change), Err(Error::Busy { field }));
        assert_eq!(rig.limit(), 10, "nothing is changed then");
    }
    rig.clock.advance(SECOND);
    assert!(waiting.result().is_err_and(|error| error.is_timeout()));
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r23_an_end_that_fails_for_a_setting_is_tried_once() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    rig.backend.fail_next(1);
    let (field, change) = ONLY_IDLE[0];
    assert_eq!(rig.manager.configure(change), Err(Error::Busy { field }));
    assert_eq!(rig.backend.call_count(), 2, "raised, and not restored");
    rig.manager.configure(change)?;
    assert_eq!(rig.limit(), 0);
    Ok(())
}

#[test]
fn r23_an_acquire_during_a_change_of_mode_keeps_its_restore() -> Result<(), Error> {
    let rig = Rig::new(quiet().linger(SECOND))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    let events = rig.manager.subscribe(100);
    let gate = rig.backend.gate();
    let manager = rig.manager.clone();
    let changing = Pending::spawn(move || manager.configure(|config| config.mode(WireMode::Never)));
    // Ending the lingering epoch is in flight.
    gate.wait_entered(1);
    let coming = acquiring(&ticket);
    let _added = next(&events, |kind| *kind == EventKind::TicketStarted);
    gate.open();
    let guard = coming.result()?;
    let _changed = changing.result();
    drop(guard);
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    rig.finish()
}

#[test]
fn r23_close_ends_waits_gives_no_guards_and_restores_with_the_last() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let ticket = rig.ticket(&SumPolicy::capped(20), 10);
    let custom = rig.ticket(&Custom::capped(10), 10);
    let guards = (ticket.acquire()?, ticket.acquire()?, custom.acquire()?);
    let waiting = [rig.queued(&ticket), rig.queued(&custom)];
    rig.manager.close();
    for pending in waiting {
        assert_eq!(pending.result().err(), Some(Error::Closed));
    }
    let fresh = rig.ticket(&SumPolicy::uncapped(), 1);
    for ticket in [&ticket, &custom, &fresh] {
        assert_eq!(ticket.acquire().err(), Some(Error::Closed));
        assert_eq!(ticket.try_acquire().err(), Some(Error::Closed));
        assert_eq!(ticket.admit_timeout(SECOND).err(), Some(Error::Closed));
        assert_eq!(ticket.acquire_owned().err(), Some(Error::Closed));
    }
    assert_eq!(rig.manager.wire_max(1).err(), Some(Error::Closed));
    assert_eq!(rig.limit(), 20, "those who hold keep what they hold");
    drop(guards.0);
    assert_eq!(rig.limit(), 10);
    drop((guards.1, guards.2));
    assert_eq!(rig.limit(), 0);
    rig.manager.close();
    rig.finish()
}

#[test]
fn r23_close_reaches_who_waits_for_the_setter() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    let gate = rig.backend.gate();
    let pending = acquiring(&ticket);
    gate.wait_entered(1);
    rig.manager.close();
    gate.open();
    // It was admitted before: a guard or the error, and in the end the baseline.
    match pending.result() {
        Ok(guard) => drop(guard),
        Err(error) => assert_eq!(error, Error::Closed),
    }
    rig.finish()
}

#[test]
fn r23_guards_outlive_the_last_handle() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    let backend = rig.backend.clone();
    drop(rig);
    assert_eq!(backend.current_limit(), 10);
    drop(guard);
    backend.assert_baseline(0);
    backend.assert_rules();
    Ok(())
}

#[test]
fn r23_close_from_inside_a_policy_gives_no_guard() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let manager = rig.manager.clone();
    let policy = Custom::new().admits(move |_, _, _| {
        manager.close();
        true
    });
    let ticket = rig.ticket(&policy, 10);
    let result = acquiring(&ticket).result();
    assert_eq!(result.err(), Some(Error::Closed));
    rig.finish()
}

#[test]
fn r8_where_no_thread_can_be_started_every_transition_looks() -> Result<(), Error> {
    if !is_again() {
        let test = "ownership::r8_where_no_thread_can_be_started_every_transition_looks";
        // No thread gets a stack of that size.
        again(test, &[("RUST_MIN_STACK", "1152921504606846976")]);
        return Ok(());
    }
    assert!(thread::Builder::new().spawn(|| ()).is_err());
    let rig = Rig::new(Config::default())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    assert_eq!(rig.limit(), 2 * GIB, "the cooldown holds the shrink back");
    rig.clock.advance(SECOND);
    drop(ticket.acquire_owned()?);
    assert_eq!(rig.limit(), GIB);
    drop(first);
    assert_eq!(rig.manager.config(), Config::default(), "as it was set");
    rig.finish()
}
