//! R37: the cure names what is really in the way, and so does [`Obstacle`].

use crate::kit::{Custom, GIB, Rig, SECOND, assert_says, numbers, quiet};
use mlx_wired::ffi::{RecordingBackend, Support};
use mlx_wired::{BudgetPolicy, Config, Error, Obstacle, SumPolicy, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Both forms of an error, for people who look for a word.
fn said(error: &Error) -> String {
    format!("{error}\n{error:#}").to_lowercase()
}

/// What is in the way of a demand of a policy capped by the device, and what is said of it.
fn refused(rig: &Rig, bytes: u64) -> (Option<Obstacle>, String) {
    let error = rig.ticket(&SumPolicy::new(), bytes).acquire().err();
    let error = error.expect("it never fits");
    assert!(error.is_never(), "{error:?}");
    (error.obstacle(), said(&error))
}

#[test]
fn r37_the_cap_of_a_policy_may_be_raised_and_the_devices_not() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (obstacle, said_of_device) = refused(&rig, 49 * GIB);
    let raised = Some(49 * 1024);
    assert_eq!(
        obstacle,
        Some(Obstacle::Device {
            wired_limit_mb: raised
        })
    );
    assert_says(&said_of_device, "sudo sysctl iogpu.wired_limit_mb=50176");
    assert!(
        said_of_device.contains("the device") && !said_of_device.contains("cap"),
        "{said_of_device}"
    );

    let own = rig.ticket(&SumPolicy::capped(GIB), 2 * GIB);
    let own = own.acquire().expect_err("2 GiB never fit into 1");
    assert_eq!(own.obstacle(), Some(Obstacle::Cap));
    assert!(said(&own).contains("raise the cap"), "{own}");
    rig.finish()
}

#[test]
fn r37_what_the_reserve_keeps_is_named_and_no_sysctl() -> Result<(), Error> {
    // 24 of 64 GiB are left; 48 are recommended.
    let rig = Rig::new(quiet().reserve(40 * GIB))?;
    let (obstacle, said) = refused(&rig, 30 * GIB);
    assert_eq!(obstacle, Some(Obstacle::Reserve));
    assert!(said.contains("the 24 gib the reserve leaves"), "{said}");
    assert!(
        !said.contains("sysctl") && !said.contains("raise"),
        "{said}"
    );
    // The device is in the way of this one as well, and to raise that alone would not help.
    let (obstacle, said) = refused(&rig, 49 * GIB);
    assert_eq!(obstacle, Some(Obstacle::Reserve));
    assert!(!said.contains("sysctl"), "{said}");
    rig.finish()
}

#[test]
fn r37_what_the_margin_keeps_is_named_and_no_sysctl() -> Result<(), Error> {
    let rig = Rig::new(quiet().margin(0.5))?;
    let (obstacle, said) = refused(&rig, 30 * GIB);
    assert_eq!(obstacle, Some(Obstacle::Margin));
    assert!(said.contains("the 24 gib the margin leaves"), "{said}");
    assert!(
        said.contains("lower the margin") && !said.contains("sysctl"),
        "{said}"
    );
    rig.finish()
}

#[test]
fn r37_with_a_margin_the_sysctl_leaves_room_for_it() -> Result<(), Error> {
    let rig = Rig::new(quiet().margin(0.1))?;
    let (obstacle, _) = refused(&rig, 49 * GIB);
    let Some(Obstacle::Device {
        wired_limit_mb: Some(mib),
    }) = obstacle
    else {
        panic!("{obstacle:?}");
    };
    // Nine tenths of it are 49 GiB.
    assert!((55_750..55_760).contains(&mib), "{mib}");
    let raised = RecordingBackend::metal().recommended(u64::from(mib) * MIB);
    let raised = Rig::on(raised, quiet().margin(0.1))?;
    drop(
        raised
            .manager
            .ticket(&SumPolicy::new(), 49 * GIB)
            .acquire()?,
    );
    raised.finish()?;
    rig.finish()
}

