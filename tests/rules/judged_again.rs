//! R26a, R40: which waiters a change of the holds concerns. None is forgotten that it lets in, and what marks groups
//! leaves no cost behind.

use crate::support::{Rig, queued, quiet};
use mlx_wired::{Error, SumPolicy, Wait};

#[test]
fn r26a_the_room_of_another_group_bounds_no_cap_but_the_budget() -> Result<(), Error> {
    let rig = Rig::new(quiet().budget(1_000))?;
    let trainer = rig.manager.ticket(&SumPolicy::uncapped(), 10);
    let trainer = trainer.reservation().room_for(500).acquire_owned()?;
    let model = |bytes| rig.manager.ticket(&SumPolicy::capped(100), bytes);
    let first = model(60).reservation().acquire_owned()?;
    let second = queued(&rig.manager, &model(50).reservation(), Wait::new());
    drop(first);
    drop((second.result()?, trainer));
    rig.finish()
}
