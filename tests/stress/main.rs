//! Real threads against one manager, on a backend that knows the rules.
//!
//! The models (`tests/models/`) explore small programs completely, in a world without time, with sequential time
//! slices or simulated orderings. This is the other half: the crate as it is shipped, on the machine's own threads,
//! clock and memory, with everything at once. What it misses in completeness it makes up by numbers.
//!
//! # Scenarios
//!
//! * [`lockstep`]: threads make one move each at the same moment and then all stop. At such a halt everything must be
//!   exact, so that nothing that comes later makes good what a race has lost.
//! * [`traffic`]: threads that nest guards of both types, while everything that can be done to a manager is done.
//! * [`handover`]: many threads and few places.
//! * [`skirmish`]: short bursts of the shortest calls, with next to nothing between them.
//!
//! Threads that run freely hardly ever meet. So the scenarios start moves at once and spin before them; setter, policies,
//! hooks and clock yield and dawdle; in some runs all threads share one processor; and [`interrupts`] stops
//! threads by signals between any two instructions, which alone finds what lies between two neighbouring atomic
//! operations.
//!
//! # What is checked
//!
//! | when | what |
//! | --- | --- |
//! | at each call of the setter | the rules of [`RecordingBackend`](mlx_wired::ffi::RecordingBackend); a lower limit suffices for all who live through the call ([`backend`]) |
//! | as a guard is returned | R1, R25: the sums ([`accounts`]); R3: the limit; R16: nobody was passed ([`turns`]) |
//! | while it is held, and before its release | R4: the limit suffices for all who live meanwhile |
//! | at any time | R24: snapshots count at least those who lived throughout and at most those who lived at all |
//! | when nothing moves ([`checks`]) | R2: the desired limit; R7 to R9: nothing due is undone; R19: every guard is listed; R15: nobody is left in a queue; R24: events add up, counters agree with calls |
//! | at the end | R6: the baseline; R21: only what was leaked lives, and is told as such |
//! | throughout | R17: whoever waits goes on, or a watchdog tells the state ([`crew`]); never more wake-ups than waits |
//!
//! Nothing is asserted of times.
//!
//! # Running it
//!
//! A failure tells the seed of its run. The seed draws the settings, groups and moves; how the threads interleave is the
//! machine's doing, so a seed may have to be tried more than once.
//!
//! ```sh
//! STRESS_SEED=7 cargo test --test stress moves        # one scenario, from this seed on
//! STRESS_SECONDS=600 cargo test --release --test stress   # ten minutes of each scenario
//! STRESS_SIGNALS=0 cargo test --test stress           # without interruptions: for debuggers and sanitizers
//! ```
//!
//! # What it finds
//!
//! Mistakes that were made in the coordinator on purpose, one at a time, and what was found within a minute of each
//! scenario, most of it in a few seconds, on two busy processors (2026-11-21; skirmish came after some of them):
//!
//! | mistake | found by | as |
//! | --- | --- | --- |
//! | covers opened before the raising call returns | lockstep, traffic, handover | R4 within a second |
//! | covers not closed before the words are read | lockstep, traffic, handover | R4 within a second |
//! | a fast acquire loads the cover before it adds | skirmish | R4 |
//! | `WAITERS` set after the judgement | skirmish | R17, R1 |
//! | a release ignores `WAITERS` | lockstep, traffic, handover | R17 |
//! | a release beside what stays never looks at what it left | skirmish | R17 |
//! | of several who are admitted at once, one is woken | lockstep, traffic, handover | R17 |
//! | the last sleeper for a session is not woken | all | R17 |
//! | a wait that gives up does not let the next be examined | lockstep, traffic | R17 |
//! | a wait that gives up overlooks that it was admitted | lockstep, traffic | R17, an overflow |
//! | a shrinking resize does not let the next be examined | lockstep, traffic | R17 |
//! | an enqueuer that was disturbed does not look again | lockstep, traffic, handover | R17 |
//! | the last guard of its size is not noticed | lockstep | R8 |
//! | no second read after publishing | skirmish | R8 |
//! | a demand whose raise failed is withdrawn twice | lockstep, traffic | an overflow |
//! | the budget is not compared again after a policy's answer | traffic, handover | R25 |
//! | two pumps at once count who was passed each for itself | handover | R16 |
//! | `WAITERS` cleared before the admitted demand is counted | none in 90 seconds | the window is two instructions under a lock that the others wait for: left to the models |
//! | a failed raise spares whom another thread admitted meanwhile | none | it makes a call of its own: only economy suffers, which is not checked here |
//! | words read by a load, not by a read-modify-write | none | x86 cannot show it: left to loom |
//! | a session's turn is counted after unlocking | none | who reads the old turn is woken all the same |
//! | closing leaves a lingering epoch | none | the test itself ends what lingers |

mod accounts;
mod backend;
mod checks;
mod clock;
mod crew;
mod custom;
mod events;
mod forms;
mod handover;
mod held;
mod interrupts;
mod lockstep;
mod moves;
mod plan;
mod skirmish;
mod traffic;
mod turns;
mod world;

use plan::Plan;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long each of the tests goes on.
const SECONDS: f64 = 3.0;

/// A setting from the environment.
fn setting<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    let parsed = value.parse().ok();
    Some(parsed.unwrap_or_else(|| panic!("{name} is no number: {value}")))
}

/// One run after another, until the time is over.
fn rounds(run: impl Fn(u64)) {
    let seconds = setting("STRESS_SECONDS").unwrap_or(SECONDS);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let first: u64 = setting("STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut seed = first;
    loop {
        let ended = catch_unwind(AssertUnwindSafe(|| run(seed)));
        if ended.is_err() {
            panic!("run again with STRESS_SEED={seed}");
        }
        seed = seed.wrapping_add(1);
        if Instant::now() >= until {
            return;
        }
    }
}

#[test]
fn moves_in_lockstep() {
    rounds(|seed| lockstep::run(Plan::draw(seed, 4), 300));
}

#[test]
fn traffic_of_every_kind() {
    rounds(|seed| traffic::run(Plan::draw(seed, 6), 60));
}

#[test]
fn many_threads_and_few_places() {
    rounds(|seed| handover::run(Plan::draw(seed, 4), 100));
}

#[test]
fn skirmishes_on_the_fast_path() {
    rounds(|seed| skirmish::run(Plan::draw(seed, 4), 300));
}