#[test]
fn r37_the_budget_over_all_groups_is_named_where_it_is_the_least() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(10 * GIB))?;
    let huge = rig.ticket(&SumPolicy::uncapped(), 20 * GIB);
    let error = huge.acquire().expect_err("the budget is 10 GiB");
    assert_eq!(error.obstacle(), Some(Obstacle::Budget));
    let text = said(&error);
    assert_says(
        &text,
        "the budget of 10 gib; split the work or raise the budget",
    );
    let small = rig.ticket(&SumPolicy::capped(GIB), 20 * GIB);
    let error = small.acquire().expect_err("the cap is 1 GiB");
    assert_eq!(error.obstacle(), Some(Obstacle::Cap));
    rig.finish()
}

/// Macs by their GiB, with what they recommend in MiB as they come.
const MACS: [(u64, u64); 11] = [
    (8, 5_461),
    (16, 10_923),
    (16, 12_124),
    (24, 16_384),
    (32, 21_845),
    (48, 38_338),
    (64, 49_152),
    (96, 73_728),
    (128, 98_304),
    (128, 110_100),
    (512, 393_216),
];

#[test]
fn r37_the_sysctl_is_named_where_it_raises_what_the_device_allows() -> Result<(), Error> {
    for (gib, recommended) in MACS {
        let mac = || {
            let mac = RecordingBackend::metal().recommended(recommended * MIB);
            mac.memory_size(gib * GIB)
        };
        let rig = Rig::on(mac(), quiet())?;
        // Of a byte more than a whole number of MiB the next is named.
        for (bytes, mib) in [(128 * MIB, 128), (128 * MIB + 1, 129)] {
            let wanted = recommended * MIB + bytes;
            let (obstacle, said) = refused(&rig, wanted);
            let mib = recommended + mib;
            let named = Obstacle::Device {
                wired_limit_mb: u32::try_from(mib).ok(),
            };
            assert_eq!(obstacle, Some(named), "{gib} GiB");
            assert_says(&said, &format!("iogpu.wired_limit_mb={mib}`"));
        }
        // What would leave the system nothing is no cure.
        let (obstacle, said) = refused(&rig, gib * GIB - 512 * MIB);
        let none = Obstacle::Device {
            wired_limit_mb: None,
        };
        assert_eq!(obstacle, Some(none), "{gib} GiB");
        assert!(!said.contains("sysctl"), "{said}");
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r37_no_sysctl_is_named_where_nothing_is_wired() -> Result<(), Error> {
    let devices = [
        RecordingBackend::cpu().budget(GIB),
        RecordingBackend::cuda().budget(GIB),
        RecordingBackend::metal()
            .support(Support::SystemTooOld)
            .budget(GIB),
    ];
    for device in devices {
        let rig = Rig::on(device, quiet())?;
        let (obstacle, said) = refused(&rig, 2 * GIB);
        let none = Obstacle::Device {
            wired_limit_mb: None,
        };
        assert_eq!(obstacle, Some(none));
        assert!(!said.contains("sysctl"), "{said}");
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r37_the_base_of_a_policy_counts_in_what_the_device_must_allow() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = BudgetPolicy::new(8 * GIB);
    let error = rig.ticket(&policy, 42 * GIB).acquire().err();
    let error = error.expect("40 are left");
    let raised = Obstacle::Device {
        wired_limit_mb: Some(50 * 1024),
    };
    assert_eq!(error.obstacle(), Some(raised));
    assert_says(&said(&error), "the 40 gib the device leaves");
    rig.finish()
}

/// Refuses while its gate is shut, for a reason of its own; says that it would admit everything.
fn gated() -> (Custom, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let policy = Custom::new().admits(move |_, _, _| gate.load(Ordering::SeqCst));
    (policy.ever(|_, _| true), open)
}

#[test]
fn r37_nothing_is_to_be_released_where_nothing_is_held() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let (policy, open) = gated();
    let ticket = rig.ticket(&policy, MIB).label("tenant");
    let late = ticket
        .admit_timeout(Duration::ZERO)
        .expect_err("it is shut");
    let now = ticket.try_acquire().expect_err("it is shut");
    for error in [&late, &now] {
        assert_eq!(error.obstacle(), Some(Obstacle::Policy));
        let text = said(error);
        assert!(
            text.contains("policy") && !text.contains("release"),
            "{text}"
        );
    }
    assert_says(&late.to_string(), "policy Custom refuses it");
    // Where something is held, it may be said.
    open.store(true, Ordering::SeqCst);
    let guard = ticket.acquire()?;
    open.store(false, Ordering::SeqCst);
    let late = ticket
        .clone()
        .label("other")
        .try_acquire()
        .expect_err("it is shut");
    assert!(said(&late).contains("release guards"), "{late}");
    drop(guard);
    rig.finish()
}

#[test]
fn r37_the_pressure_is_named_where_a_policy_may_go_by_it() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = Custom::new().admits(|context, _, _| context.pressure < 0.5);
    let ticket = rig.ticket(&policy, MIB);
    rig.manager.set_pressure(0.75)?;
    let error = ticket
        .admit_timeout(Duration::ZERO)
        .expect_err("it is scarce");
    assert_eq!(error.obstacle(), Some(Obstacle::Pressure { percent: 75 }));
    let text = error.to_string();
    assert_says(
        &text,
        "policy Custom refuses it at a pressure of 75 %; wait until it falls",
    );
    // What is refused at any pressure is not refused for that.
    let never = Custom::new().admits(|_, _, _| false);
    let error = rig.ticket(&never, 1).acquire().expect_err("never");
    assert_eq!(error.obstacle(), Some(Obstacle::Policy));
    rig.manager.set_pressure(0.0)?;
    drop(ticket.try_acquire()?);
    rig.finish()
}

#[test]
fn r37_who_is_behind_others_is_told_so_where_there_is_room() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::capped(100);
    let held = rig.ticket(&policy, 10).acquire_owned()?;
    let head = rig.queued(&rig.ticket(&policy, 95));
    let small = rig.ticket(&policy, 5);
    let behind = rig.queued_with(&small, Wait::new().timeout(SECOND));
    rig.clock.advance(SECOND);
    let error = behind.result().expect_err("its time is over");
    assert_eq!(error.obstacle(), Some(Obstacle::Line));
    let text = error.to_string();
    assert!(
        text.ends_with("others are in the queue before it; wait longer or allow overtaking"),
        "{text}"
    );
    // What lacks the bytes is told of those.
    let large = rig.ticket(&policy, 95).try_acquire().err();
    assert_eq!(
        large.and_then(|error| error.obstacle()),
        Some(Obstacle::Cap)
    );
    drop(held);
    drop(head.result()?);
    rig.finish()
}

