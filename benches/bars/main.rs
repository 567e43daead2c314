//! Every bar of this crate, measured beside what it is compared with, in one run.
//!
//! ```sh
//! cargo bench --bench bars                       # every row
//! cargo bench --bench bars -- pairs/ handoff     # the rows whose names contain one of these
//! cargo bench --bench bars -- --help
//! ```
//!
//! `benches/README.md` says how the rows are measured and what came out.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `options.rs` | the command line |
//! | `report.rs`, `machine.rs`, `failure.rs` | rows and verdicts; where and when; what goes wrong |
//! | `method.rs`, `crew.rs`, `pinning.rs` | interleaved timing; threads that work at the same time; and where |
//! | `prepared.rs`, `peers.rs`, `counting.rs` | what is timed, what it is compared with, what is counted |
//! | `keeper.rs` | a thread that holds borrowed guards meanwhile |
//! | `pairs.rs`, `live.rs` | acquire + drop without a limit change |
//! | `owned.rs`, `beside.rs` | the same with owned guards; calls that take the lock, beside crowds |
//! | `nothing.rs`, `traced.rs` | what such a pair must not do; a child whose system calls are counted |
//! | `watched.rs` | the same while a recorder is at work |
//! | `card.rs` | the same where each release synchronises |
//! | `burst.rs`, `growing.rs` | calls of the setter: of many threads at once, of guards that grow |
//! | `handoff.rs`, `wakeups.rs`, `fairness.rs` | waiting |
//! | `training.rs`, `steps.rs` | a ticket around a real training step; what the report of a step costs |
//! | `plot.rs`, `table.rs` | a run's pairs as a picture, runs as tables |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod beside;
mod burst;
mod card;
mod counting;
mod crew;
mod failure;
mod fairness;
mod growing;
mod handoff;
mod keeper;
mod live;
mod machine;
mod method;
mod nothing;
mod options;
mod owned;
mod pairs;
mod peers;
mod pinning;
mod plot;
mod prepared;
mod report;
mod steps;
mod table;
mod traced;
mod training;
mod wakeups;
mod watched;

use failure::Failure;
use options::{Options, Task};
use report::Report;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: counting::Allocator = counting::Allocator;

fn main() -> ExitCode {
    let task = match options::parse() {
        Ok(task) => task,
        Err(error) => {
            eprintln!("bars: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    let outcome = match task {
        Task::Help => {
            print!("{}", options::USAGE);
            Ok(ExitCode::SUCCESS)
        }
        Task::Measure(options) => measure(options),
        Task::Plot { run, picture } => plot::draw(&run, &picture).map(|()| ExitCode::SUCCESS),
        Task::Table { runs } => table::print(&runs).map(|()| ExitCode::SUCCESS),
        Task::Traced => {
            traced::child();
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("bars: {error}");
        ExitCode::from(2)
    })
}

fn measure(options: Options) -> Result<ExitCode, Failure> {
    // Now, not after the measurements: they take minutes.
    let create =
        |path: PathBuf| File::create(&path).map_err(|error| format!("{}: {error}", path.display()));
    let json = options.json.map(create).transpose()?;
    let mut report = Report::new(options.filters, options.quick);
    pairs::run(&mut report);
    owned::run(&mut report);
    live::run(&mut report);
    beside::run(&mut report);
    nothing::run(&mut report);
    watched::run(&mut report);
    card::run(&mut report);
    burst::run(&mut report);
    growing::run(&mut report);
    handoff::run(&mut report);
    wakeups::run(&mut report);
    fairness::run(&mut report);
    steps::run(&mut report);
    training::run(&mut report);
    report.finish(json)
}
