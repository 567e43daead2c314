//! Poking, new settings and subscribers, against acquires and releases.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::custom::Custom;
use super::world::{World, eager, explore_in, explore_on};
use mlx_wired::{Config, WireMode};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a policy depends on changes, and somebody pokes: the wait ends.
#[test]
fn poke_against_enqueue() {
    explore_in(Size::Two, eager(), |world| {
        let policy = Custom::new(&world.oracle, "a", 4);
        policy.script.shut.store(true, Ordering::Relaxed);
        let coming = world.under(&policy, "a", Form::Custom(4), 3);
        let poking = spawn({
            let world = world.clone();
            move || {
                policy.script.shut.store(false, Ordering::Relaxed);
                world.manager.poke().unwrap();
            }
        });
        drop(coming.acquire().unwrap());
        poking.join();
    });
}

/// A policy calls for more from now on, and somebody pokes.
#[test]
fn the_policy_wants_more() {
    explore_in(Size::Two, eager(), |world| {
        let policy = Custom::new(&world.oracle, "a", 9);
        let stays = world.under(&policy, "a", Form::Custom(9), 3);
        let stays = stays.acquire_owned().unwrap();
        let coming = world.under(&policy, "a", Form::Custom(9), 2);
        let acquiring = spawn(move || drop(coming.acquire().unwrap()));
        // A point at which the other may run: all of it before the policy changes its mind.
        world.oracle.limit();
        policy.script.extra.store(5, Ordering::Relaxed);
        world.manager.poke().unwrap();
        acquiring.join();
        assert_eq!(world.oracle.limit(), 8);
        drop(stays);
    });
}

/// The same during the first call of an epoch, which is enough for another that waits for it.
#[test]
fn the_policy_wants_more_during_the_first_call() {
    explore_in(Size::Three, eager(), |world| {
        let policy = Custom::new(&world.oracle, "a", 9);
        let first = world.under(&policy, "a", Form::Custom(9), 3);
        let first = spawn(move || first.acquire_owned().unwrap());
        let covered = world.active("b", Form::Sum, 2);
        let covered = spawn(move || covered.acquire_owned().unwrap());
        world.oracle.limit();
        policy.script.extra.store(5, Ordering::Relaxed);
        world.manager.poke().unwrap();
        let _guards = (first.join(), covered.join());
        assert_eq!(world.oracle.limit(), 8);
    });
}

/// A thread does something to the manager while a guard goes and another comes.
fn against_a_release_and_an_acquire(config: Config, change: impl FnOnce(&World) + Send + 'static) {
    let world = World::new(config);
    let leaves = world.active("a", Form::Capped(9), 4).acquire_owned();
    let coming = world.active("a", Form::Capped(9), 7);
    let changing = spawn({
        let world = world.clone();
        move || change(&world)
    });
    drop(leaves);
    let came = coming.acquire().unwrap();
    changing.join();
    world.assert_exact();
    drop(came);
    world.finish();
}

#[test]
fn poke() {
    explore(Size::Two, || {
        against_a_release_and_an_acquire(eager(), |world| world.manager.poke().unwrap());
    });
}

#[test]
fn hysteresis() {
    explore(Size::Two, || {
        let reluctant = eager().shrink_threshold_ratio(1.0);
        against_a_release_and_an_acquire(reluctant, |world| {
            let eager = |config: Config| config.shrink_threshold_ratio(0.0);
            world.manager.configure(eager).unwrap();
        });
    });
}

#[test]
fn overtaking() {
    explore(Size::Two, || {
        against_a_release_and_an_acquire(eager(), |world| {
            let change = |config: Config| config.overtaking(3);
            world.manager.configure(change).unwrap();
        });
    });
}

#[test]
fn linger_is_switched_off() {
    explore_in(Size::Two, eager().linger(Duration::from_secs(9)), |world| {
        let leaves = world.held("a", Form::Sum, 4);
        let releasing = spawn(move || drop(leaves));
        let at_once = |config: Config| config.linger(Duration::ZERO);
        world.manager.configure(at_once).unwrap();
        releasing.join();
        world.clock.advance(Duration::from_secs(9));
        world.manager.maintain();
    });
}

