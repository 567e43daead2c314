//! The setter fails or panics at any of its calls: nothing is held by those who got the error, nobody waits for
//! ever, and the baseline comes back.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::oracle::Oracle;
use super::world::{Held, World, eager};
use mlx_wired::{Config, Error, Guard, OnApplyFailure};
use std::sync::Arc;
use std::time::Duration;

fn failing(config: Config, calls: &[usize]) -> Arc<World> {
    let world = World::on(Oracle::new(5, 1000), config);
    world.oracle.fail(calls.iter().copied());
    world
}

/// Tries what is owed again, as housekeeping would, until nothing fails any more.
fn finish(world: &Arc<World>) {
    world.oracle.heal();
    for _ in 0..4 {
        world.clock.advance(Duration::from_secs(60));
        world.manager.maintain();
    }
    let whole = world.active("a", Form::Capped(9), 9);
    drop(whole.try_acquire().unwrap());
    world.finish();
}

fn is_the_setters(outcome: &Result<Held<Guard<'_>>, Error>) {
    if let Err(error) = outcome {
        assert!(matches!(error, Error::SetLimit { .. }), "{error}");
    }
}

/// A release and an acquire, with these calls failing.
fn release_and_acquire(stays: bool, calls: &[usize]) {
    let world = failing(eager(), calls);
    let stays = stays.then(|| world.active("a", Form::Capped(9), 2).acquire_owned());
    let leaves = world.active("a", Form::Capped(9), 4).acquire_owned();
    let coming = world.active("a", Form::Capped(9), 3);
    let releasing = spawn(move || drop(leaves));
    let came = coming.acquire();
    is_the_setters(&came);
    releasing.join();
    drop(came);
    drop(stays);
    finish(&world);
}

#[test]
fn raise_against_lower() {
    for call in 0..7 {
        explore(Size::Two, move || release_and_acquire(true, &[call]));
    }
}

#[test]
fn last_release_against_first_acquire() {
    for call in 0..6 {
        explore(Size::Two, move || release_and_acquire(false, &[call]));
    }
}

#[test]
fn last_release_against_first_acquire_failing_twice() {
    for call in 1..5 {
        explore(Size::Two, move || {
            release_and_acquire(false, &[call, call + 1]);
        });
    }
}

/// Both are covered by one call, which fails: both get the error.
#[test]
fn two_raises() {
    for call in 2..4 {
        explore(Size::Two, move || {
            let world = failing(eager(), &[call]);
            let stays = world.held("a", Form::Sum, 2);
            let one = world.active("a", Form::Sum, 4);
            let other = world.active("b", Form::Max, 8);
            let acquiring = spawn(move || is_the_setters(&one.acquire()));
            is_the_setters(&other.acquire());
            acquiring.join();
            drop(stays);
            finish(&world);
        });
    }
}

/// What the failed demand had reserved goes to the next in line.
#[test]
fn the_queue_is_examined() {
    for call in 1..4 {
        explore(Size::Two, move || {
            let world = failing(eager(), &[call]);
            let one = world.active("a", Form::Capped(9), 7);
            let other = world.active("a", Form::Capped(9), 5);
            let acquiring = spawn(move || is_the_setters(&one.acquire()));
            is_the_setters(&other.acquire());
            acquiring.join();
            finish(&world);
        });
    }
}

#[test]
fn panicking() {
    for call in 1..6 {
        explore(Size::Two, move || {
            let world = World::on(Oracle::new(5, 1000), eager());
            world.oracle.panic([call]);
            let leaves = world.active("a", Form::Capped(9), 4).acquire_owned();
            let coming = world.active("a", Form::Capped(9), 3);
            let releasing = spawn(move || drop(leaves));
            is_the_setters(&coming.acquire());
            releasing.join();
            finish(&world);
        });
    }
}

/// Guards that run unwired. The oracle is told of none of them, since it would protect them.
#[test]
fn proceeding() {
    for call in 0..5 {
        explore(Size::Two, move || {
            let world = failing(eager().on_apply_failure(OnApplyFailure::Proceed), &[call]);
            let leaves = world.active("a", Form::Capped(9), 4);
            let leaves = leaves.ticket.acquire_owned().unwrap();
            let coming = world.active("a", Form::Capped(9), 3);
            let releasing = spawn(move || drop(leaves));
            drop(coming.ticket.acquire().unwrap());
            releasing.join();
            finish(&world);
        });
    }
}

/// The waiter that was let in and whom the failed call was to cover sleeps still. Its demand is gone all the same.
#[test]
fn a_snapshot_after_a_failed_raise() {
    explore(Size::Two, || {
        let world = failing(eager(), &[2]);
        let leaves = world.active("a", Form::Capped(20), 12).acquire_owned();
        let coming = world.active("a", Form::Capped(20), 15);
        let waits = spawn(move || is_the_setters(&coming.acquire()));
        drop(leaves);
        let snapshot = world.manager.snapshot();
        assert!(snapshot.uncovered as u64 <= snapshot.live, "{snapshot}");
        waits.join();
        finish(&world);
    });
}
