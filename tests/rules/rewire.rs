//! R38: MLX promotes what did not fit only inside a change of the limit, which a program may ask for.

use crate::kit::{GIB, Rig, SECOND, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Error, SumPolicy};

#[test]
fn r38_the_limit_goes_a_byte_up_and_down_again() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    assert_eq!(rig.manager.rewire(), Ok(false), "nothing drives");
    let ticket = rig.ticket(&SumPolicy::new(), GIB);
    let guard = ticket.acquire()?;
    assert_eq!(rig.manager.rewire(), Ok(true));
    assert_eq!((rig.limit(), rig.calls()), (GIB + 1, 2));
    assert_eq!(rig.manager.rewire(), Ok(true));
    assert_eq!((rig.limit(), rig.calls()), (GIB, 3));
    assert_eq!(rig.manager.stats().foreign_changes, 0);
    drop(guard);
    assert_eq!(rig.manager.rewire(), Ok(false));
    rig.finish()
}

#[test]
fn r38_at_the_ceiling_it_goes_a_byte_down_and_up() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let guard = rig.manager.wire_max(GIB)?;
    let ceiling = rig.limit();
    assert_eq!(Some(ceiling), rig.manager.ceiling());
    assert_eq!(rig.manager.rewire(), Ok(true));
    assert_eq!(rig.requested()[1..], [ceiling - 1, ceiling]);
    drop(guard);
    rig.finish()
}

#[test]
fn r38_it_restarts_no_cooldown() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::new(), bytes);
    let small = ticket(GIB).acquire_owned()?;
    let large = ticket(9 * GIB).acquire_owned()?;
    drop(large);
    let cooldown = SECOND;
    rig.clock.advance(cooldown / 2);
    assert_eq!(rig.manager.rewire(), Ok(true));
    rig.clock.advance(cooldown / 2);
    rig.manager.maintain();
    assert_eq!(rig.limit(), GIB, "the shrink is due when it was before");
    drop(small);
    rig.finish()
}

#[test]
fn r38_a_failure_is_told_and_nothing_is_wired_elsewhere() -> Result<(), Error> {
    let rig = Rig::new(quiet())?;
    let guard = rig.ticket(&SumPolicy::new(), GIB).acquire_owned()?;
    rig.backend.fail_next(1);
    let failed = rig.manager.rewire();
    assert!(matches!(failed, Err(Error::SetLimit { .. })), "{failed:?}");
    assert_eq!(rig.limit(), GIB);
    drop(guard);
    rig.finish()?;
    let rig = Rig::on(RecordingBackend::cpu(), quiet())?;
    let guard = rig.ticket(&SumPolicy::new(), GIB).acquire_owned()?;
    assert_eq!(rig.manager.rewire(), Ok(false), "no wired memory");
    drop(guard);
    rig.finish()
}
