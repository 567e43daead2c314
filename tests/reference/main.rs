//! A sequential reference model of the contract's rules, and random scripts that the library and the model play
//! side by side: after each step the results, the calls of the setter, what is applied, who holds, who waits, the
//! snapshot and the statistics must be the same, and the events must add up to them.
//!
//! `PROPTEST_CASES` sets how many scripts are played, `PROPTEST_RNG_SEED` which: the same ones unless it is given.

mod actors;
mod circle;
mod clock;
mod compare;
mod events;
mod library;
mod limit;
mod line;
mod model;
mod play;
mod policies;
mod script;
mod snapshot;
mod words;

use play::Play;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use script::{Script, script};
use std::cell::Cell;

/// Plays scripts of at most `length` operations until one goes wrong, which is then made as short as it can be.
fn check(
    name: &str,
    (length, faults): (usize, bool),
    cases: u32,
    plays: impl Fn(&Script) -> Result<(), String>,
) {
    let given = Config::default();
    let seed = match given.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => 1,
    };
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => given.cases,
        None => cases,
    };
    let mut runner = TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        // The seed says it all.
        failure_persistence: None,
        max_shrink_iters: 10_000,
        max_shrink_time: 120_000,
        ..given
    });
    let (played, first_wrong) = (Cell::new(0), Cell::new(None));
    let result = runner.run(&script(length, faults), |script| {
        played.set(played.get() + 1);
        plays(&script).map_err(|what| {
            first_wrong.set(first_wrong.get().or(Some(played.get())));
            TestCaseError::fail(what)
        })
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, script)) => panic!(
            "{reason}\n\nScript number {}, made as short as it can be:\n{script}\n\
             PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test --test reference {name}\n",
            first_wrong.get().unwrap_or_default()
        ),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_library_does_what_the_model_does() {
    let name = "the_library_does_what_the_model_does";
    check(name, (80, false), 600, |script| {
        Play::new(script, &[]).play().map(drop)
    });
}

#[test]
fn whenever_the_setter_fails() {
    check("whenever_the_setter_fails", (80, true), 600, |script| {
        Play::new(script, &[]).play().map(drop)
    });
}

/// R11. Each call fails, alone and with every choice of the two that follow.
#[test]
fn whichever_calls_of_the_setter_fail() {
    const WINDOWS: [&[usize]; 4] = [&[0], &[0, 1], &[0, 2], &[0, 1, 2]];
    let name = "whichever_calls_of_the_setter_fail";
    check(name, (30, false), 60, |script| {
        let played = Play::new(script, &[]).expecting_failures().play()?;
        for first in 1..=played.setter.calls.len() {
            for window in WINDOWS {
                let failing: Vec<usize> = window.iter().map(|offset| first + offset).collect();
                Play::new(script, &failing)
                    .play()
                    .map_err(|what| format!("where the setter's calls {failing:?} fail: {what}"))?;
            }
        }
        Ok(())
    });
}
