//! Who waits, who is next, and that nobody is forgotten.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in};

fn enqueue_against_release(form: Form) {
    let world = World::new(eager());
    let leaves = world.held("a", form, 4);
    let coming = world.active("a", form, 3);
    let releasing = spawn(move || drop(leaves));
    drop(coming.acquire().unwrap());
    releasing.join();
    world.finish();
}

#[test]
fn enqueue_against_release_capped() {
    explore(Size::Two, || enqueue_against_release(Form::Capped(4)));
}

#[test]
fn enqueue_against_release_custom() {
    explore(Size::Two, || enqueue_against_release(Form::Custom(4)));
}

/// The release makes no change of the limit due, so only the flag brings it to the lock.
#[test]
fn enqueue_against_a_release_that_changes_nothing() {
    explore_in(Size::Two, eager(), |world| {
        let _high = world.held("b", Form::Fixed(9), 1);
        let _stays = world.held("a", Form::Capped(4), 1);
        let leaves = world.active("a", Form::Capped(4), 2);
        let leaves_soon = leaves.acquire_owned().unwrap();
        world.open();
        let coming = world.active("a", Form::Capped(4), 3);
        let releasing = spawn(move || drop(leaves_soon));
        drop(coming.acquire().unwrap());
        releasing.join();
    });
}

/// One is judged under the lock while another compares and swaps: together they are over the cap.
#[test]
fn the_lock_against_a_swap() {
    explore_in(Size::Two, eager(), |world| {
        let _high = world.held("b", Form::Fixed(9), 1);
        let _warm = world.held("a", Form::Capped(4), 1);
        world.open();
        let fast = world.active("a", Form::Capped(4), 2);
        let locked = world.active("a", Form::Capped(4), 2).reservation();
        let acquiring = spawn(move || drop(fast.acquire().unwrap()));
        drop(locked.acquire().unwrap());
        acquiring.join();
    });
}

/// What the head is promised is not there for a fast acquire.
#[test]
fn a_hand_over_against_a_fast_acquire() {
    explore_in(Size::Three, eager(), |world| {
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let leaves = world.active("a", Form::Capped(4), 4).acquire_owned();
        world.open();
        let whole = world.active("a", Form::Capped(4), 4);
        let small = world.active("a", Form::Capped(4), 1);
        let waiting = spawn(move || drop(whole.acquire().unwrap()));
        let acquiring = spawn(move || drop(small.acquire().unwrap()));
        drop(leaves);
        join_all([waiting, acquiring]);
    });
}

/// Whoever is admitted while an earlier one waits has barged.
fn three_come(form: Form) {
    let world = World::new(eager());
    let leaves = world.held("a", form, 4);
    let sizes = [4, 1];
    let coming = sizes.map(|bytes| {
        let demand = world.active("a", form, bytes);
        spawn(move || drop(demand.acquire_in_turn(0).unwrap()))
    });
    let last = world.active("a", form, 2);
    drop(leaves);
    drop(last.acquire_in_turn(0).unwrap());
    join_all(coming);
    world.finish();
}

#[test]
fn first_in_first_out() {
    explore(Size::Three, || three_come(Form::Capped(4)));
}

#[test]
fn first_in_first_out_custom() {
    explore(Size::Three, || three_come(Form::Custom(4)));
}

#[test]
fn a_hand_over_among_many() {
    explore_in(Size::Many, eager(), |world| {
        let coming = [4, 1, 3, 2].map(|bytes| {
            let demands = [(); 2].map(|()| world.active("a", Form::Capped(4), bytes));
            spawn(move || {
                for demand in demands {
                    drop(demand.acquire_in_turn(0).unwrap());
                }
            })
        });
        join_all(coming);
    });
}

/// Small demands pass a large one once, and no more.
#[test]
fn overtaking_is_bounded() {
    explore_in(Size::Many, eager().overtaking(1), |world| {
        let leaves = world.active("a", Form::Capped(4), 3).acquire_owned();
        let large = world.active("a", Form::Capped(4), 4);
        let first = spawn(move || drop(large.acquire().unwrap()));
        let small = [1, 1, 1].map(|bytes| {
            let demand = world.active("a", Form::Capped(4), bytes);
            spawn(move || drop(demand.acquire_in_turn(1).unwrap()))
        });
        drop(leaves);
        first.join();
        join_all(small);
    });
}

/// Whoever may pass does so at once: no release comes that would let it.
#[test]
fn overtaking_needs_no_release() {
    explore_in(Size::Two, eager().overtaking(1), |world| {
        let leaves = world.active("a", Form::Capped(4), 3).acquire_owned();
        let large = world.active("a", Form::Capped(4), 4);
        let small = world.active("a", Form::Capped(4), 1);
        let first = spawn(move || drop(large.acquire().unwrap()));
        drop(small.acquire().unwrap());
        drop(leaves);
        first.join();
    });
}

/// One that was let pass, against the release that serves the head.
#[test]
fn overtaking_against_release() {
    explore_in(Size::Three, eager().overtaking(1), |world| {
        let leaves = world.active("a", Form::Capped(4), 3).acquire_owned();
        let large = world.active("a", Form::Capped(4), 4);
        let small = world.active("a", Form::Capped(4), 1);
        let first = spawn(move || drop(large.acquire().unwrap()));
        let second = spawn(move || drop(small.acquire_in_turn(1).unwrap()));
        drop(leaves);
        first.join();
        second.join();
    });
}
