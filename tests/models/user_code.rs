//! Policies that panic or release guards while they are asked: the others go on.

use super::check::{Size, join_all, spawn};
use super::claim::Form;
use super::custom::{Custom, Script};
use super::world::{Held, eager, explore_in};
use mlx_wired::{Error, OwnedGuard};
use std::sync::atomic::Ordering;

const FORM: Form = Form::Custom(4);

/// One of the questions that the policy is asked about admission ends in a panic.
#[test]
fn a_panic_in_can_admit() {
    for call in 1..5 {
        explore_in(Size::Two, eager(), move |world| {
            let policy = Custom::new(&world.oracle, "a", 4);
            let leaves = world.under(&policy, "a", FORM, 4).acquire_owned().unwrap();
            policy.script.panics_in_admit.store(call, Ordering::Relaxed);
            let coming = world.under(&policy, "a", FORM, 3);
            let releasing = spawn(move || drop(leaves));
            match coming.acquire() {
                Ok(guard) => drop(guard),
                Err(error) => assert!(matches!(error, Error::PolicyPanicked { .. }), "{error}"),
            }
            releasing.join();
        });
    }
}

/// The first in line gets the panic; the next is examined.
#[test]
fn a_panic_about_the_head() {
    for call in 1..5 {
        explore_in(Size::Three, eager(), move |world| {
            let policy = Custom::new(&world.oracle, "a", 4);
            let leaves = world.under(&policy, "a", FORM, 4).acquire_owned().unwrap();
            policy.script.panics_in_admit.store(call, Ordering::Relaxed);
            let coming = [3, 2].map(|bytes| {
                let demand = world.under(&policy, "a", FORM, bytes);
                spawn(move || drop(demand.acquire()))
            });
            drop(leaves);
            join_all(coming);
        });
    }
}

/// The group counts as baseline + sum then.
#[test]
fn a_panic_in_limit() {
    for call in 1..5 {
        explore_in(Size::Two, eager(), move |world| {
            let policy = Custom::new(&world.oracle, "a", 9);
            policy.script.panics_in_limit.store(call, Ordering::Relaxed);
            let form = Form::Custom(9);
            let leaves = world.under(&policy, "a", form, 4).acquire_owned().unwrap();
            let coming = world.under(&policy, "a", form, 3);
            let releasing = spawn(move || drop(leaves));
            let _came = coming.acquire().unwrap();
            releasing.join();
            world.assert_exact();
        });
    }
}

/// A policy that releases a guard while it is asked: whoever asked examines the queue.
fn a_release_inside(release: fn(&Script, Held<OwnedGuard>)) {
    explore_in(Size::Two, eager(), move |world| {
        let policy = Custom::new(&world.oracle, "a", 9);
        let waited_for = world.active("b", Form::Capped(4), 4);
        release(&policy.script, waited_for.acquire_owned().unwrap());
        let asks = world.under(&policy, "a", Form::Custom(9), 3);
        let waiting = spawn(move || drop(waited_for.acquire().unwrap()));
        drop(asks.acquire().unwrap());
        waiting.join();
    });
}

#[test]
fn a_release_inside_can_admit() {
    a_release_inside(Script::release_in_admit);
}

#[test]
fn a_release_inside_limit() {
    a_release_inside(Script::release_in_limit);
}
