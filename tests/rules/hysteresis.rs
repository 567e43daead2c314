//! R7: when the limit is lowered while guards live.

use crate::kit::{Rig, SECOND, invalid_field, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Config, Error, FixedPolicy, SumPolicy};
use std::time::Duration;

/// Holds `keep` + `go`, releases `go` after the cooldown, and tells the limit then.
fn limit_after_drop(config: Config, keep: u64, go: u64) -> Result<u64, Error> {
    let rig = Rig::new(config)?;
    let policy = SumPolicy::uncapped();
    let keep = rig.ticket(&policy, keep);
    let go = rig.ticket(&policy, go);
    let keep = keep.acquire()?;
    let go = go.acquire()?;
    rig.clock.advance(SECOND);
    drop(go);
    let limit = rig.limit();
    drop(keep);
    rig.finish().map(|()| limit)
}

#[test]
fn r7_small_drop_does_not_shrink() -> Result<(), Error> {
    assert_eq!(limit_after_drop(quiet(), 7501, 2499)?, 10_000);
    Ok(())
}

#[test]
fn r7_a_drop_of_a_quarter_shrinks() -> Result<(), Error> {
    assert_eq!(limit_after_drop(quiet(), 7500, 2500)?, 7500);
    Ok(())
}

#[test]
fn r7_small_drops_add_up() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 1000);
    let mut guards = Vec::new();
    for _ in 0..10 {
        guards.push(ticket.acquire()?);
    }
    rig.clock.advance(SECOND);
    let mut limits = Vec::new();
    while guards.pop().is_some() {
        limits.push(rig.limit());
        rig.clock.advance(SECOND);
    }
    // 10,000 until a quarter of it has gone, 7,000 until a quarter of that, and so on.
    let expected = [10, 10, 7, 7, 5, 5, 3, 2, 1, 0].map(|limit| limit * 1000);
    assert_eq!(limits, expected);
    rig.finish()
}

#[test]
fn r7_the_bytes_threshold_suffices() -> Result<(), Error> {
    let bytes = |bytes| quiet().shrink_threshold_bytes(bytes);
    assert_eq!(limit_after_drop(bytes(100), 9901, 99)?, 10_000);
    assert_eq!(limit_after_drop(bytes(100), 9900, 100)?, 9900);
    let limit = limit_after_drop(bytes(u64::MAX), 7500, 2500)?;
    assert_eq!(limit, 7500, "the ratio suffices too");
    Ok(())
}

#[test]
fn r7_the_ratio_is_clamped() -> Result<(), Error> {
    let ratio = |ratio| quiet().shrink_threshold_ratio(ratio);
    let limit = limit_after_drop(ratio(-5.0), 9999, 1)?;
    assert_eq!(limit, 9999, "as 0: every drop");
    let limit = limit_after_drop(ratio(1e300), 1, 9999)?;
    assert_eq!(limit, 10_000, "as 1: no drop but to 0");
    assert_eq!(limit_after_drop(ratio(1e300), 0, 10_000)?, 0);
    assert_eq!(limit_after_drop(ratio(f64::INFINITY), 1, 9999)?, 10_000);
    Ok(())
}

#[test]
fn r7_a_ratio_that_is_no_number_is_refused() {
    let refused = Rig::new(quiet().shrink_threshold_ratio(f64::NAN));
    assert_eq!(invalid_field(refused), "shrink_threshold_ratio");
}

#[test]
fn r7_the_cooldown_counts_from_the_last_change() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 100);
    let first = ticket.acquire()?;
    let second = ticket.acquire()?;
    rig.clock.advance(SECOND / 2);
    let third = ticket.acquire()?;
    rig.clock.advance(SECOND * 3 / 4);
    drop((second, third));
    assert_eq!(rig.limit(), 300, "0.75 s after the last change");
    rig.clock.advance(SECOND / 4);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 100);
    drop(first);
    rig.finish()
}

#[test]
fn r7_growth_is_never_delayed() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_cooldown(Duration::from_secs(3600)))?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 100);
    let mut guards = Vec::new();
    for n in 1..=5 {
        guards.push(ticket.acquire()?);
        assert_eq!(rig.limit(), n * 100);
    }
    guards.clear();
    rig.finish()
}

