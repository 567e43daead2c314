//! Many threads and few places: everybody who waits is woken once, for itself, in its turn.

use super::accounts::Claim;
use super::crew::Crew;
use super::forms::{KINDS, SIZES};
use super::plan::Plan;
use super::world::World;
use mlx_wired::{Error, Kind};
use std::hint::spin_loop;
use std::sync::Arc;
use std::thread::yield_now;

/// The sizes from half of a place to a whole one.
const LARGE: std::ops::Range<usize> = 5..SIZES.len();

/// A run in which each thread acquires so many times.
pub(crate) fn run(plan: Plan, times: usize) {
    let world = World::new(Plan {
        threads: plan.threads * 2,
        // Its thread would be woken too.
        config: plan.config.clone().housekeeping(false),
        failing: 0,
        panicking: false,
        calling_back: false,
        closing: false,
        leaking: false,
        ..plan
    });
    Crew::new(&world).run(move |crew, me| {
        for time in 0..times {
            // Now and then all at once.
            if time % 16 == 0 && !crew.meet() {
                return;
            }
            turn(crew, me);
        }
    });
    world.check_still();
    let stats = world.manager.stats();
    let admitted = world.manager.snapshot().wait_times.count;
    let all = admitted == stats.waits || (world.plan.holds && world.plan.stays);
    assert!(all, "{admitted} of {} waits end with a guard", stats.waits);
    let wakeups = world.clock.wakeups();
    assert!(wakeups <= stats.waits, "R17: {wakeups} wake-ups, {stats:?}");
}

fn turn(crew: &Crew, me: usize) {
    let world: &Arc<World> = &crew.world;
    let kind = fastrand::usize(world.plan.kinds());
    let claim = Claim {
        line: fastrand::usize(..world.lines.len()),
        size: fastrand::usize(LARGE),
        driving: KINDS[kind].is_driving(),
    };
    let is_hold = KINDS[kind] != Kind::Active;
    let room = if is_hold {
        world.plan.room(claim.line)
    } else {
        0
    };
    if claim.bytes() + room > world.plan.always(claim.line) {
        return;
    }
    let ticket = world.lines[claim.line].ticket(claim.size, kind);
    crew.begins(me, &claim);
    let held = world.hold(claim, || world.in_turn(claim.line, || ticket.acquire()));
    let held = match held {
        // Whether that may be has been checked.
        Err(Error::NoRoom { .. }) => return,
        held => held.expect("its turn comes"),
    };
    match fastrand::u8(..4) {
        0 => yield_now(),
        1 => (0..fastrand::u32(..5000)).for_each(|_| spin_loop()),
        2 => world.manager.poke().expect("from outside"),
        _ => {}
    }
    drop(held);
}
