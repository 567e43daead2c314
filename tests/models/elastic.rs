//! R33a: caps that give way under pressure, while guards come and go. No patience ends here, so what is forgotten hangs.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::{World, eager, explore_in};
use mlx_wired::{Config, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CAPPED: Form = Form::Capped(4);

/// By half, as soon as there is any pressure.
fn elastic() -> Config {
    let config = eager().elastic([1.0, 0.5, 0.5, 0.5]);
    config.pressure_patience(Duration::MAX)
}

/// Acquires on the fast path find, after the level has risen, what it says.
#[test]
fn the_level_rises_against_an_acquire() {
    explore_in(Size::Three, elastic(), |world| {
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let _held = world.active("a", CAPPED, 2).acquire_owned();
        world.open();
        let one = world.active("a", CAPPED, 1);
        drop(one.acquire());
        // The checkers do not see it: it orders nothing for them, and lets none run.
        let risen = Arc::new(AtomicBool::new(false));
        let (other, seen) = (world.active("a", CAPPED, 1), risen.clone());
        let acquiring = spawn(move || {
            let too_late = seen.load(Ordering::Relaxed);
            let admitted = other.try_acquire().is_ok();
            assert!(!(admitted && too_late), "by half nothing is left");
        });
        world.manager.set_pressure(1.0).unwrap();
        risen.store(true, Ordering::Relaxed);
        assert!(one.try_acquire().is_err(), "by half nothing is left");
        acquiring.join();
    });
}

/// A step that the pressure delays, while the level falls.
#[test]
fn the_level_falls_against_a_wait() {
    explore_in(Size::Two, elastic(), |world| {
        let _held = world.active("a", CAPPED, 2).acquire_owned();
        world.manager.set_pressure(1.0).unwrap();
        let step = world.active("a", CAPPED, 1);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        world.manager.set_pressure(0.0).unwrap();
        waits.join();
    });
}

/// A step that the pressure delays, while the last work leaves.
#[test]
fn the_last_work_leaves_against_a_wait() {
    explore_in(Size::Two, elastic(), |world| {
        world.manager.set_pressure(1.0).unwrap();
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let work = world.active("a", CAPPED, 2);
        drop(work.acquire());
        world.open();
        let work = work.acquire().unwrap();
        let step = world.active("a", CAPPED, 1);
        let waits = spawn(move || drop(step.acquire().unwrap()));
        drop(work);
        waits.join();
    });
}

/// A hold that the pressure sets aside waits for work, which leaves on the fast path otherwise.
#[test]
fn the_last_work_leaves_against_a_hold() {
    explore(Size::Two, || work_leaves_against_a_hold(false));
}

/// The same where each release tells of itself.
#[test]
fn the_last_work_leaves_against_a_hold_while_somebody_watches() {
    explore(Size::Two, || work_leaves_against_a_hold(true));
}

fn work_leaves_against_a_hold(watched: bool) {
    let world = World::new(elastic());
    world.manager.set_pressure(1.0).unwrap();
    let high = world.active("b", Form::Fixed(9), 1).acquire_owned();
    let work = world.active("a", CAPPED, 1);
    drop(work.acquire());
    let events = watched.then(|| world.manager.subscribe(64));
    world.open();
    let held = work.acquire().unwrap();
    let model = world.active("a", CAPPED, 3).staying_resident();
    let loads = spawn(move || drop(model.acquire().unwrap()));
    drop(held);
    loads.join();
    drop((high, events));
    world.finish();
}

/// A hold that waits for a hold is delayed by the pressure when that goes, while the last work leaves.
#[test]
fn work_and_a_hold_leave_against_a_hold() {
    explore_in(Size::Three, elastic(), |world| {
        world.manager.set_pressure(1.0).unwrap();
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let weights = world.active("a", CAPPED, 2).staying_reservation();
        let weights = weights.acquire_owned().unwrap();
        let work = world.held("a", CAPPED, 1);
        world.open();
        let model = world.active("a", CAPPED, 3).staying_reservation();
        let loads = spawn(move || drop(model.acquire().unwrap()));
        let leaves = spawn(move || drop(work));
        drop(weights);
        join_all([loads, leaves]);
    });
}

/// Two holds that the pressure sets aside: the one that gives up leaves its turn to the other.
#[test]
fn the_first_hold_gives_up() {
    explore_in(Size::Two, elastic(), |world| {
        world.manager.set_pressure(1.0).unwrap();
        let _work = world.active("a", CAPPED, 1).acquire_owned();
        let token = mlx_wired::CancelToken::new();
        let (first, cancel) = (world.active("a", CAPPED, 3), token.clone());
        let first = first.staying_reservation();
        let gives_up = spawn(move || {
            let wait = Wait::new().cancel(&cancel);
            drop(first.acquire_with(wait));
        });
        let second = world.active("a", CAPPED, 1).staying_reservation();
        let waits = spawn(move || drop(second.acquire().unwrap()));
        token.cancel();
        join_all([gives_up, waits]);
    });
}
