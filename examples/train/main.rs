//! A real training in rayon's workers: a cross-validated sweep of small networks over the red wines of
//! `linfa-datasets`, under a memory budget that cannot hold all at once.
//!
//! ```sh
//! scripts/with-mlx cargo run --release --example train
//! scripts/with-mlx cargo run --release --example train -- --no-tickets
//! ```
//!
//! Data and initial weights are a reservation for the whole sweep. Each fold's training is an active
//! ticket, of the size that MLX's own peak had when one such fold ran alone. `--help` lists the options.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `options.rs` | the command line |
//! | `data.rs` | the wines, the folds, the random numbers |
//! | `network.rs` | the networks and the training of one fold; no word of memory |
//! | `sizes.rs` | how much memory a fold needs, and the budget that follows |
//! | `sweep.rs` | all folds in rayon's workers: where tickets are acquired |
//! | `pictures.rs` | `--pictures`: memory without and with tickets |
//! | `progress.rs` | the bars |
//! | `../common/timeline.rs`, `arguments.rs` | what `--timeline` records and writes; arguments, as the server takes them |
//! | `report.rs` | the table, and the same for machines |
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[cfg(any(target_vendor = "apple", with_mlx))]
#[path = "../common/arguments.rs"]
mod arguments;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod data;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod network;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod options;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod pictures;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod progress;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod report;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod sizes;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod sweep;
#[cfg(any(target_vendor = "apple", with_mlx))]
#[path = "../common/timeline.rs"]
mod timeline;

use std::process::ExitCode;

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn main() -> ExitCode {
    eprintln!("this example needs MLX: scripts/with-mlx cargo run --release --example train");
    ExitCode::from(2)
}

#[cfg(any(target_vendor = "apple", with_mlx))]
fn main() -> ExitCode {
    use options::{Parsed, USAGE};

    let options = match options::parse() {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("train: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("train: {error}");
            let blames_the_options = error.is::<options::BadArgument>();
            ExitCode::from(if blames_the_options { 2 } else { 1 })
        }
    }
}

/// What every part of this program fails with.
#[cfg(any(target_vendor = "apple", with_mlx))]
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[cfg(any(target_vendor = "apple", with_mlx))]
fn run(options: &options::Options) -> Result<(), Failure> {
    use mlx_wired::Manager;

    // The first call of mlx-rs installs an error handler that returns, in place of MLX's, which exits.
    mlx_rs::memory::active_memory()?;

    let wines = data::Wines::load();
    let folds = data::folds(wines.count(), options.folds);
    let sizes = sizes::Sizes::measure(&wines, &folds, options)?;
    if let Some(folder) = &options.pictures {
        return pictures::run(&wines, &sizes, &folds, options, folder);
    }
    let timeline = options.timeline.as_deref();
    let timeline = timeline.map(|folder| timeline::start(Manager::shared(), folder));
    let timeline = timeline.transpose()?;
    let outcome = sweep::run(&sizes, &folds, options)?;
    let written = timeline.map(timeline::Timeline::write).transpose()?;

    let report = report::Report::new(&wines, &sizes, &outcome, options);
    print!("{report}");
    if let Some(written) = written {
        print!("{written}");
    }
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    report.check()
}
