//! Guards that grow and shrink, against each other and against the queue.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in};
use mlx_wired::Error;

fn grow_against_release(form: Form) {
    let world = World::new(eager());
    let leaves = world.held("a", form, 2);
    let mut grows = world.held("a", form, 2);
    let releasing = spawn(move || drop(leaves));
    grows.resize(4).unwrap();
    releasing.join();
    world.assert_exact();
    drop(grows);
    world.finish();
}

#[test]
fn a_growth_against_a_release() {
    explore(Size::Two, || grow_against_release(Form::Capped(4)));
}

#[test]
fn a_growth_against_a_release_max() {
    explore(Size::Two, || grow_against_release(Form::Max));
}

#[test]
fn a_growth_against_a_release_custom() {
    explore(Size::Two, || grow_against_release(Form::Custom(4)));
}

/// What a growing guard has already is not in its own way.
#[test]
fn a_bound_guard_grows_against_a_release() {
    explore_in(Size::Two, eager(), |world| {
        let leaves = world.active("a", Form::Capped(5), 2).acquire_owned();
        let grows = world.active("a", Form::Capped(5), 2);
        let mut grows = grows.acquire().unwrap();
        let releasing = spawn(move || drop(leaves));
        grows.resize(4).unwrap();
        releasing.join();
        drop(grows);
    });
}

/// Two owned guards grow; the first to finish leaves.
#[test]
fn two_growths() {
    explore_in(Size::Two, eager(), |world| {
        let mut one = world.held("a", Form::Capped(6), 1);
        let mut other = world.held("a", Form::Capped(6), 2);
        let growing = spawn(move || {
            one.resize(4).unwrap();
            drop(one);
        });
        other.resize(4).unwrap();
        drop(other);
        growing.join();
    });
}

/// Two bound guards that grow against each other: one is told, and the other grows.
#[test]
fn two_growths_that_exclude_each_other() {
    explore_in(Size::Two, eager(), |world| {
        let one = world.active("a", Form::Capped(6), 3);
        let other = world.active("a", Form::Capped(6), 3);
        let grow = |demand: super::world::Demand| {
            let mut guard = demand.acquire().unwrap();
            match guard.resize(6) {
                Ok(()) => true,
                Err(Error::WouldDeadlock { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        };
        let growing = spawn(move || grow(one));
        let other_grew = grow(other);
        let one_grew = growing.join();
        assert!(one_grew || other_grew);
    });
}

/// A growing guard comes before those who wait, since they may wait for it.
#[test]
fn a_growth_against_a_wait() {
    explore_in(Size::Two, eager(), |world| {
        let mut grows = world.held("a", Form::Capped(6), 3);
        let waits = world.active("a", Form::Capped(6), 4);
        let waiting = spawn(move || drop(waits.acquire().unwrap()));
        grows.resize(6).unwrap();
        drop(grows);
        waiting.join();
    });
}

fn shrink_against_acquire(form: Form) {
    let world = World::new(eager());
    let mut shrinks = world.held("a", form, 6);
    let coming = world.active("a", form, 3);
    let acquiring = spawn(move || coming.acquire_owned().unwrap());
    shrinks.resize(2).unwrap();
    let came = acquiring.join();
    world.assert_exact();
    drop((shrinks, came));
    world.finish();
}

#[test]
fn a_smaller_size_against_an_acquire() {
    explore(Size::Two, || shrink_against_acquire(Form::Capped(6)));
}

#[test]
fn a_smaller_size_against_an_acquire_max() {
    explore(Size::Two, || shrink_against_acquire(Form::Max));
}

#[test]
fn a_smaller_size_against_an_acquire_custom() {
    explore(Size::Two, || shrink_against_acquire(Form::Custom(6)));
}

/// What a guard that becomes smaller keeps is not there for a fast acquire.
#[test]
fn a_smaller_size_against_an_acquire_of_the_rest() {
    explore_in(Size::Two, eager(), |world| {
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let mut shrinks = world.held("a", Form::Capped(6), 6);
        world.open();
        let coming = world.active("a", Form::Capped(6), 5);
        let acquiring = spawn(move || drop(coming.acquire().unwrap()));
        shrinks.resize(2).unwrap();
        drop(shrinks);
        acquiring.join();
    });
}

/// A growth whose set fails: the guard keeps its size.
#[test]
fn a_growth_that_fails() {
    for call in 1..4 {
        explore_in(Size::Two, eager(), move |world| {
            world.oracle.fail([call]);
            let mut grows = world.held("a", Form::Capped(9), 2);
            let coming = world.active("a", Form::Capped(9), 4);
            let acquiring = spawn(move || drop(coming.acquire()));
            let grown = grows.resize(5);
            assert!(matches!(grown, Ok(()) | Err(Error::SetLimit { .. })));
            acquiring.join();
            drop(grows);
            world.clock.advance(std::time::Duration::from_secs(60));
            world.manager.maintain();
        });
    }
}
