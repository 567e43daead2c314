//! The last driving guard leaves: the baseline is set back, once, and never under a guard.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::custom::Custom;
use super::oracle::Oracle;
use super::world::{Demand, Held, World, eager, explore_on, quiet};
use mlx_wired::OwnedGuard;
use std::sync::Arc;

fn on_baseline(baseline: u64) -> Arc<World> {
    World::on(Oracle::new(baseline, 1000), eager())
}

fn last_against_first(world: &World, last: &Demand, first: &Demand) {
    leaves_as_it_comes(world, last.acquire_owned().unwrap(), first);
}

fn leaves_as_it_comes(world: &World, last: Held<OwnedGuard>, first: &Demand) {
    let releasing = spawn(move || drop(last));
    let first = first.acquire().unwrap();
    releasing.join();
    world.assert_exact();
    drop(first);
    world.finish();
}

fn same_group(baseline: u64, form: Form) {
    let world = on_baseline(baseline);
    let (last, first) = (world.active("a", form, 4), world.active("a", form, 3));
    last_against_first(&world, &last, &first);
}

#[test]
fn last_release_against_first_acquire() {
    explore(Size::Two, || same_group(0, Form::Sum));
}

#[test]
fn last_release_against_first_acquire_above_a_baseline() {
    explore(Size::Two, || same_group(5, Form::Sum));
}

#[test]
fn last_release_against_first_acquire_max() {
    explore(Size::Two, || same_group(5, Form::Max));
}

/// Its size is listed already, so it is counted without the lock.
#[test]
fn last_release_against_an_acquire_of_a_listed_size() {
    explore(Size::Two, || {
        let world = on_baseline(5);
        let first = world.active("a", Form::Max, 3);
        let last = world.held("a", Form::Max, 4);
        drop(first.acquire().unwrap());
        leaves_as_it_comes(&world, last, &first);
    });
}

#[test]
fn last_release_against_first_acquire_custom() {
    explore(Size::Two, || same_group(5, Form::Custom(9)));
}

#[test]
fn last_release_against_first_acquire_of_another_group() {
    explore(Size::Two, || {
        let world = on_baseline(5);
        let last = world.active("a", Form::Sum, 4);
        let first = world.active("b", Form::Capped(9), 3);
        last_against_first(&world, &last, &first);
    });
}

/// A demand of no bytes needs its group's limit all the same.
#[test]
fn last_release_against_an_acquire_of_zero_bytes() {
    explore(Size::Two, || {
        let world = on_baseline(0);
        let last = world.active("a", Form::Fixed(7), 4);
        let first = world.active("a", Form::Fixed(7), 0);
        last_against_first(&world, &last, &first);
    });
}

/// What was reserved before the epoch counts in its first limit.
fn first_acquires_beside_a_reservation(size: Size, group: &'static str) {
    explore_on(size, (5, 1000), eager(), move |world| {
        let weights = world.active(group, Form::Sum, 4).reservation();
        let _weights = weights.acquire_owned().unwrap();
        let one = world.active(group, Form::Sum, 1);
        let other = world.active("a", Form::Sum, 0);
        let acquiring = spawn(move || drop(one.acquire().unwrap()));
        drop(other.acquire().unwrap());
        acquiring.join();
    });
}

#[test]
fn first_acquires_above_a_reservation() {
    first_acquires_beside_a_reservation(Size::Two, "a");
}

/// The same while its group is not theirs both: what the first call covers in the one is too little for the other.
#[test]
fn first_acquires_in_two_groups_above_a_reservation() {
    first_acquires_beside_a_reservation(Size::Three, "b");
}

/// A reservation that comes as the last driving guard goes raises nothing; the next driving guard raises for both.
#[test]
fn last_release_against_a_reservation() {
    explore_on(Size::Two, (0, 1000), eager(), |world| {
        let last = world.held("a", Form::Sum, 2);
        let weights = world.active("b", Form::Sum, 9).reservation();
        let small = world.active("a", Form::Sum, 1);
        let releasing = spawn(move || drop(last));
        let weights = weights.acquire().unwrap();
        drop(small.acquire().unwrap());
        drop(weights);
        releasing.join();
    });
}

/// The same for one that waits, and is let in by a hold that goes: nothing looks at the limit on its account but itself.
#[test]
fn last_release_against_a_reservation_that_waits() {
    explore_on(Size::Three, (0, 1000), eager(), |world| {
        let reserved = |bytes| world.active("b", Form::Capped(9), bytes).reservation();
        let hold = reserved(1).acquire_owned().unwrap();
        let last = world.held("a", Form::Sum, 2);
        world.open();
        let (weights, small) = (reserved(9), world.active("a", Form::Sum, 1));
        let releasing = spawn(move || drop(last));
        let leaving = spawn(move || drop(hold));
        let weights = weights.acquire().unwrap();
        drop(small.acquire().unwrap());
        drop(weights);
        join_all([releasing, leaving]);
    });
}

/// All who drive come and go while a reservation waits for the call after the first.
#[test]
fn last_releases_against_a_raise_that_was_left_over() {
    explore_on(Size::Soup, (0, 1000), eager(), |world| {
        let policy = Custom::new(&world.oracle, "c", 20);
        let reserved = |bytes| {
            let demand = world.under(&policy, "c", Form::Custom(20), bytes);
            demand.reservation()
        };
        let small = reserved(1).acquire_owned().unwrap();
        let weights = reserved(9);
        let one = world.active("a", Form::Sum, 1);
        let other = world.active("b", Form::Sum, 2);
        let coming = spawn(move || drop(one.acquire().unwrap()));
        let going = spawn(move || drop(other.acquire().unwrap()));
        let weights = weights.acquire_owned().unwrap();
        join_all([coming, going]);
        // Without them nobody looks any more.
        world.assert_exact();
        drop((small, weights));
    });
}

