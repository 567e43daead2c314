//! What is owed: a shrink that the cooldown holds back, the end of linger, a call to be tried again.

use super::check::{Size, explore, spawn, yield_now};
use super::claim::Form;
use super::world::{Demand, World, eager, explore_in, explore_on};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A shrink that is held back happens when it is due, whatever is released meanwhile.
#[test]
fn a_shrink_against_a_release() {
    explore_in(Size::Two, eager().shrink_cooldown(SECOND), |world| {
        let _stays = world.held("a", Form::Sum, 2);
        let one = world.held("a", Form::Sum, 4);
        let other = world.held("b", Form::Max, 3);
        world.open();
        let releasing = spawn(move || drop(one));
        drop(other);
        releasing.join();
        world.clock.advance(SECOND);
        world.manager.maintain();
        world.assert_exact();
    });
}

#[test]
fn maintain_against_a_release_and_an_acquire() {
    explore_in(Size::Two, eager().shrink_cooldown(SECOND), |world| {
        let _stays = world.held("a", Form::Sum, 2);
        drop(world.active("a", Form::Sum, 4).acquire().unwrap());
        let coming = world.active("a", Form::Sum, 3);
        world.clock.advance(SECOND);
        let maintaining = world.spawn(|world| world.manager.maintain());
        drop(coming.acquire().unwrap());
        maintaining.join();
        world.clock.advance(SECOND);
        world.manager.maintain();
        world.assert_exact();
    });
}

/// The epoch's end is due while `coming` does: the baseline is not forgotten.
fn the_end_of_linger(coming: impl Fn(&Arc<World>) -> Demand + Send + Sync + 'static) {
    explore_on(Size::Two, (5, 1000), eager().linger(SECOND), move |world| {
        drop(world.active("a", Form::Sum, 4).acquire().unwrap());
        let coming = coming(world);
        world.clock.advance(SECOND);
        let maintaining = world.spawn(|world| world.manager.maintain());
        drop(coming.acquire().unwrap());
        maintaining.join();
        world.clock.advance(SECOND);
        world.manager.maintain();
    });
}

#[test]
fn the_end_of_linger_against_an_acquire() {
    the_end_of_linger(|world| world.active("a", Form::Sum, 6));
}

/// A reservation comes while the epoch lingers or ends.
#[test]
fn the_end_of_linger_against_a_reservation() {
    the_end_of_linger(|world| world.active("a", Form::Sum, 9).reservation());
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now();
    }
}

/// The housekeeping thread shrinks and ends by itself.
#[test]
fn housekeeping() {
    explore(Size::Many, || {
        let settings = eager().shrink_cooldown(SECOND).linger(SECOND);
        let world = World::new(settings.housekeeping(true));
        let stays = world.held("a", Form::Sum, 2);
        let leaves = world.held("a", Form::Sum, 4);
        let releasing = spawn(move || drop(leaves));
        world.clock.advance(SECOND);
        releasing.join();
        world.clock.advance(SECOND);
        until(|| world.oracle.limit() == 2);
        drop(stays);
        // A session that runs meanwhile begins to count when it has called the setter.
        until(|| {
            world.clock.advance(SECOND);
            world.oracle.limit() == 0
        });
        world.finish();
    });
}

/// A failed restore is tried again by the housekeeping thread.
#[test]
fn housekeeping_tries_again() {
    explore_on(Size::Many, (5, 1000), eager().housekeeping(true), |world| {
        let coming = world.active("a", Form::Sum, 4);
        world.oracle.fail([2, 3]);
        let coming_too = coming.clone();
        let acquiring = spawn(move || drop(coming_too.acquire()));
        drop(coming.acquire());
        acquiring.join();
        for _ in 0..3 {
            world.clock.advance(SECOND * 60);
        }
        until(|| {
            world.clock.advance(SECOND * 60);
            world.oracle.limit() == 5
        });
    });
}

/// Somebody who comes and goes makes a shrink needless, and wanted again, just when it is held back.
#[test]
fn a_shrink_against_one_who_comes_and_goes() {
    explore(Size::Many, || {
        let settings = eager().shrink_cooldown(SECOND).housekeeping(true);
        let world = World::new(settings);
        let stays = world.held("a", Form::Sum, 2);
        let leaves = world.held("a", Form::Sum, 4);
        let comes = world.active("a", Form::Sum, 4);
        world.open();
        let releasing = spawn(move || drop(leaves));
        drop(comes.acquire().unwrap());
        releasing.join();
        world.clock.advance(SECOND);
        until(|| world.oracle.limit() == 2);
        drop(stays);
        // By the session that lowers, if it still runs.
        until(|| world.oracle.limit() == 0);
        world.finish();
    });
}

/// Guards that came without the lock while the epoch lingers: the larger one goes, and no time passes.
#[test]
fn a_release_while_nobody_drove_at_the_last_session() {
    explore_in(
        Size::Many,
        eager().linger(SECOND).housekeeping(true),
        |world| {
            let [largest, large, small] =
                [9, 6, 2].map(|bytes| world.active("a", Form::Sum, bytes));
            drop(largest.acquire().unwrap());
            let stays = small.acquire().unwrap();
            drop(large.acquire().unwrap());
            // A session of the housekeeping thread may run.
            until(|| world.oracle.limit() == 2);
            drop(stays);
            until(|| {
                world.clock.advance(SECOND);
                world.oracle.limit() == 0
            });
        },
    );
}
