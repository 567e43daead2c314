//! Waits that end without a guard: nothing is left behind, and nobody behind them is forgotten.

use super::check::{Size, explore, spawn};
use super::claim::Form;
use super::world::{Demand, World, eager, explore_in};
use mlx_wired::{CancelToken, Error, Wait};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Whatever became of a wait, the whole capacity is there again.
fn assert_nothing_left(world: &World, whole: &Demand) {
    drop(whole.try_acquire().unwrap());
    world.finish();
}

fn grant_against_cancel(form: Form, cancel_first: bool) {
    let world = World::new(eager());
    let whole = world.active("a", form, 4);
    let leaves = whole.acquire_owned().unwrap();
    let token = CancelToken::new();
    let wait = Wait::new().cancel(&token);
    let other = spawn(move || {
        if cancel_first {
            token.cancel();
            drop(leaves);
        } else {
            drop(leaves);
            token.cancel();
        }
    });
    match whole.acquire_with(wait) {
        Ok(guard) => drop(guard),
        Err(error) => assert!(matches!(error, Error::Cancelled { .. }), "{error}"),
    }
    other.join();
    assert_nothing_left(&world, &whole);
}

#[test]
fn a_grant_then_a_cancellation() {
    explore(Size::Two, || grant_against_cancel(Form::Capped(4), false));
}

#[test]
fn a_cancellation_then_a_grant() {
    explore(Size::Two, || grant_against_cancel(Form::Capped(4), true));
}

#[test]
fn a_cancellation_and_a_grant_custom() {
    explore(Size::Two, || grant_against_cancel(Form::Custom(4), false));
}

#[test]
fn a_cancellation_against_a_grant() {
    explore(Size::Three, || {
        let world = World::new(eager());
        let whole = world.active("a", Form::Capped(4), 4);
        let leaves = whole.acquire_owned().unwrap();
        let token = CancelToken::new();
        let wait = Wait::new().cancel(&token);
        let cancelling = spawn(move || token.cancel());
        let releasing = spawn(move || drop(leaves));
        drop(whole.acquire_with(wait));
        cancelling.join();
        releasing.join();
        assert_nothing_left(&world, &whole);
    });
}

/// The models' clock moves when it is told to.
#[test]
fn a_timeout_against_a_grant() {
    explore(Size::Two, || {
        let world = World::new(eager());
        let whole = world.active("a", Form::Capped(4), 4);
        let leaves = whole.acquire_owned().unwrap();
        let clock = world.clock.clone();
        let other = spawn(move || {
            clock.advance(SECOND);
            drop(leaves);
        });
        match whole.acquire_with(Wait::new().timeout(SECOND)) {
            Ok(guard) => drop(guard),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
        other.join();
        assert_nothing_left(&world, &whole);
    });
}

/// The first in line gives up; the one behind it fits.
#[test]
fn the_next_is_examined() {
    explore_in(Size::Three, eager(), |world| {
        let _stays = world.active("a", Form::Capped(4), 3).acquire_owned();
        let large = world.active("a", Form::Capped(4), 4);
        let small = world.active("a", Form::Capped(4), 1);
        let token = CancelToken::new();
        let wait = Wait::new().cancel(&token);
        let first = spawn(move || assert!(large.acquire_with(wait).is_err()));
        let second = spawn(move || drop(small.acquire().unwrap()));
        token.cancel();
        first.join();
        second.join();
    });
}

/// The same in two threads: a cancellation races with the release that lets the second in.
#[test]
fn a_cancelled_head_and_a_release() {
    explore_in(Size::Three, eager(), |world| {
        let leaves = world.active("a", Form::Capped(4), 2).acquire_owned();
        let _stays = world.active("a", Form::Capped(4), 2).acquire_owned();
        let large = world.active("a", Form::Capped(4), 4);
        let middle = world.active("a", Form::Capped(4), 2);
        let token = CancelToken::new();
        let wait = Wait::new().cancel(&token);
        let first = spawn(move || assert!(large.acquire_with(wait).is_err()));
        let second = spawn(move || {
            token.cancel();
            drop(leaves);
        });
        drop(middle.acquire().unwrap());
        first.join();
        second.join();
    });
}
