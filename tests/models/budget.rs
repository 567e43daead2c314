//! The budget over all groups (R25): one line, and never more than it.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::{World, eager};
use std::sync::Arc;

fn within(budget: u64) -> Arc<World> {
    let world = World::new(eager().budget(budget));
    world.oracle.set_budget(Some(budget));
    world
}

fn two_groups(one: Form, other: Form) {
    let world = within(6);
    let one = world.active("a", one, 4);
    let other = world.active("b", other, 3);
    let acquiring = spawn(move || drop(other.acquire().unwrap()));
    drop(one.acquire().unwrap());
    acquiring.join();
    world.finish();
}

#[test]
fn two_sums() {
    explore(Size::Two, || two_groups(Form::Sum, Form::Capped(9)));
}

#[test]
fn a_max_and_a_constant() {
    explore(Size::Two, || two_groups(Form::Max, Form::Fixed(9)));
}

#[test]
fn custom_and_sum() {
    explore(Size::Two, || two_groups(Form::Custom(9), Form::Sum));
}

#[test]
fn two_custom() {
    explore(Size::Two, || two_groups(Form::Custom(9), Form::Custom(9)));
}

/// What another took while a policy was asked is not left any more.
#[test]
fn custom_against_one_that_stays() {
    explore(Size::Two, || {
        let world = within(6);
        let custom = world.active("a", Form::Custom(9), 4);
        let other = world.active("b", Form::Sum, 3);
        let acquiring = spawn(move || other.acquire_owned().unwrap());
        // Whichever comes second has no room.
        drop(custom.try_acquire());
        drop(acquiring.join());
        world.finish();
    });
}

/// Both groups have guards, and the limit covers more than the budget has.
#[test]
fn two_sums_that_are_covered() {
    explore(Size::Two, || {
        let world = within(6);
        let nine = world.active("c", Form::Fixed(9), 0).acquire_owned();
        let one = world.active("a", Form::Sum, 2);
        let other = world.active("b", Form::Capped(9), 2);
        let stay = [&one, &other].map(|it| it.acquire_owned().unwrap());
        world.open();
        let acquiring = spawn(move || other.acquire_owned().unwrap());
        drop(one.try_acquire());
        drop(acquiring.join());
        drop((nine, stay));
        world.finish();
    });
}

/// A release in one group lets in a waiter of another.
#[test]
fn a_release_against_a_wait_in_another_group() {
    explore(Size::Two, || {
        let world = within(6);
        let leaves = world.held("a", Form::Sum, 4);
        let coming = world.active("b", Form::Custom(9), 3);
        let releasing = spawn(move || drop(leaves));
        drop(coming.acquire().unwrap());
        releasing.join();
        world.finish();
    });
}

#[test]
fn one_line_for_all() {
    explore(Size::Three, || {
        let world = within(6);
        let leaves = world.held("a", Form::Sum, 4);
        let forms = [("b", Form::Max, 5), ("c", Form::Capped(9), 3)];
        let coming = forms.map(|(group, form, bytes)| {
            let demand = world.active(group, form, bytes);
            spawn(move || drop(demand.acquire_in_turn(0).unwrap()))
        });
        drop(leaves);
        join_all(coming);
        world.finish();
    });
}

#[test]
fn many() {
    explore(Size::Many, || {
        let world = within(6);
        let forms = [
            ("a", Form::Sum, 4),
            ("b", Form::Max, 5),
            ("c", Form::Capped(9), 3),
            ("d", Form::Custom(9), 2),
        ];
        let coming = forms.map(|(group, form, bytes)| {
            let demand = world.active(group, form, bytes);
            spawn(move || {
                for _ in 0..2 {
                    drop(demand.acquire().unwrap());
                }
            })
        });
        join_all(coming);
        world.finish();
    });
}