#[test]
fn r7_the_end_of_the_epoch_is_not_delayed() -> Result<(), Error> {
    let rig = Rig::new(quiet().shrink_cooldown(Duration::from_secs(3600)))?;
    drop(rig.ticket(&SumPolicy::uncapped(), 100).acquire()?);
    assert_eq!(rig.limit(), 0);
    rig.finish()
}

#[test]
fn r7_after_eight_cooldowns_a_shrink_happens_though_the_limit_grew_between() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let policy = SumPolicy::uncapped();
    let keep = rig.ticket(&policy, 100).acquire_owned()?;
    drop(rig.ticket(&policy, 100).acquire()?);
    // From here on a shrink is held back. The limit grows every half cooldown, just before the
    // cooldown would be over.
    let start = rig.calls();
    for half in 1..16 {
        rig.clock.advance(SECOND / 2);
        let more = rig.ticket(&policy, 100 + 10 * half);
        let more = more.acquire()?;
        assert_eq!(rig.limit(), 200 + 10 * half);
        drop(more);
        assert_eq!(rig.limit(), 200 + 10 * half, "held back: {half} halves");
    }
    assert_eq!(rig.calls(), start + 15);
    rig.clock.advance(SECOND / 2);
    rig.manager.maintain();
    // Eight cooldowns after it was first held back.
    assert_eq!(rig.limit(), 100);
    drop(keep);
    rig.finish()
}

#[test]
fn r7_the_eight_cooldowns_begin_anew_after_each_shrink() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 100);
    let keep = ticket.acquire()?;
    drop(ticket.acquire()?);
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 100);
    // Long after, a shrink that is held back waits its own cooldown.
    rig.clock.advance(SECOND * 100);
    drop(ticket.acquire()?);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 200);
    rig.clock.advance(SECOND);
    rig.manager.maintain();
    assert_eq!(rig.limit(), 100);
    drop(keep);
    rig.finish()
}

#[test]
fn r7_a_shrink_that_was_not_wanted_any_more_does_not_force_a_later_one() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 100);
    let keep = ticket.acquire()?;
    drop(ticket.acquire()?);
    let back = ticket.acquire()?;
    rig.clock.advance(SECOND * 100);
    let more = ticket.acquire()?;
    assert_eq!(rig.limit(), 300);
    drop(more);
    assert_eq!(rig.limit(), 300, "it grew just now");
    drop((back, keep));
    rig.finish()
}

#[test]
fn r7_the_first_set_is_exempt() -> Result<(), Error> {
    // Nobody knows what MLX has: the override says 100, the demand calls for a little less.
    let rig = Rig::on(
        RecordingBackend::metal().initial_limit(500),
        quiet().baseline_override(100),
    )?
    .restoring(100);
    let ticket = rig.ticket(&FixedPolicy::new(90), 1);
    let guard = ticket.acquire()?;
    assert_eq!(rig.limit(), 90);
    drop(guard);
    rig.finish()?;
    // And the first set may lower what MLX had.
    let rig = Rig::on(RecordingBackend::metal().initial_limit(500), quiet())?;
    let ticket = rig.ticket(&FixedPolicy::new(450), 1);
    let guard = ticket.acquire()?;
    assert_eq!(rig.limit(), 450);
    drop(guard);
    rig.finish()
}

#[test]
fn r7_a_cooldown_without_end_never_shrinks() -> Result<(), Error> {
    for cooldown in [Duration::MAX, Duration::MAX / 4] {
        let config = quiet().shrink_cooldown(cooldown);
        assert_eq!(limit_after_drop(config, 1, 9999)?, 10_000);
    }
    Ok(())
}

#[test]
fn r7_changed_thresholds_count_at_once() -> Result<(), Error> {
    let rig = Rig::new(
        quiet()
            .shrink_threshold_ratio(0.9)
            .shrink_cooldown(Duration::ZERO),
    )?;
    let ticket = rig.ticket(&SumPolicy::uncapped(), 100);
    let first = ticket.acquire()?;
    drop(ticket.acquire()?);
    assert_eq!(rig.limit(), 200);
    rig.manager
        .configure(|config| config.shrink_threshold_ratio(0.5))?;
    assert_eq!(rig.limit(), 100);
    drop(first);
    rig.finish()
}
