//! R10, and the sizes at the ends of their ranges.

use crate::kit::{Custom, GIB, Rig, SECOND, eager, invalid_field, kinds, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{
    BudgetPolicy, Error, EventKind, FixedPolicy, GroupLimit, MaxPolicy, PeakPolicy, SumPolicy,
};

fn ceiling(config: mlx_wired::Config) -> Result<Option<u64>, Error> {
    Ok(Rig::new(config)?.manager.ceiling())
}

/// The group's sum has no room for them.
fn too_many_bytes(requested: u64) -> Error {
    Error::GroupFull {
        what: GroupLimit::Bytes,
        requested,
        maximum: (1 << 44) - 1,
    }
}

#[test]
fn r10_the_ceiling_follows_from_recommendation_margin_and_reserve() -> Result<(), Error> {
    // 48 GiB recommended of 64 GiB.
    assert_eq!(ceiling(quiet())?, Some(48 * GIB));
    assert_eq!(ceiling(quiet().margin(0.25))?, Some(36 * GIB));
    assert_eq!(ceiling(quiet().margin(1.0))?, Some(0));
    assert_eq!(ceiling(quiet().reserve(GIB))?, Some(48 * GIB));
    assert_eq!(ceiling(quiet().reserve(20 * GIB))?, Some(44 * GIB));
    assert_eq!(
        ceiling(quiet().margin(0.5).reserve(20 * GIB))?,
        Some(24 * GIB)
    );
    let most = quiet().reserve(64 * GIB - 1);
    assert_eq!(ceiling(most)?, Some(1), "more is refused");
    Ok(())
}

#[test]
fn r10_the_ceiling_is_below_the_memory_size() -> Result<(), Error> {
    let device = RecordingBackend::metal().recommended(64 * GIB);
    let rig = Rig::on(device, quiet())?;
    assert_eq!(rig.manager.ceiling(), Some(64 * GIB - 1));
    drop(rig.manager.wire_max(GIB)?);
    assert_eq!(rig.requested(), [64 * GIB - 1, 0]);
    rig.finish()
}

#[test]
fn r10_margins_that_are_no_fraction_are_refused() {
    for margin in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let refused = Rig::new(quiet().margin(margin));
        assert_eq!(invalid_field(refused), "margin", "{margin}");
    }
}

#[test]
fn r10_a_desire_above_the_ceiling_is_clamped_and_said_so() -> Result<(), Error> {
    let device = RecordingBackend::metal().expect_ceiling(36 * GIB);
    let rig = Rig::on(device, quiet().margin(0.25))?;
    let events = rig.manager.subscribe(1000);
    let ticket = rig.ticket(&SumPolicy::uncapped(), 30 * GIB);
    let first = ticket.acquire()?;
    assert!(!first.is_clamped());
    let second = ticket.acquire()?;
    assert!(second.is_clamped() && !first.is_clamped());
    assert_eq!((second.wanted(), second.applied()), (60 * GIB, 36 * GIB));
    let third = ticket.acquire()?;
    assert_eq!(rig.requested(), [30 * GIB, 36 * GIB]);
    let clamped = EventKind::LimitClamped { ceiling: 36 * GIB };
    let told = kinds(&events).into_iter().filter(|kind| *kind == clamped);
    assert_eq!(told.count(), 1, "each time the limit is set to the ceiling");
    assert_eq!(rig.manager.stats().clamped, 1);
    drop((first, second, third));
    rig.finish()
}

#[test]
fn r10_no_policy_gets_past_the_ceiling() -> Result<(), Error> {
    let rig = Rig::new(eager())?;
    let manager = &rig.manager;
    let huge = BudgetPolicy::new(u64::MAX).with_cap(u64::MAX);
    let endless = Custom::new().limits(|_, _| u64::MAX);
    let tickets = [
        manager.ticket(&FixedPolicy::new(u64::MAX), 1),
        manager.ticket(&huge, 1),
        manager.ticket(&endless, 1),
        manager.ticket(&MaxPolicy::new(), 1 << 43),
        manager.ticket(&PeakPolicy, 1 << 43),
        manager.ticket(&SumPolicy::uncapped(), (1 << 44) - 1),
    ];
    for ticket in tickets {
        let guard = ticket.acquire()?;
        assert_eq!(rig.limit(), 48 * GIB, "{ticket:?}");
        assert!(guard.is_clamped(), "{ticket:?}");
        drop(guard);
        assert_eq!(rig.limit(), 0);
    }
    rig.finish()
}

#[test]
fn r10_an_override_above_the_ceiling_is_refused() {
    let above = quiet().margin(0.5).baseline_override(24 * GIB + 1);
    assert_eq!(invalid_field(Rig::new(above)), "baseline_override");
    assert!(Rig::new(quiet().margin(0.5).baseline_override(24 * GIB)).is_ok());
}

#[test]
fn r10_a_captured_baseline_above_the_ceiling_is_kept_and_restored() -> Result<(), Error> {
    let device = RecordingBackend::metal().initial_limit(40 * GIB);
    let rig = Rig::on(device, eager().margin(0.5))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    let first = ticket.acquire()?;
    assert_eq!(rig.limit(), 40 * GIB, "no acquire lowers below it");
    let second = ticket.acquire()?;
    assert_eq!(rig.limit(), 40 * GIB);
    drop((first, second));
    assert_eq!(rig.limit(), 40 * GIB);
    let again = ticket.acquire()?;
    assert_eq!(rig.limit(), 40 * GIB);
    drop(again);
    rig.finish()
}

