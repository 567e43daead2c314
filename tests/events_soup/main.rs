//! Events and recordings of real threads that do whatever comes.
//!
//! A run draws settings from its seed ([`plan`]) and lets threads loose on one manager ([`traffic`]), with subscribers that are
//! too slow and recorders that begin and end amid all that. Then everything that was told must add up, which needs no knowledge
//! of what the threads did: the events are their own witness.
//!
//! # What is checked
//!
//! | of | check |
//! | --- | --- |
//! | every stream of events, from a moment to another ([`stream`], [`waits`]) | numbers without gaps; times that do not go back; `live` and `waiters` add up with the events before; what is granted starts; each wait ends once, or is open in the last snapshot |
//! | streams that begin and end while nobody acquires or releases ([`guards`], [`limits`]) | each guard ends once or goes on with another size, or is listed in the last snapshot; on its own thread, unless it is owned; R2: what is computed |
//! | the setter ([`limits`]) | each call was told |
//! | slow subscribers ([`slow`]) | what they were told and what they lost is all there was, and no event differs from the others' |
//! | recordings ([`recordings`]) | they keep what was told; totals and sizes against time are the integral over the events; intervals match the snapshots at both ends |
//! | what is written ([`written`], feature `timeline`) | all of it can be written; the trace is nested and ends with nothing held by anybody |
//! | the end ([`endings`]) | threads that share a subscriber get everything between them, and are told when the manager is gone |
//!
//! [`altered`] makes mistakes in streams that were told, one at a time: each check finds its own.
//!
//! # Running it
//!
//! A failure tells the seed of its run. The seed draws the settings and what the threads do; how they interleave is the machine's
//! doing, so a seed may have to be tried more than once.
//!
//! ```sh
//! EVENTS_SOUP_SEED=7 EVENTS_SOUP_RUNS=50 cargo test --test events_soup   # 50 runs, from this seed on
//! EVENTS_SOUP_RUNS=2000 cargo test --release --features timeline --test events_soup
//! ```
//!
//! # What it finds
//!
//! Mistakes that were made in the library on purpose, one at a time, and the first check that found each in the quick setting
//! on two busy processors (2026-11-22):
//!
//! | mistake | found by |
//! | --- | --- |
//! | a demand that is taken back is not told to end | live adds up |
//! | a release under the lock is told twice | live adds up |
//! | an admission is told as by the thread that admits | waiters add up |
//! | `waiters` is always 0, in events or in the journal's records | waiters add up |
//! | a wait that times out is not told to end | waiters add up |
//! | an acquire in the journal takes two numbers, not three | numbers have no gaps |
//! | the journal is handed over after the event that follows it | numbers have no gaps |
//! | a grant in the journal counts itself as live | live adds up |
//! | a wait is told to stall again and again | stalls are of waits |
//! | a resize tells another size than the guard had | each guard ends once |
//! | `LimitApplied` tells what was called for, not what was set | each call is told |
//! | of a batch that does not fit, one event is counted as lost | what is told and lost is all |
//! | a recorder ends no wait that was admitted, or that timed out | waits match both ends |
//! | a recorder forgets who waited when it began | waits match both ends |
//! | a recorder keeps what came after its last snapshot | times do not go back |
//! | only timeouts count as waits given up | totals count the events |
//! | the heat map leaves a guard's last column out | sizes against time |
//! | in the trace, what overlaps without nesting stays on one track | the trace is nested |
//! | a thread that shares a subscriber is not told what another has left over | none: nothing is lost, it comes later |

mod altered;
mod endings;
mod guards;
#[path = "../kit/mod.rs"]
mod kit;
mod limits;
mod plan;
mod recordings;
mod slow;
mod stream;
mod traffic;
mod waits;
#[cfg(feature = "timeline")]
mod written;

use plan::Plan;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use stream::Span;
use traffic::Told;

/// How long the runs go on, unless their number is set.
const QUICK: Duration = Duration::from_secs(3);

/// What is wrong, if anything is.
type Checked = Result<(), String>;

/// A setting from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    let parsed = value.parse().ok();
    Some(parsed.unwrap_or_else(|| panic!("{name} is no number: {value}")))
}

/// One run after another, until the time is over or so many were made.
fn rounds(run: impl Fn(u64)) {
    let first = setting("EVENTS_SOUP_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let runs = setting("EVENTS_SOUP_RUNS");
    let until = Instant::now() + QUICK;
    for seed in first.. {
        let ended = catch_unwind(AssertUnwindSafe(|| run(seed)));
        assert!(ended.is_ok(), "run again with EVENTS_SOUP_SEED={seed}");
        let done = seed - first + 1;
        if runs.map_or(Instant::now() >= until, |runs| done >= runs) {
            return;
        }
    }
}

#[test]
fn r24_whatever_threads_do_is_told() {
    rounds(run);
}

fn run(seed: u64) {
    let plan = Plan::draw(seed);
    let told = traffic::run(&plan);
    if let Err(fault) = check(&told, &plan) {
        panic!("{fault}\n{plan:#?}");
    }
}

/// Everything that must hold of a run that is over.
fn check(told: &Told, plan: &Plan) -> Checked {
    let whole = Span::whole(&told.events);
    stream::check(&whole)?;
    stream::check_at_rest(&whole)?;
    let recorded = Span::of(&told.recording);
    stream::check(&recorded)?;
    stream::check_at_rest(&recorded)?;
    if plan.is_wired() {
        limits::each_call_is_told(&told.events, &told.calls)?;
    }
    for slow in &told.slow {
        slow::what_is_told_and_lost_is_all(slow, &told.events)?;
    }
    recordings::it_keeps_what_is_told(&told.recording, &told.events)?;
    recordings::totals_are_the_integral(&told.recording)?;
    recordings::sizes_against_time_are_the_integral(&told.recording)?;
    recordings::totals_count_the_events(&told.recording)?;
    recordings::waits_match_both_ends(&told.recording)?;
    recordings::guards_match_both_ends(&told.recording)?;
    #[cfg(feature = "timeline")]
    written::check(&told.recording)?;
    Ok(())
}
