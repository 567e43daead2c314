//! The part without a lock by itself, small enough for every interleaving: fast acquires and releases against each
//! other, and against one look at the limit.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::world::{Demand, World, eager, explore_in};
use mlx_wired::SumPolicy;
use std::sync::Arc;

/// A group that nothing but its own guards concerns: another calls for more, and keeps the epoch open.
fn beside(form: Form, bytes: u64) -> (Arc<World>, impl Sized, Demand) {
    let world = World::new(eager());
    let high = world.active("high", Form::Fixed(99), 1).acquire_owned();
    let warm = world.active("a", form, 1).acquire_owned();
    world.open();
    let demand = world.active("a", form, bytes);
    (world, (high, warm), demand)
}

fn two_fast(form: Form) {
    let (world, held, demand) = beside(form, 2);
    let other = demand.comes_and_goes();
    drop(demand.acquire().unwrap());
    other.join();
    drop(held);
    world.finish();
}

#[test]
fn two_additions() {
    explore(Size::Small, || two_fast(Form::Sum));
}

#[test]
fn two_swaps() {
    explore(Size::Small, || two_fast(Form::Capped(9)));
}

#[test]
fn two_counted() {
    explore(Size::Small, || two_fast(Form::Max));
}

/// Publishing and reading again against a subtraction and what it sees: the shrink is done by one or the other.
fn a_look_against_a_release(form: Form) {
    let world = World::new(eager());
    let stays = world.active("a", form, 2).acquire_owned();
    let leaves = world.active("a", form, 4).acquire_owned();
    let looking = world.spawn(|world| world.manager.maintain());
    drop(leaves);
    looking.join();
    world.assert_exact();
    drop(stays);
    world.finish();
}

#[test]
fn a_look_against_a_subtraction() {
    explore(Size::Small, || a_look_against_a_release(Form::Sum));
}

#[test]
fn a_look_against_a_subtraction_counted() {
    explore(Size::Small, || a_look_against_a_release(Form::Max));
}

/// The same for the end of the epoch.
#[test]
fn a_look_against_the_last_release() {
    explore_in(Size::Small, eager(), |world| {
        let last = world.active("a", Form::Sum, 4).acquire_owned();
        let looking = world.spawn(|world| world.manager.maintain());
        drop(last);
        looking.join();
    });
}

/// A demand that is counted under the lock against one that is not, where the word has room for one of them.
#[test]
fn the_last_byte() {
    explore(Size::Small, || {
        const MAX_SUM: u64 = (1 << 44) - 1;
        let world = World::new(eager());
        let ticket = |bytes| world.manager.ticket(&SumPolicy::uncapped(), bytes);
        let most = ticket(MAX_SUM - 1).acquire_owned().unwrap();
        let (fast, locked) = (ticket(1), ticket(1).reservation());
        let other = spawn(move || fast.acquire_owned());
        let mine = locked.acquire_owned();
        let both = (mine, other.join());
        assert!(world.manager.snapshot().live_bytes <= MAX_SUM);
        drop((most, both));
        world.finish();
    });
}
