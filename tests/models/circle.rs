//! Threads that hold a guard and want another (R19): no false alarm, and no circle unnoticed.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::world::{Demand, World, eager, explore_in};
use mlx_wired::Error;

/// Takes both, or is told that it would wait for ever. Returns whether it got both.
fn take_both(first: &Demand, second: &Demand) -> bool {
    let first = first.acquire().unwrap();
    let got = match second.acquire() {
        Ok(_guard) => true,
        Err(Error::WouldDeadlock { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    drop(first);
    got
}

fn each_wants_what_the_other_holds(form: Form) {
    let world = World::new(eager());
    let [one, other] = ["a", "b"].map(|group| world.active(group, form, 3));
    let crosswise = spawn({
        let (one, other) = (one.clone(), other.clone());
        move || take_both(&one, &other)
    });
    let mine = take_both(&other, &one);
    assert!(crosswise.join() || mine, "one of them was told in vain");
    world.finish();
}

#[test]
fn two_groups() {
    explore(Size::Two, || {
        each_wants_what_the_other_holds(Form::Capped(4))
    });
}

#[test]
fn two_groups_custom() {
    explore(Size::Two, || {
        each_wants_what_the_other_holds(Form::Custom(4))
    });
}

fn each_holds_a_half(form: Form) {
    let world = World::new(eager());
    let half = world.active("a", form, 2);
    let another = spawn({
        let half = half.clone();
        move || take_both(&half, &half)
    });
    let mine = take_both(&half, &half);
    assert!(another.join() || mine, "one of them was told in vain");
    world.finish();
}

#[test]
fn one_group() {
    explore(Size::Two, || each_holds_a_half(Form::Capped(4)));
}

#[test]
fn one_group_custom() {
    explore(Size::Two, || each_holds_a_half(Form::Custom(4)));
}

/// An owned guard is held by no thread, so to wait for it is no circle.
#[test]
fn a_wait_for_an_owned_guard() {
    explore_in(Size::Two, eager(), |world| {
        let half = world.active("a", Form::Capped(4), 2);
        let owned = half.acquire_owned().unwrap();
        let releasing = spawn(move || drop(owned));
        assert!(take_both(&half, &half));
        releasing.join();
    });
}
