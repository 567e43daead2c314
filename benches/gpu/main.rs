//! Trainers on one real card that do not all fit: without tickets, with the best number of workers found by hand, and with
//! tickets; and checkpointing with and without the memory limit of a run.
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
//! | `sets.rs` | the sets of jobs, run in every way |
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
mod work;

use failure::Failure;
use lexopt::prelude::*;
use report::Report;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: scripts/with-mlx --cuda cargo bench --bench gpu -- [OPTIONS] [PART OF A NAME...]

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
    let mut report = Report::new(filters, false);
    report.info("card/gib", card as f64 / f64::from(1 << 30), None);
    let measured = measure(&mut report, card, quick);
    // What was measured before something failed is written too.
    let finished = report.finish(json);
    measured?;
    finished
}

#[cfg(any(target_vendor = "apple", with_mlx))]
use child::card;
#[cfg(any(target_vendor = "apple", with_mlx))]
const WHY_NONE: &str = "there is no NVIDIA card, or MLX is another build";

#[cfg(any(target_vendor = "apple", with_mlx))]
fn measure(report: &mut Report, card: u64, quick: bool) -> Result<(), Failure> {
    let sets = sets::compare(report, card, quick);
    sets.and(checkpoint::compare(report, quick))
}

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
const WHY_NONE: &str = "MLX is not linked: scripts/with-mlx";

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn card() -> Result<Option<u64>, Failure> {
    Ok(None)
}

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn measure(_: &mut Report, _: u64, _: bool) -> Result<(), Failure> {
    Ok(())
}