/// A subscriber comes and goes: what was decided without the lock stays right.
#[test]
fn subscribing() {
    explore(Size::Two, || {
        against_a_release_and_an_acquire(eager(), |world| {
            let events = world.manager.subscribe(4);
            world.manager.poke().unwrap();
            drop(events);
        });
    });
}

/// The last subscriber goes while its record of an acquire is made.
#[test]
fn the_subscriber_leaves() {
    explore_in(Size::Two, eager(), |world| {
        let events = world.manager.subscribe(4);
        let _stays = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let coming = world.active("a", Form::Capped(9), 2);
        let leaving = spawn(move || drop(events));
        drop(coming.acquire().unwrap());
        leaving.join();
    });
}

/// The last subscriber goes, and the fast paths are opened, while one of two guards is released under the lock. The other's
/// release looks at nothing: what is left of its group drives.
#[test]
fn the_subscriber_leaves_before_two_guards_do() {
    explore_in(Size::Three, eager(), |world| {
        let events = world.manager.subscribe(4);
        let demand = world.active("a", Form::Fixed(9), 4);
        let (first, second) = (demand.acquire_owned(), demand.acquire_owned());
        world.open();
        let releasing = [first, second].map(|guard| spawn(move || drop(guard.unwrap())));
        drop(events);
        world.open();
        join_all(releasing);
    });
}

/// A budget over all groups is refused while a guard lives, and holds from when it is not.
fn a_budget_comes(form: Form, fits: bool) {
    let world = World::new(eager());
    let demand = world.active("a", form, 4);
    drop(demand.acquire().unwrap());
    let acquiring = demand.comes_and_goes();
    let budget = if fits { 8 } else { 6 };
    let configured = world.manager.configure(|config| config.budget(budget));
    if configured.is_ok() {
        world.oracle.set_budget(Some(budget));
    }
    drop(demand.acquire().unwrap());
    acquiring.join();
    world.finish();
}

#[test]
fn a_budget_against_an_acquire() {
    explore(Size::Two, || a_budget_comes(Form::Sum, false));
}

#[test]
fn a_budget_against_an_acquire_fixed() {
    explore(Size::Two, || a_budget_comes(Form::Fixed(7), false));
}

#[test]
fn a_budget_against_an_acquire_max() {
    explore(Size::Two, || a_budget_comes(Form::Max, true));
}

/// A smaller ceiling makes a smaller cap.
#[test]
fn a_reserve_against_an_acquire() {
    explore_on(Size::Two, (0, 8), eager(), |world| {
        let demand = world.active("a", Form::Device, 4);
        drop(demand.acquire().unwrap());
        let acquiring = demand.comes_and_goes();
        // The device has twice the ceiling.
        if world.manager.configure(|config| config.reserve(10)).is_ok() {
            world.oracle.set_ceiling(6);
        }
        drop(demand.acquire().unwrap());
        acquiring.join();
    });
}

/// Once wiring is off, the setter is left alone.
fn wiring_is_switched(mode: WireMode) {
    let world = World::new(eager());
    let demand = world.active("a", Form::Sum, 4);
    drop(demand.ticket.acquire().unwrap());
    let acquiring = spawn({
        let ticket = demand.ticket.clone();
        move || drop(ticket.acquire().unwrap())
    });
    if world.manager.configure(|config| config.mode(mode)).is_ok() {
        world.oracle.forbid_calls();
    }
    drop(demand.ticket.acquire().unwrap());
    acquiring.join();
    world.finish();
}

#[test]
fn never_against_an_acquire() {
    explore(Size::Two, || wiring_is_switched(WireMode::Never));
}

#[test]
fn off_against_an_acquire() {
    explore(Size::Two, || wiring_is_switched(WireMode::Uncoordinated));
}

/// Wiring comes back while somebody acquires.
#[test]
fn auto_against_an_acquire() {
    explore_in(Size::Two, eager().mode(WireMode::Never), |world| {
        let ticket = world.active("a", Form::Sum, 4).ticket;
        drop(ticket.acquire().unwrap());
        let acquiring = spawn({
            let ticket = ticket.clone();
            move || drop(ticket.acquire().unwrap())
        });
        let on = |config: Config| config.mode(WireMode::Auto);
        let switched = world.manager.configure(on).is_ok();
        let demand = world.active("a", Form::Sum, 4);
        if switched {
            drop(demand.acquire().unwrap());
        }
        acquiring.join();
    });
}
