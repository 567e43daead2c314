//! R13 and R14: where there is nothing to wire, and where it is not wanted.

use crate::kit::{GIB, Rig, SECOND, again, is_again, kinds, quiet};
use mlx_wired::ffi::{RecordingBackend, RecordingBuilder, Support};
use mlx_wired::{Config, Error, EventKind, Manager, SumPolicy, WireMode};
use std::time::Duration;

/// Every way to have no setter, with the budget that device gives.
fn without_setter() -> [(RecordingBuilder, Config, u64); 6] {
    let never = || quiet().mode(WireMode::Never);
    [
        (RecordingBackend::cuda(), quiet(), 76 * GIB),
        (RecordingBackend::cpu(), quiet(), 12 * GIB),
        (RecordingBackend::metal(), never(), 48 * GIB),
        (RecordingBackend::metal(), never().margin(0.5), 24 * GIB),
        (
            RecordingBackend::metal().support(Support::SystemTooOld),
            quiet(),
            48 * GIB,
        ),
        (
            RecordingBackend::metal().support(Support::NoMetal3),
            quiet(),
            48 * GIB,
        ),
    ]
}

#[test]
fn r14_admission_and_sizing_work_and_the_setter_is_never_touched() -> Result<(), Error> {
    for (device, config, budget) in without_setter() {
        let rig = Rig::on(device.initial_limit(7), config)?;
        rig.backend.forbid_calls();
        let events = rig.manager.subscribe(1000);
        assert_eq!(rig.manager.budget(), Some(budget));
        let ticket = rig.ticket(&SumPolicy::new(), budget);
        // The existing systems' deadlock: what fits is admitted.
        let guard = ticket.try_acquire()?;
        assert_eq!((guard.wanted(), guard.applied()), (budget, budget));
        assert!(!guard.is_wired() && !guard.is_clamped());
        let waiting = rig.queued(&ticket);
        drop(guard);
        drop(waiting.result()?);
        assert_eq!(rig.manager.applied(), 0);
        let stats = rig.manager.stats();
        assert_eq!((stats.waits, stats.setter_calls), (1, 0));
        assert!(kinds(&events).contains(&EventKind::AdmissionWait));
        drop(rig.manager.wire_max(GIB)?);
        rig.manager.maintain();
        rig.manager.close();
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r13_support_is_the_devices_and_no_ceiling_is_made_up() -> Result<(), Error> {
    for support in [Support::SystemTooOld, Support::NoMetal3, Support::Unknown] {
        let rig = Rig::on(RecordingBackend::metal().support(support), quiet())?;
        assert_eq!(rig.manager.support(), support);
        assert_eq!(rig.manager.ceiling(), None);
        drop(rig.ticket(&SumPolicy::uncapped(), GIB).acquire()?);
        assert_eq!(rig.calls(), 0);
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r14_the_baseline_is_the_override_else_zero() -> Result<(), Error> {
    let never = quiet().mode(WireMode::Never);
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), never.clone())?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    assert_eq!(guard.wanted(), 10);
    drop(guard);
    rig.finish()?;
    let rig = Rig::new(never.baseline_override(40))?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    assert_eq!(guard.wanted(), 50);
    drop(guard);
    rig.finish()
}

#[test]
fn r14_the_baseline_is_zero_after_a_switch_to_never() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    rig.manager
        .configure(|config| config.mode(WireMode::Never))?;
    rig.backend.forbid_calls();
    let guard = ticket.acquire()?;
    assert_eq!(guard.wanted(), 10);
    drop(guard);
    rig.finish()
}

#[test]
fn r14_a_switch_to_wiring_counts_with_mlxs_answer() -> Result<(), Error> {
    let never = quiet().mode(WireMode::Never);
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), never)?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 10);
    drop(ticket.acquire()?);
    rig.manager
        .configure(|config| config.mode(WireMode::Auto))?;
    let guard = ticket.acquire()?;
    assert_eq!((rig.limit(), guard.wanted()), (17, 17));
    assert_eq!(
        rig.manager.stats().foreign_changes,
        0,
        "R6: it is the first set"
    );
    drop(guard);
    rig.finish()
}

#[test]
fn r14_off_admits_everything_at_once() -> Result<(), Error> {
    let rig = Rig::new(quiet().mode(WireMode::Uncoordinated))?;
    rig.backend.forbid_calls();
    let refusing = crate::kit::Custom::new().admits(|_, _, _| false);
    let tickets = [
        rig.ticket(&SumPolicy::capped(10), 100),
        rig.ticket(&SumPolicy::new(), 100 * GIB),
        rig.ticket(&refusing, 1),
    ];
    for ticket in tickets {
        let guards = (
            ticket.acquire()?,
            ticket.try_acquire()?,
            ticket.acquire_owned()?,
        );
        assert!(!guards.0.is_wired());
        drop(guards);
    }
    rig.finish()
}

#[test]
fn r14_the_environment_says_never() -> Result<(), Error> {
    if !is_again() {
        let test = "policy_only::r14_the_environment_says_never";
        for value in ["never", "auto", "sometimes", ""] {
            again(test, &[("MLX_WIRED", value)]);
        }
        return Ok(());
    }
    let value = std::env::var("MLX_WIRED").expect("set for the child");
    let metal = || RecordingBackend::metal().exclusive("the child's limit");
    let rig = Rig::on(metal(), quiet())?;
    let events = rig.manager.subscribe(100);
    drop(rig.ticket(&SumPolicy::uncapped(), 10).acquire()?);
    // R43: an empty one is none.
    let wires = value == "auto" || value.is_empty();
    assert_eq!(rig.calls() > 0, wires);
    let mode = if wires {
        WireMode::Auto
    } else {
        WireMode::Never
    };
    assert_eq!(rig.manager.mode(), mode);
    let told = kinds(&events).contains(&EventKind::WireModeUnrecognised(value.clone()));
    assert_eq!(told, value == "sometimes");
    // R39.
    let told = rig.manager.snapshot().environment;
    assert_eq!(told, (!wires).then_some(value));
    rig.finish()?;
    // What the program asks for by itself counts.
    let off: Manager = Manager::builder()
        .backend(metal().build())
        .config(quiet().mode(WireMode::Uncoordinated))
        .build()?;
    assert_eq!(off.mode(), WireMode::Uncoordinated);
    Ok(())
}

#[test]
fn r14_the_environment_is_asked_once() -> Result<(), Error> {
    if !is_again() {
        let test = "policy_only::r14_the_environment_is_asked_once";
        again(test, &[("MLX_WIRED", "auto")]);
        return Ok(());
    }
    let metal = RecordingBackend::metal().exclusive("the child's limit");
    let rig = Rig::on(metal, quiet())?;
    let guard = rig.ticket(&SumPolicy::uncapped(), 10).acquire_owned()?;
    // SAFETY: the child runs this test alone, and no other thread of it reads or writes the environment.
    unsafe { std::env::set_var("MLX_WIRED", "never") };
    rig.manager.configure(|config| config.linger(SECOND))?;
    rig.manager
        .configure(|config| config.linger(Duration::ZERO))?;
    assert_eq!(rig.manager.mode(), WireMode::Auto);
    drop(guard);
    assert_eq!(rig.limit(), 0, "the baseline is restored");
    rig.finish()
}
