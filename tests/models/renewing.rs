//! Budget, margin and reserve change while guards live and waiters wait, against acquires and releases.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::oracle::Oracle;
use super::world::{World, eager, explore_in, explore_on};
use mlx_wired::{Config, Error};

/// What the device recommends in these models; half of it with a margin of a half.
const RECOMMENDED: u64 = 20;

fn half(config: Config) -> Config {
    config.margin(0.5)
}

fn whole(config: Config) -> Config {
    config.margin(0.0)
}

/// A budget comes, and at once a demand in another group waits because of it. Whoever releases looks at its own group
/// alone, until it learns of the budget.
fn a_budget_comes_against_a_release(form: Form) {
    let world = World::new(eager());
    let stays = world.active("c", Form::Fixed(9), 0).acquire_owned();
    let leaves = world.active("a", form, 5);
    let held = leaves.acquire().unwrap();
    world.open();
    let fast = leaves.acquire().unwrap();
    let coming = world.active("b", Form::Sum, 5);
    let changing = spawn({
        let world = world.clone();
        move || {
            let budget = |config: Config| config.budget(12);
            world.manager.configure(budget).unwrap();
            // 10 of 12 are in use until the fast guard goes.
            drop(coming.acquire().unwrap());
        }
    });
    drop(fast);
    changing.join();
    drop((held, stays));
    world.finish();
}

#[test]
fn a_budget_against_a_release() {
    explore(Size::Two, || a_budget_comes_against_a_release(Form::Sum));
}

#[test]
fn a_budget_against_a_release_max() {
    explore(Size::Two, || a_budget_comes_against_a_release(Form::Max));
}

/// A budget comes and goes while a guard lives: nobody passes it meanwhile, and the fast paths work as before.
#[test]
fn a_budget_comes_and_goes_beside_a_guard() {
    explore_in(Size::Two, eager(), |world| {
        let demand = world.active("a", Form::Capped(9), 4);
        let stays = demand.acquire_owned().unwrap();
        world.open();
        let acquiring = demand.comes_and_goes();
        let budget = |config: Config| config.budget(7);
        world.manager.configure(budget).unwrap();
        // What stays and this are more than the budget, whatever the other does.
        let refused = world.active("b", Form::Sum, 4).try_acquire().err();
        assert!(refused.is_some_and(|error| error.is_would_block()));
        let none = |config: Config| config.budget(None);
        world.manager.configure(none).unwrap();
        acquiring.join();
        drop(stays);
    });
}

/// A budget comes while another thread calls the setter: it holds at once, not when that call is over.
#[test]
fn a_budget_during_a_raise() {
    explore_in(Size::Two, eager(), |world| {
        // The limit covers 8 bytes of the other group.
        let nine = world.active("c", Form::Fixed(9), 0).acquire_owned();
        let demand = world.active("a", Form::Sum, 4);
        let stays = demand.acquire_owned().unwrap();
        world.open();
        let raises = world.active("b", Form::Fixed(12), 1);
        let raising = spawn(move || drop(raises.acquire().unwrap()));
        let budget = |config: Config| config.budget(7);
        world.manager.configure(budget).unwrap();
        assert!(demand.try_acquire().is_err(), "8 of 7");
        let none = |config: Config| config.budget(None);
        world.manager.configure(none).unwrap();
        raising.join();
        // The limit is lowered beside a guard.
        drop(nine);
        drop(stays);
    });
}

/// The one line of all groups becomes a line for each.
#[test]
fn a_budget_goes_while_waiters_wait() {
    explore_in(Size::Three, eager().budget(6), |world| {
        let _stays = world.held("a", Form::Sum, 4);
        let waiting = ["b", "c"].map(|group| {
            let coming = world.active(group, Form::Capped(9), 4);
            spawn(move || drop(coming.acquire().unwrap()))
        });
        let none = |config: Config| config.budget(None);
        world.manager.configure(none).unwrap();
        for waiting in waiting {
            waiting.join();
        }
    });
}

/// A lower budget refuses for ever who waits, unless it was admitted before.
#[test]
fn a_lower_budget_against_a_wait() {
    explore_in(Size::Three, eager().budget(9), |world| {
        let leaves = world.held("a", Form::Sum, 5);
        let coming = world.active("b", Form::Sum, 6);
        let waiting = spawn(move || coming.acquire().map(drop));
        let releasing = spawn(move || drop(leaves));
        let lower = |config: Config| config.budget(5);
        world.manager.configure(lower).unwrap();
        releasing.join();
        let refused = waiting.join().err();
        let never = |error| matches!(error, Error::NeverAdmissible { .. });
        assert!(refused.is_none_or(never));
    });
}

/// The ceiling falls and rises under a guard that calls for more than the lower one.
fn the_ceiling_moves(form: Form) {
    let world = World::on(Oracle::new(0, RECOMMENDED), eager());
    let stays = world.held("a", form, 12);
    world.open();
    let demand = world.active("a", form, 3);
    let acquiring = demand.comes_and_goes();
    // While the other comes and goes, the lower of the two is all that is promised.
    world.oracle.set_ceiling(RECOMMENDED / 2);
    world.manager.configure(half).unwrap();
    world.manager.configure(whole).unwrap();
    acquiring.join();
    let came = demand.acquire().unwrap();
    world.oracle.set_ceiling(RECOMMENDED);
    world.assert_exact();
    drop((came, stays));
    world.finish();
}

#[test]
fn the_ceiling_against_an_acquire() {
    explore(Size::Two, || the_ceiling_moves(Form::Sum));
}

#[test]
fn the_ceiling_against_an_acquire_max() {
    explore(Size::Two, || the_ceiling_moves(Form::Max));
}

/// The ceiling falls while the first limit above it is set, or before, or after.
#[test]
fn a_lower_ceiling_against_a_raise() {
    explore(Size::Two, || {
        // Never lowered for other reasons.
        let reluctant = eager().shrink_threshold_ratio(1.0);
        let world = World::on(Oracle::new(0, RECOMMENDED), reluctant);
        let coming = world.active("a", Form::Sum, 15);
        world.oracle.set_ceiling(RECOMMENDED / 2);
        let acquiring = spawn(move || coming.acquire_owned().unwrap());
        world.manager.configure(half).unwrap();
        let guard = acquiring.join();
        world.assert_exact();
        drop(guard);
        world.finish();
    });
}

/// With the ceiling falls the cap of the device: what was admitted before stays, what comes then waits.
#[test]
fn a_lower_cap_of_the_device_beside_a_guard() {
    explore_on(Size::Two, (0, RECOMMENDED), eager(), |world| {
        let demand = world.active("a", Form::Device, 6);
        let stays = demand.acquire_owned().unwrap();
        world.open();
        // The oracle judges by the lower cap: this one may have been admitted before.
        let acquiring = spawn({
            let ticket = demand.ticket.clone();
            move || drop(ticket.acquire().unwrap())
        });
        world.oracle.set_ceiling(RECOMMENDED / 2);
        world.manager.configure(half).unwrap();
        // With the other's it would be 12 or 18, of 10.
        assert!(demand.try_acquire().is_err());
        drop(stays);
        acquiring.join();
    });
}
