//! Trainers on one real card that do not all fit: without tickets, with the best number of workers found by hand, under a run's
//! memory limit alone, and with tickets; and checkpointing with and without that limit.
//!
//! ```sh
//! scripts/with-mlx --cuda cargo bench --bench gpu -- --json FILE
//! cargo bench --bench gpu -- --picture benches/gpu.svg FILE   # draws such a file; needs no card
//! ```
//!
//! Without a card it says `skip`. `benches/README.md` says what the rows are. Rows and verdicts are those of `bars`.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `sets.rs` | the sets of jobs, and the ways to run them |
//! | `turn.rs` | what each job needs alone, and one of these ways, once |
//! | `outcome.rs` | what came of them, and what is judged |
//! | `job.rs` | one trainer; no word of tickets |
//! | `checkpoint.rs` | a transformer's step, plain and with ordered checkpoints |
//! | `network.rs` | its blocks |
//! | `child.rs`, `task.rs`, `work.rs` | each way is a process of its own: one that runs out of memory may abort |
//! | `picture.rs` | `--picture` |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[cfg(any(target_vendor = "apple", with_mlx))]
mod checkpoint;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod child;
#[path = "../bars/failure.rs"]
mod failure;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod job;
#[path = "../bars/machine.rs"]
mod machine;
#[allow(dead_code, reason = "bars uses the rest")]
#[path = "../bars/method.rs"]
mod method;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod network;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod outcome;
mod picture;
#[allow(dead_code, reason = "bars uses the rest")]
#[path = "../bars/report.rs"]
mod report;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod sets;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod task;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod turn;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod work;

use failure::Failure;
use lexopt::prelude::*;
use report::Report;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: scripts/with-mlx --cuda cargo bench --bench gpu -- [OPTIONS] [WHAT...]

WHAT is measured: a part of sets/even/without-tickets/7, sets/even/tickets/1, sets/even/most-workers/run,
sets/even/most-workers/tickets, the same of sets/mixed, and of checkpoint/. Without it all is.

  --quick          fewer numbers of workers and shorter jobs
  --json FILE      writes the rows for machines
  --picture SVG RUN   draws the rows of such a file, and measures nothing
  --help           this text

exit status: 0; 1 if a row is short of its bar; 2 if something failed
";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("gpu: {error}");
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode, Failure> {
    let (mut filters, mut json, mut quick) = (Vec::new(), None, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bench") => {}
            // What `cargo test --benches` says.
            Long("test") => quick = true,
            Long("quick") => quick = true,
            Long("json") => json = Some(PathBuf::from(parser.value()?)),
            Long("picture") => {
                let picture = PathBuf::from(parser.value()?);
                let run = PathBuf::from(parser.value()?);
                picture::draw(&run, &picture)?;
                return Ok(ExitCode::SUCCESS);
            }
            #[cfg(any(target_vendor = "apple", with_mlx))]
            Long(child::OPTION) => {
                work::on(&parser.value()?.string()?)?;
                return Ok(ExitCode::SUCCESS);
            }
            Long("help") | Short('h') => {
                print!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            Value(filter) => filters.push(filter.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let card = card()?;
    // Now, not after the measurements.
    let json = json.map(File::create).transpose()?;
    let Some(card) = card else {
        let mut report = Report::new(Vec::new(), false);
        report.skip(format!("gpu ({WHY_NONE})"), None);
        return report.finish(json);
    };
    let mut report = Report::new(filters, quick);
    let whole = measure(&mut report, &card, quick);
    let judged = report.finish(json)?;
    Ok(if whole { judged } else { ExitCode::from(2) })
}

#[cfg(any(target_vendor = "apple", with_mlx))]
use child::card;
#[cfg(any(target_vendor = "apple", with_mlx))]
use task::Card;
#[cfg(any(target_vendor = "apple", with_mlx))]
const WHY_NONE: &str = "there is no NVIDIA card, or MLX is another build";

/// Every part, behind one that failed too: whether none did.
#[cfg(any(target_vendor = "apple", with_mlx))]
fn measure(report: &mut Report, card: &Card, quick: bool) -> bool {
    let gib = card.bytes as f64 / f64::from(1 << 30);
    report.info(format!("card/gib ({})", card.name), gib, None);
    let mut whole = true;
    for set in sets::all() {
        let measured = set.measure(report, card.bytes, quick);
        whole &= is_measured(report, &format!("sets/{}", set.name), measured);
    }
    let measured = checkpoint::compare(report, quick);
    whole & is_measured(report, "checkpoint", measured)
}

/// A part that failed has a row, so that its lack is seen in the file too.
#[cfg(any(target_vendor = "apple", with_mlx))]
fn is_measured(report: &mut Report, part: &str, measured: Result<(), Failure>) -> bool {
    if let Err(error) = &measured {
        eprintln!("gpu: {part}: {error}");
        report.skip(format!("{part}/failed"), None);
    }
    measured.is_ok()
}

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
const WHY_NONE: &str = "MLX is not linked: scripts/with-mlx";

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
use std::convert::Infallible as Card;

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn card() -> Result<Option<Card>, Failure> {
    Ok(None)
}

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn measure(_: &mut Report, card: &Card, _: bool) -> bool {
    match *card {}
}
