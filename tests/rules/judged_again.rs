//! R26a, R40: which waiters a change of the holds concerns. None is forgotten that it lets in, and what marks groups
//! leaves no cost behind.

use crate::kit::{Rig, effort, quiet};
use mlx_wired::{Error, SumPolicy, Wait};

#[test]
fn r26a_the_room_of_another_group_bounds_no_cap_but_the_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(1_000))?;
    let trainer = rig.ticket(&SumPolicy::uncapped(), 10);
    let trainer = trainer.reservation().room_for(500).acquire_owned()?;
    let model = |bytes| rig.ticket(&SumPolicy::capped(100), bytes);
    let first = model(60).reservation().acquire_owned()?;
    let second = rig.queued(&model(50).reservation());
    drop(first);
    drop((second.result()?, trainer));
    rig.finish()
}

/// A demand that waits for holds cannot be refused.
#[test]
fn r40_a_cache_that_grows_looks_at_none_that_waits_for_holds() -> Result<(), Error> {
    const WAITING: usize = 300;
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(1 << 20), bytes);
    let model = ticket(1 << 19).reservation().acquire_owned()?;
    let mut cache = ticket(1).reservation().acquire_owned()?;
    let mut growths = || {
        let from = cache.bytes();
        effort(|| {
            for token in 1..=200 {
                cache.resize(from + token).expect("nothing is in the way");
            }
        })
    };
    let alone = growths().min(growths());
    let large = ticket(3 << 18);
    let waiting: Vec<_> = (0..WAITING)
        .map(|_| rig.queued_with(&large, Wait::new().for_holds()))
        .collect();
    let beside = growths().min(growths());
    assert!(beside < 10 * alone, "{alone:?} alone, {beside:?} beside");
    drop(model);
    for waits in waiting {
        drop(waits.result()?);
    }
    drop(cache);
    rig.finish()
}

/// A job that would fit waits behind one that does not.
#[test]
fn r40_a_cache_that_shrinks_looks_at_none_behind_the_first_job() -> Result<(), Error> {
    const WAITING: usize = 300;
    let rig = Rig::new(quiet())?;
    let ticket = |bytes| rig.ticket(&SumPolicy::capped(1 << 20), bytes);
    let model = ticket(1 << 19).reservation().acquire_owned()?;
    let mut cache = ticket(1 << 10).reservation().acquire_owned()?;
    let mut shrinks = || {
        let from = cache.bytes();
        effort(|| {
            for token in 1..=200 {
                cache.resize(from - token).expect("less always fits");
            }
        })
    };
    let alone = shrinks().min(shrinks());
    let first = rig.queued(&ticket(3 << 18).reservation());
    let small = ticket(1).reservation();
    let waiting: Vec<_> = (0..WAITING).map(|_| rig.queued(&small)).collect();
    let beside = shrinks().min(shrinks());
    assert!(beside < 10 * alone, "{alone:?} alone, {beside:?} beside");
    drop(model);
    let first = first.result()?;
    for waits in waiting {
        drop(waits.result()?);
    }
    drop((first, cache));
    rig.finish()
}
