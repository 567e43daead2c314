//! Threads that do whatever comes: shuttle chooses what they do as well as when.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::oracle::Oracle;
use super::world::{Demand, World, eager};
use mlx_wired::{CancelToken, Config, Error, Wait};
use shuttle::rand::{Rng, thread_rng};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Config {
    let mut random = thread_rng();
    let mut config = eager();
    if random.gen_bool(0.5) {
        config = config.shrink_threshold_ratio(0.4);
    }
    if random.gen_bool(0.2) {
        config = config.shrink_cooldown(SECOND);
    }
    if random.gen_bool(0.2) {
        config = config.linger(SECOND);
    }
    if random.gen_bool(0.2) {
        config = config.overtaking(1);
    }
    config
}

fn demand(world: &Arc<World>) -> Demand {
    let mut random = thread_rng();
    let (group, form) = [
        ("a", Form::Sum),
        ("b", Form::Capped(8)),
        ("b", Form::Capped(8)),
        ("c", Form::Max),
        ("d", Form::Fixed(9)),
        ("e", Form::Custom(8)),
    ][random.gen_range(0..6)];
    let demand = world.active(group, form, random.gen_range(0..6));
    if random.gen_bool(0.2) {
        demand.reservation()
    } else {
        demand
    }
}

fn expect(error: &Error) {
    let expected = matches!(
        error,
        Error::Cancelled { .. }
            | Error::WouldBlock { .. }
            | Error::WouldDeadlock { .. }
            | Error::SetLimit { .. }
    );
    assert!(expected, "{error}");
}

/// Acquires in one way or another, now and then a second one while it holds the first.
fn acquire(world: &Arc<World>, token: &CancelToken, depth: usize) {
    let mut random = thread_rng();
    let demand = demand(world);
    let guard = match random.gen_range(0..4) {
        0 => demand.try_acquire(),
        1 => demand.acquire_with(Wait::new().cancel(token)),
        _ => demand.acquire(),
    };
    let mut guard = match guard {
        Ok(guard) => guard,
        Err(error) => return expect(&error),
    };
    match random.gen_range(0..5) {
        0 if depth > 0 => acquire(world, token, depth - 1),
        1 => {
            if let Err(error) = guard.resize(random.gen_range(0..6)) {
                expect(&error);
            }
        }
        2 => world.clock.advance(SECOND / 2),
        3 => world.manager.maintain(),
        _ => {}
    }
}

/// A manager that knows its baseline already: until the first set it counts with 0, and so would the oracle have to.
fn above(baseline: u64, ceiling: u64) -> Arc<World> {
    let world = World::on(Oracle::new(baseline, ceiling), settings());
    drop(world.active("a", Form::Fixed(9), 1).acquire().unwrap());
    world
}

/// The manager is left alone until nothing is owed any more.
fn finish(world: &World) {
    world.oracle.heal();
    for _ in 0..3 {
        world.clock.advance(SECOND * 100);
        world.manager.maintain();
    }
    world.finish();
}

fn serve(world: &Arc<World>, threads: usize) {
    let token = CancelToken::new();
    let running: Vec<_> = (0..threads)
        .map(|_| {
            let (world, token) = (world.clone(), token.clone());
            spawn(move || (0..3).for_each(|_| acquire(&world, &token, 1)))
        })
        .collect();
    token.cancel();
    join_all(running);
}

fn soup(world: &Arc<World>, threads: usize) {
    serve(world, threads);
    finish(world);
}

#[test]
fn of_two() {
    explore(Size::Many, || soup(&World::new(settings()), 2));
}

#[test]
fn of_four() {
    explore(Size::Many, || soup(&World::new(settings()), 4));
}

#[test]
fn above_a_baseline() {
    explore(Size::Many, || {
        soup(&above(3, 12), 3);
    });
}

#[test]
fn within_a_budget() {
    explore(Size::Many, || {
        let world = World::new(settings().budget(8));
        world.oracle.set_budget(Some(8));
        soup(&world, 3);
    });
}

#[test]
fn with_failures() {
    explore(Size::Many, || {
        let world = above(3, 1000);
        let mut random = thread_rng();
        world
            .oracle
            .fail([random.gen_range(2..12), random.gen_range(2..12)]);
        soup(&world, 3);
    });
}

/// Somebody pokes, subscribes and changes the settings all the while.
#[test]
fn while_somebody_configures() {
    explore(Size::Many, || {
        let world = World::new(settings());
        let configuring = spawn({
            let world = world.clone();
            move || {
                let mut random = thread_rng();
                for _ in 0..3 {
                    match random.gen_range(0..4) {
                        0 => world.manager.poke().unwrap(),
                        1 => drop(world.manager.subscribe(2)),
                        2 => {
                            let ratio = |config: Config| config.shrink_threshold_ratio(0.2);
                            world.manager.configure(ratio).unwrap();
                        }
                        _ => {
                            let change = |config: Config| config.budget(8);
                            if world.manager.configure(change).is_ok() {
                                world.oracle.set_budget(Some(8));
                            }
                        }
                    }
                }
            }
        });
        serve(&world, 2);
        configuring.join();
        finish(&world);
    });
}