#[test]
fn r10_no_policy_lowers_below_a_captured_baseline_above_the_ceiling() -> Result<(), Error> {
    let device = || RecordingBackend::metal().initial_limit(40 * GIB);
    let rig = Rig::on(device(), eager().margin(0.5))?;
    let weights = rig.manager.wire_max(GIB)?;
    assert_eq!(rig.limit(), 40 * GIB);
    drop(weights);
    rig.finish()?;
    for policy in [SumPolicy::new(), SumPolicy::capped(2 * GIB)] {
        let rig = Rig::on(device(), eager().margin(0.5))?;
        let ticket = rig.ticket(&policy, GIB);
        let first = ticket.acquire()?;
        assert_eq!(rig.limit(), 40 * GIB);
        let second = ticket.acquire()?;
        assert_eq!(rig.limit(), 40 * GIB);
        drop((first, second));
        rig.finish()?;
    }
    Ok(())
}

#[test]
fn r10_a_restored_baseline_is_bounded_by_mlxs_own_maximum() -> Result<(), Error> {
    let device = RecordingBackend::metal().initial_limit(60 * GIB);
    let rig = Rig::on(device, eager())?.restoring(48 * GIB);
    let ticket = rig.ticket(&SumPolicy::uncapped(), GIB);
    drop(ticket.acquire()?);
    drop(ticket.acquire()?);
    rig.backend.assert_rules();
    rig.finish()
}

#[test]
fn r2_zero_sizes_are_demands_like_others() -> Result<(), Error> {
    let rig = Rig::on(RecordingBackend::metal().initial_limit(7), quiet())?;
    let manager = &rig.manager;
    let full = manager.ticket(&SumPolicy::capped(10), 10);
    let nothing = manager.ticket(&SumPolicy::capped(10), 0);
    let guard = full.acquire()?;
    drop(nothing.try_acquire()?);
    drop(guard);
    for ticket in [
        nothing.clone(),
        nothing.clone().resident(),
        nothing.reservation(),
        manager.ticket(&MaxPolicy::new(), 0),
        manager.ticket(&PeakPolicy, 0),
        manager.ticket(&Custom::new(), 0),
        manager.ticket(&SumPolicy::capped(0), 0),
    ] {
        let first = ticket.acquire()?;
        let second = ticket.acquire()?;
        assert_eq!(rig.limit(), 7, "{ticket:?}");
        drop((first, second));
    }
    rig.finish()
}

#[test]
fn r2_a_zero_size_alone_needs_no_call() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    drop(rig.ticket(&SumPolicy::uncapped(), 0).acquire()?);
    assert_eq!(rig.calls(), 0);
    rig.finish()
}

#[test]
fn r18_a_sum_that_a_group_cannot_hold_is_refused_by_name() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for kind in 0..3 {
        let policy = SumPolicy::uncapped();
        let half = rig.ticket(&policy, 1 << 43);
        let half = match kind {
            0 => half,
            1 => half.reservation(),
            _ => half.resident(),
        };
        let first = half.acquire()?;
        let refused = [
            half.acquire().err(),
            half.try_acquire().err(),
            half.admit_timeout(SECOND).err(),
            half.acquire_owned().err(),
        ];
        for error in refused {
            assert_eq!(error, Some(too_many_bytes(1 << 43)));
        }
        drop(first);
        drop(half.acquire()?);
    }
    rig.finish()
}

#[test]
fn r18_small_sizes_overflow_a_group_as_large_ones_do() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 4 * GIB);
    let mut guards = Vec::new();
    for _ in 0..4095 {
        guards.push(ticket.acquire()?);
    }
    for _ in 0..3 {
        assert_eq!(ticket.acquire().err(), Some(too_many_bytes(4 * GIB)));
    }
    drop(guards.pop());
    guards.push(ticket.acquire()?);
    assert_eq!(rig.limit(), 48 * GIB);
    drop(guards);
    rig.finish()
}

#[test]
fn r18_more_driving_guards_than_a_group_counts_are_refused_by_name() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(1), 1);
    let mut guards = Vec::new();
    for _ in 0..131_071 {
        guards.push(ticket.acquire()?);
    }
    let full = Error::GroupFull {
        what: GroupLimit::DrivingGuards,
        requested: 1,
        maximum: 131_071,
    };
    assert_eq!(ticket.acquire().err(), Some(full.clone()));
    assert_eq!(ticket.try_acquire().err(), Some(full));
    // What does not drive is not counted there.
    drop(ticket.clone().reservation().acquire()?);
    drop(guards);
    drop(ticket.acquire()?);
    rig.finish()
}

#[test]
fn r18_sizes_beyond_any_group_are_refused() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    for bytes in [1 << 44, u64::MAX - 1, u64::MAX] {
        let manager = &rig.manager;
        for ticket in [
            manager.ticket(&SumPolicy::uncapped(), bytes),
            manager.ticket(&MaxPolicy::new(), bytes),
            manager.ticket(&Custom::new(), bytes).reservation(),
            manager
                .ticket(&FixedPolicy::new(u64::MAX), bytes)
                .resident(),
        ] {
            let refused = ticket.acquire().err();
            assert_eq!(refused, Some(too_many_bytes(bytes)), "{ticket:?}");
        }
    }
    assert_eq!(rig.calls(), 0);
    rig.finish()
}
