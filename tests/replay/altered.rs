//! A replay that cannot fail shows nothing: single numbers of the recordings are altered at random, and each must
//! make the replay fail at its own step.
//!
//! Any number may be drawn that a recording says came of a step, those of the intended differences included.

use crate::compare::{compare, replay};
use crate::differences::Counts;
use crate::trace::{Step, Trace};
use crate::{folder, player, trace};
use fastrand::Rng;

/// How many alterations are compared with what each trace did, played once.
const ALTERATIONS_OF_A_TRACE: usize = 250;

/// Where the alterations begin, so that a failure comes again.
const SEED: u64 = 6;

fn rng() -> Rng {
    let seed = std::env::var("MLX_WIRED_SEED").map_or(SEED, |seed| {
        seed.parse().expect("MLX_WIRED_SEED is a number")
    });
    println!("seed {seed}");
    Rng::with_seed(seed)
}

/// Every number that the recording says came of the step: the applied and the returned limits, the setter's calls, the
/// events.
fn numbers(step: &mut Step) -> Vec<&mut u64> {
    let mut all = vec![&mut step.applied];
    all.extend(&mut step.returned);
    all.extend(&mut step.admitted_returned);
    for call in &mut step.setter {
        all.extend([&mut call.limit, &mut call.previous]);
    }
    for event in &mut step.events {
        all.extend(&mut event.ticket);
        all.extend(&mut event.size);
        all.extend(&mut event.baseline);
        all.extend(&mut event.desired);
        all.extend(&mut event.applied);
        all.extend([&mut event.live, &mut event.waiters]);
    }
    all
}

/// Another value: near, far, or one that stands elsewhere in the step.
fn other(value: u64, present: &[u64], rng: &mut Rng) -> u64 {
    loop {
        let other = match rng.u8(0..5) {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            2 => 0,
            3 => *rng.choice(present).expect("a step has numbers"),
            _ => rng.u64(0..1 << 53),
        };
        if other != value {
            return other;
        }
    }
}

/// Alters one number of `trace` and says which.
fn alter(trace: &mut Trace, rng: &mut Rng) -> (usize, String) {
    let index = rng.usize(0..trace.steps.len());
    let step = &mut trace.steps[index];
    let present: Vec<u64> = numbers(step).iter().map(|number| **number).collect();
    let place = rng.usize(0..present.len());
    let (before, after) = (present[place], other(present[place], &present, rng));
    *numbers(step)[place] = after;
    let what = format!(
        "{} step {index}, number {place}: {after} for {before}",
        trace.header.trace
    );
    (index, what)
}

#[test]
fn an_altered_number_is_found_at_its_step() {
    let mut rng = rng();
    for mut trace in trace::load(&folder()) {
        let played = player::play(&trace);
        for _ in 0..ALTERATIONS_OF_A_TRACE {
            let original = trace.clone();
            let (step, what) = alter(&mut trace, &mut rng);
            let found = compare(&trace, &played, &mut Counts::default());
            let found = found.expect_err(&what).step;
            assert_eq!(found, step, "{what}");
            trace = original;
        }
    }
}

#[test]
fn a_replay_of_an_altered_trace_fails_at_its_step() {
    let mut rng = rng();
    for mut trace in trace::load(&folder()) {
        let (step, what) = alter(&mut trace, &mut rng);
        let found = replay(&trace, &mut Counts::default());
        let found = found.expect_err(&what).step;
        assert_eq!(found, step, "{what}");
    }
}
