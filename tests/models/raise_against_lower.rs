//! A thread lowers the limit while another's demand needs it.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in, explore_on};

/// One release lowers; one acquire fits below the old limit, but not below the new one.
fn a_release_and_an_acquire(group: &'static str, form: Form) {
    let world = World::new(eager());
    let stays = world.held("a", Form::Sum, 2);
    let leaves = world.held(group, form, 4);
    let coming = world.active(group, form, 3);
    let releasing = spawn(move || drop(leaves));
    let came = coming.acquire().unwrap();
    releasing.join();
    world.assert_exact();
    drop(came);
    world.assert_exact();
    drop(stays);
    world.finish();
}

#[test]
fn sum() {
    explore(Size::Two, || a_release_and_an_acquire("a", Form::Sum));
}

#[test]
fn another_group() {
    explore(Size::Two, || a_release_and_an_acquire("b", Form::Sum));
}

#[test]
fn capped() {
    explore(Size::Two, || {
        a_release_and_an_acquire("b", Form::Capped(9));
    });
}

#[test]
fn max() {
    explore(Size::Two, || a_release_and_an_acquire("b", Form::Max));
}

#[test]
fn fixed() {
    explore(Size::Two, || a_release_and_an_acquire("b", Form::Fixed(7)));
}

#[test]
fn custom() {
    explore(Size::Two, || {
        a_release_and_an_acquire("b", Form::Custom(9));
    });
}

/// Both need a higher limit than is set: neither returns before a call has covered it.
#[test]
fn two_raises() {
    explore_in(Size::Two, eager(), |world| {
        let stays = world.held("a", Form::Sum, 2);
        let one = world.active("a", Form::Sum, 4);
        let other = world.active("a", Form::Sum, 8);
        let acquiring = spawn(move || one.acquire_owned().unwrap());
        let other = other.acquire().unwrap();
        let one = acquiring.join();
        world.assert_exact();
        // One for the first guard, and at most one for each of these.
        assert!(world.oracle.calls().len() <= 3);
        drop((stays, one, other));
    });
}

/// An attempt that may not wait for another's call leaves nothing behind.
#[test]
fn an_attempt_against_a_call() {
    explore_in(Size::Two, eager(), |world| {
        let stays = world.held("a", Form::Sum, 2);
        let one = world.active("a", Form::Sum, 4);
        let attempted = world.active("a", Form::Sum, 8);
        let acquiring = spawn(move || one.acquire_owned().unwrap());
        let attempted = attempted.try_acquire();
        let one = acquiring.join();
        world.assert_exact();
        drop(attempted);
        world.assert_exact();
        drop((stays, one));
    });
}

/// What an attempt that goes again had taken is offered to whoever queued for it meanwhile.
#[test]
fn an_attempt_against_a_call_and_a_wait() {
    explore_in(Size::Many, eager(), |world| {
        let stays = world.active("a", Form::Capped(4), 1).acquire_owned();
        let high = world.active("b", Form::Fixed(9), 1);
        let attempted = world.active("a", Form::Capped(4), 3);
        let coming = world.active("a", Form::Capped(4), 2);
        let raising = spawn(move || high.acquire_owned().unwrap());
        let attempting = spawn(move || drop(attempted.try_acquire()));
        drop(coming.acquire().unwrap());
        attempting.join();
        drop((raising.join(), stays));
    });
}

/// A ceiling below what is called for: covered at the ceiling.
#[test]
fn at_the_ceiling() {
    explore_on(Size::Two, (0, 5), eager(), |world| {
        let _stays = world.held("a", Form::Sum, 2);
        let leaves = world.held("a", Form::Sum, 4);
        let coming = world.active("a", Form::Sum, 4);
        let releasing = spawn(move || drop(leaves));
        drop(coming.acquire().unwrap());
        releasing.join();
        world.assert_exact();
    });
}

#[test]
fn three() {
    explore_in(Size::Many, eager(), |world| {
        let _stays = world.held("a", Form::Sum, 2);
        let leaves = world.held("a", Form::Sum, 4);
        let coming = world.active("a", Form::Sum, 3);
        let large = world.active("a", Form::Sum, 8);
        let releasing = spawn(move || drop(leaves));
        let growing = spawn(move || drop(large.acquire().unwrap()));
        drop(coming.acquire().unwrap());
        releasing.join();
        growing.join();
        world.assert_exact();
    });
}