#[test]
fn r37_a_growing_guard_is_behind_no_new_one_and_counts_what_it_has() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(100))?;
    let policy = SumPolicy::capped(90);
    let other = rig.ticket(&SumPolicy::uncapped(), 45).acquire_owned()?;
    let mut grows = rig.ticket(&policy, 40).acquire_owned()?;
    let head = rig.queued(&rig.ticket(&policy, 30));
    let refused = grows.try_resize(60).err().map(numbers);
    let expected = Error::WouldBlock {
        requested: 60,
        in_use: 85,
        capacity: Some(100),
        waiting: 1,
        obstacle: Obstacle::Budget,
    };
    assert_eq!(refused, Some(expected));
    grows.try_resize(55)?;
    drop(other);
    drop(head.result()?);
    drop(grows);
    rig.finish()
}

#[test]
fn r37_a_cap_that_others_fill_is_told_with_the_devices_sysctl_in_full_only() -> Result<(), Error> {
    let rig = Rig::new(Config::default().housekeeping(false))?;
    let held = rig.ticket(&SumPolicy::new(), 40 * GIB).acquire_owned()?;
    let more = rig.ticket(&SumPolicy::new(), 10 * GIB);
    let error = more.try_acquire().expect_err("8 are left");
    let raised = Obstacle::Device {
        wired_limit_mb: Some(50 * 1024),
    };
    assert_eq!(error.obstacle(), Some(raised));
    assert!(!error.to_string().contains("sysctl"), "{error}");
    assert_says(&format!("{error:#}"), "wired_limit_mb=51200");
    drop(held);
    rig.finish()
}
