//! R32: no more active guards at once than their policy allows, whatever comes and goes beside them.

use super::check::{Size, explore, join_all, spawn};
use super::claim::Form;
use super::world::{Demand, World, eager, explore_in};
use mlx_wired::{AtMost, PolicyId, SumPolicy, Wait};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn policy() -> SumPolicy {
    SumPolicy::uncapped().with_id(PolicyId::named("a"))
}

/// A demand that is let in beside none.
fn lone(world: &Arc<World>) -> Demand {
    let alone: AtMost<SumPolicy> = policy().at_most(1);
    world.under(&alone, "a", Form::Sum, 1)
}

/// How many are active. The checkers do not see it: it orders nothing for them, and lets none run.
type Active = Arc<AtomicU64>;

fn take_turn(demand: &Demand, active: &Active) {
    let guard = demand.acquire().unwrap();
    assert_eq!(active.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
    // Others may run here.
    let _in_use = demand.ticket.in_use();
    active.fetch_sub(1, Ordering::Relaxed);
    drop(guard);
}

/// So many threads take turns while a resident of their group leaves or comes.
fn turns_beside_a_resident(threads: usize, leaves: bool) {
    let world = World::new(eager());
    let high = world.active("b", Form::Fixed(9), 1).acquire_owned();
    let resident = world.active("a", Form::Sum, 1).staying_resident();
    let held = leaves.then(|| resident.acquire_owned().unwrap());
    let warm = lone(&world).acquire_owned();
    world.open();
    drop(warm);
    let active = Active::default();
    let turns = (1..threads).map(|_| {
        let (demand, active) = (lone(&world), active.clone());
        spawn(move || take_turn(&demand, &active))
    });
    let turns: Vec<_> = turns.collect();
    let other = spawn(move || match held {
        Some(held) => drop(held),
        None => drop(resident.acquire().unwrap()),
    });
    take_turn(&lone(&world), &active);
    join_all(turns);
    other.join();
    drop(high);
    world.finish();
}

#[test]
fn two_take_turns_while_a_resident_leaves() {
    explore(Size::Three, || turns_beside_a_resident(2, true));
}

#[test]
fn two_take_turns_while_a_resident_comes() {
    explore(Size::Three, || turns_beside_a_resident(2, false));
}

/// A resident leaves, a guard takes its place in the word, and another resident comes: another that looked before all of
/// that does not take the second for the first.
#[test]
fn one_of_two_is_let_in_while_residents_come_and_go() {
    explore_in(Size::Three, eager(), |world| {
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let resident = world.active("a", Form::Sum, 1).staying_resident();
        let leaves = resident.acquire_owned().unwrap();
        let warm = lone(world).acquire_owned();
        world.open();
        drop(warm);
        let demand = lone(world);
        let other = spawn(move || {
            drop(leaves);
            let guard = demand.acquire_owned_with(Wait::none());
            (guard, resident.acquire_owned())
        });
        let demand = lone(world);
        let guard = demand.acquire_owned_with(Wait::none());
        let (others, comes) = other.join();
        assert!(guard.is_err() || others.is_err(), "one at a time");
        drop((guard, others, comes));
    });
}

#[test]
fn three_take_turns() {
    explore_in(Size::Three, eager(), |world| {
        let active = Active::default();
        let turns = [(); 2].map(|()| {
            let (demand, active) = (lone(world), active.clone());
            spawn(move || take_turn(&demand, &active))
        });
        take_turn(&lone(world), &active);
        join_all(turns);
    });
}

/// A demand that goes by no number, and adds before it looks, comes behind one that waits for a place.
#[test]
fn one_without_a_number_passes_none_that_waits() {
    explore_in(Size::Three, eager(), |world| {
        let _high = world.active("b", Form::Fixed(9), 1).acquire_owned();
        let any = world.active("a", Form::Sum, 1);
        let held = any.acquire_owned().unwrap();
        world.open();
        let waits = lone(world);
        let waiting = spawn(move || drop(waits.acquire_in_turn(0).unwrap()));
        let passing = spawn(move || drop(any.acquire_in_turn(0).unwrap()));
        drop(held);
        join_all([waiting, passing]);
    });
}