/// The first call covers both, and gives another baseline, on which only the other needs one more.
fn an_attempt_against_who_is_covered_no_longer(reserves: bool) {
    let world = on_baseline(5);
    let policy = Custom::new(&world.oracle, "c", 20);
    // A policy that the session asks before the call: the other may come meanwhile.
    let asked = world.under(&policy, "c", Form::Custom(20), 1).reservation();
    let asked = asked.acquire_owned().unwrap();
    let attempted = world.active("f", Form::Fixed(9), 1);
    let other = world.active("a", Form::Sum, 6);
    let other = if reserves { other.reservation() } else { other };
    let attempting = spawn(move || drop(attempted.try_acquire()));
    let other = other.acquire_owned().unwrap();
    attempting.join();
    // A reservation alone raises nothing.
    let needed = if reserves { 5 } else { 11 };
    assert_eq!(world.oracle.limit(), needed);
    drop((asked, other));
    world.finish();
}

#[test]
fn an_attempt_against_an_acquire_that_another_baseline_uncovers() {
    explore(Size::Two, || {
        an_attempt_against_who_is_covered_no_longer(false);
    });
}

#[test]
fn an_attempt_against_a_reservation_that_another_baseline_uncovers() {
    explore(Size::Two, || {
        an_attempt_against_who_is_covered_no_longer(true);
    });
}

#[test]
fn two_last_releases_in_one_group() {
    explore_on(Size::Two, (5, 1000), eager(), |world| {
        let one = world.held("a", Form::Sum, 4);
        let other = world.held("a", Form::Sum, 3);
        let releasing = spawn(move || drop(one));
        drop(other);
        releasing.join();
    });
}

/// A guard that was given without the lock leaves beside one that was not, which it may have seen to stay.
#[test]
fn two_last_releases_one_of_them_fast() {
    explore_on(Size::Two, (5, 1000), eager(), |world| {
        let stays = world.active("a", Form::Fixed(7), 4).acquire_owned();
        world.open();
        let fast = world.active("a", Form::Fixed(7), 3);
        let guard = fast.acquire().unwrap();
        let releasing = spawn(move || drop(stays));
        drop(guard);
        releasing.join();
    });
}

/// Two guards that were given without the lock leave beside each other alone: by a swap, or judged by what has failed it.
#[test]
fn two_last_releases_both_fast() {
    explore_on(Size::Two, (5, 1000), eager(), |world| {
        let opens = world.active("a", Form::Fixed(7), 4).acquire_owned();
        world.open();
        let fast = world.active("a", Form::Fixed(7), 3);
        let guard = fast.acquire().unwrap();
        drop(opens);
        let other = fast.clone();
        let releasing = spawn(move || drop(other.acquire().unwrap()));
        drop(guard);
        releasing.join();
    });
}

fn two_groups(first: Form, second: Form) {
    let world = on_baseline(0);
    let one = world.held("a", first, 4);
    let other = world.held("b", second, 3);
    world.open();
    let releasing = spawn(move || drop(one));
    drop(other);
    releasing.join();
    world.finish();
}

#[test]
fn two_last_releases_in_two_groups() {
    explore(Size::Two, || two_groups(Form::Sum, Form::Sum));
}

#[test]
fn two_last_releases_in_two_groups_max() {
    explore(Size::Two, || two_groups(Form::Max, Form::Fixed(9)));
}

/// A group whose guards were told that another's keep the epoch open.
#[test]
fn the_anchor_leaves_while_another_group_goes_on() {
    explore_on(Size::Two, (0, 1000), eager(), |world| {
        let anchor = world.held("a", Form::Sum, 2);
        let other = world.active("b", Form::Sum, 3);
        let goes_on = other.acquire_owned().unwrap();
        world.open();
        let releasing = spawn(move || drop(anchor));
        drop(other.acquire().unwrap());
        drop(goes_on);
        releasing.join();
    });
}

/// Two groups' last guards leave, the second one just when it was to keep the epoch open; the third must end it.
#[test]
fn the_next_anchor_leaves() {
    explore_on(Size::Two, (0, 1000), eager(), |world| {
        // What calls for the most is none of the three, and holds nothing up.
        let weights = world.active("d", Form::Sum, 9).reservation();
        let weights = weights.acquire_owned().unwrap();
        let [one, two, three] = ["a", "b", "c"].map(|group| world.held(group, Form::Sum, 1));
        world.open();
        let releasing = spawn(move || drop(one));
        drop(two);
        releasing.join();
        drop(three);
        world.assert_exact();
        drop(weights);
    });
}

#[test]
fn three_last_releases_in_three_groups() {
    explore_on(Size::Three, (0, 1000), eager(), |world| {
        let one = world.held("a", Form::Sum, 4);
        let two = world.held("b", Form::Sum, 3);
        let three = world.held("c", Form::Max, 2);
        world.open();
        let releasing = [spawn(move || drop(one)), spawn(move || drop(two))];
        drop(three);
        join_all(releasing);
    });
}

/// An epoch begins while a session has found none open, so that no policy was asked.
#[test]
fn an_epoch_that_begins_during_a_session() {
    explore_on(Size::Two, (5, 1000), quiet(), |world| {
        let driving = world.active("a", Form::Fixed(3), 1);
        let reservation = |bytes| world.active("b", Form::Custom(20), bytes).reservation();
        let _nothing = reservation(0).acquire_owned().unwrap();
        drop(driving.acquire().unwrap());
        let _weights = reservation(9).acquire_owned().unwrap();
        let maintaining = world.spawn(|world| world.manager.maintain());
        drop(driving.acquire().unwrap());
        maintaining.join();
    });
}
