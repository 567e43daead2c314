//! The manager is closed, or its last handle goes.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in};
use mlx_wired::Error;
use std::time::Duration;

fn close_against_acquire(form: Form) {
    let world = World::new(eager());
    let leaves = world.held("a", form, 3);
    let coming = world.active("a", form, 2);
    let closing = spawn({
        let world = world.clone();
        move || {
            world.manager.close();
            drop(leaves);
        }
    });
    match coming.acquire() {
        Ok(guard) => drop(guard),
        Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
    }
    closing.join();
    assert!(matches!(coming.try_acquire().err(), Some(Error::Closed)));
    world.finish();
}

#[test]
fn against_a_wait() {
    explore(Size::Two, || close_against_acquire(Form::Capped(4)));
}

/// Only closing ends the wait.
#[test]
fn against_a_wait_that_nobody_ends() {
    explore_in(Size::Two, eager(), |world| {
        let _stays = world.active("a", Form::Capped(4), 3).acquire_owned();
        let waits = world.active("a", Form::Capped(4), 2);
        let waiting = spawn(move || assert!(matches!(waits.acquire().err(), Some(Error::Closed))));
        world.manager.close();
        waiting.join();
    });
}

#[test]
fn against_an_acquire() {
    explore(Size::Two, || close_against_acquire(Form::Sum));
}

#[test]
fn against_a_wait_custom() {
    explore(Size::Two, || close_against_acquire(Form::Custom(4)));
}

#[test]
fn against_the_last_release_that_would_linger() {
    explore_in(Size::Two, eager().linger(Duration::from_secs(9)), |world| {
        let last = world.held("a", Form::Sum, 3);
        let releasing = spawn(move || drop(last));
        world.manager.close();
        releasing.join();
    });
}

/// The guards outlive the manager's last handle; nothing lingers after it.
#[test]
fn the_last_handle_against_the_last_release() {
    explore(Size::Two, || {
        let world = World::new(eager().linger(Duration::from_secs(9)));
        let last = world.held("a", Form::Sum, 3);
        let oracle = world.oracle.clone();
        let releasing = spawn(move || drop(last));
        drop(world);
        releasing.join();
        oracle.finish();
    });
}
