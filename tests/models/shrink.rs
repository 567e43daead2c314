//! Releases that together make a shrink due, though none of them does so alone.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in, quiet};
use std::time::Duration;

/// [`quiet`], without a cooldown: lowers by half or more.
fn by_half() -> mlx_wired::Config {
    quiet()
        .shrink_threshold_ratio(0.5)
        .shrink_cooldown(Duration::ZERO)
}

/// Two leave at once; the limit must be what the one that stays calls for.
fn two_leave(group: &'static str, form: Form, sizes: [u64; 2]) {
    let world = World::new(by_half());
    let stays = world.held("a", Form::Sum, 2);
    let leave = sizes.map(|bytes| world.held(group, form, bytes));
    world.open();
    let [one, other] = leave;
    let releasing = spawn(move || drop(one));
    drop(other);
    releasing.join();
    world.assert_exact();
    drop(stays);
    world.finish();
}

#[test]
fn one_group() {
    explore(Size::Two, || two_leave("a", Form::Sum, [4, 4]));
}

#[test]
fn another_group() {
    explore(Size::Two, || two_leave("b", Form::Capped(20), [4, 4]));
}

/// The last of its size.
#[test]
fn largest_twice() {
    explore(Size::Two, || two_leave("b", Form::Max, [8, 8]));
}

#[test]
fn largest_and_a_smaller_one() {
    explore(Size::Two, || two_leave("b", Form::Max, [8, 5]));
}

#[test]
fn custom() {
    explore(Size::Two, || two_leave("b", Form::Custom(20), [4, 4]));
}

/// The group that calls for the most is another one afterwards, and that shrinks.
fn the_holder_changes(form: Form) {
    let world = World::new(by_half());
    let stays = world.held("a", form, 2);
    let one = world.held("b", Form::Sum, 12);
    let other = world.held("a", form, 9);
    world.open();
    let releasing = spawn(move || drop(one));
    drop(other);
    releasing.join();
    world.assert_exact();
    drop(stays);
    world.finish();
}

#[test]
fn the_holder_changes_sum() {
    explore(Size::Two, || the_holder_changes(Form::Sum));
}

#[test]
fn the_holder_changes_max() {
    explore(Size::Two, || the_holder_changes(Form::Max));
}

/// One of the same size comes while the last of its size goes.
#[test]
fn the_same_size_comes_and_goes() {
    explore_in(Size::Two, eager(), |world| {
        let _stays = world.held("a", Form::Max, 2);
        let size = world.active("a", Form::Max, 8);
        let leaves = size.acquire_owned().unwrap();
        let releasing = spawn(move || drop(leaves));
        let came = size.acquire().unwrap();
        releasing.join();
        world.assert_exact();
        drop(came);
        world.assert_exact();
    });
}

/// A guard that came without the lock leaves by a swap, while a release in another group makes its own one that shrinks.
#[test]
fn a_swap_against_the_holder() {
    explore_in(Size::Two, eager(), |world| {
        let holder = world.active("b", Form::Fixed(99), 1);
        let holder = holder.acquire_owned().unwrap();
        let warm = world.held("a", Form::Sum, 1);
        world.open();
        let (small, large) = [2, 4]
            .map(|bytes| world.active("a", Form::Sum, bytes))
            .into();
        let _stays = small.acquire().unwrap();
        drop(warm);
        // Its word is that of the swap: nothing changes in between.
        let leaves = large.acquire().unwrap();
        let releasing = spawn(move || drop(holder));
        drop(leaves);
        releasing.join();
        world.assert_exact();
    });
}

/// Small ones come and go below the shrink mark while a large one leaves.
#[test]
fn a_small_one_comes_and_goes() {
    explore_in(Size::Two, by_half(), |world| {
        let _stays = world.held("a", Form::Sum, 2);
        let small = world.active("a", Form::Sum, 4);
        let large = world.held("a", Form::Sum, 4);
        let releasing = spawn(move || drop(large));
        drop(small.acquire().unwrap());
        releasing.join();
        world.assert_exact();
    });
}

#[test]
fn three_leave() {
    explore_in(Size::Three, by_half(), |world| {
        let _stays = world.held("a", Form::Sum, 2);
        let leave = [3, 3, 4].map(|bytes| world.held("a", Form::Sum, bytes));
        let [one, two, three] = leave;
        let releasing = [spawn(move || drop(one)), spawn(move || drop(two))];
        drop(three);
        join_all(releasing);
        world.assert_exact();
    });
}
