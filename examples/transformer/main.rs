//! A small character transformer, trained within a deliberately small budget by all of the kit: planned before anything is
//! loaded, measured, fitted into the budget, and run with evaluation and sampling beside it.
//!
//! ```sh
//! scripts/with-mlx --openblas cargo run --release --example transformer
//! scripts/with-mlx cargo run --release --example transformer -- --quick --json /tmp/transformer.json
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `options.rs` | the command line, the settings |
//! | `data.rs`, `charters.txt` | the text, and rows of it; README.md has its licence |
//! | `block.rs`, `model.rs` | the network: ordinary mlx-rs |
//! | `train.rs` | passes and updates; what `Fit` runs |
//! | `run.rs`, `beside.rs`, `seen.rs` | the run under tickets; evaluation and sampling beside it; what each kind of work took |
//! | `checkpoint.rs`, `mlx_own.rs` | ways to recompute compared; MLX's own one |
//! | `fitting.rs`, `sweep.rs` | fitting into budgets; every plan, run, to hold that against |
//! | `progress.rs`, `report.rs` | the bars; the tables |
//! | `../common/` | what `--timeline` records and writes; arguments, as the other programs take them |
//!
//! A program of your own needs `train.rs`, `run.rs` and `beside.rs`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

#[cfg(any(target_vendor = "apple", with_mlx))]
#[path = "../common/arguments.rs"]
mod arguments;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod beside;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod block;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod checkpoint;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod data;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod fitting;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod mlx_own;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod model;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod options;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod progress;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod report;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod run;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod seen;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod sweep;
#[cfg(any(target_vendor = "apple", with_mlx))]
#[path = "../common/timeline.rs"]
mod timeline;
#[cfg(any(target_vendor = "apple", with_mlx))]
mod train;

use std::process::ExitCode;

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
fn main() -> ExitCode {
    eprintln!("this example needs MLX: scripts/with-mlx cargo run --release --example transformer");
    ExitCode::from(2)
}

#[cfg(any(target_vendor = "apple", with_mlx))]
fn main() -> ExitCode {
    let text = data::Text::load();
    let options = match options::parse(text.letters()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("transformer: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(&options, &text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transformer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What every part of this program fails with.
#[cfg(any(target_vendor = "apple", with_mlx))]
type Failure = mlx_wired::train::WorkError;

#[cfg(any(target_vendor = "apple", with_mlx))]
fn run(options: &options::Options, text: &data::Text) -> Result<(), Failure> {
    use mlx_wired::Manager;
    use mlx_wired::train::estimate::{Model, Optimizer, Training, Workload, plan};

    let (setting, began) = (&options.setting, std::time::Instant::now());
    // The first call of mlx-rs installs an error handler that returns, in place of MLX's, which exits.
    mlx_rs::memory::active_memory()?;
    let bars = progress::Bars::default();

    if let Some(file) = &options.sweep {
        let mut trainer = train::Trainer::new(setting, text)?;
        return sweep::Sweep::run(setting, &mut trainer, &bars)?.write(file);
    }

    // Before anything is loaded: what stays follows from the configuration.
    let workload = Workload::new(Model::from_config(&setting.size.config()))
        .context(setting.size.context as u64)
        .train(Training::new(Optimizer::Adam).rows(setting.rows as u64));
    println!("{}", plan(setting.budget(), &workload));

    // Measured: what checkpointing gives and costs, and every plan.
    let compared = checkpoint::compare(setting, text, &bars)?;
    println!("{compared}");
    let mut trainer = train::Trainer::new(setting, text)?;
    let needs = run::Needs::measure(setting, text, &trainer)?;
    let sweep = match &options.swept {
        Some(file) => sweep::Sweep::read(file, setting, &trainer)?,
        None => sweep::Sweep::run(setting, &mut trainer, &bars)?,
    };

    // Fitted: into the budget, and for comparison into a smaller and a larger one.
    let fitted = fitting::fit_all(setting, &mut trainer, &bars)?;
    let chosen = &fitted[1];
    println!("{chosen}\n");
    let fit = fitting::rows(&fitted, &sweep)?;
    let (rows, blocks) = (&fit[..], setting.size.blocks);
    println!("{}", report::FitTable { rows, blocks });

    // Run.
    let timeline = options.timeline.as_deref();
    let timeline = timeline.map(|folder| timeline::start(Manager::shared(), folder));
    let timeline = timeline.transpose()?;
    let outcome = run::run(setting, text, &mut trainer, chosen, &needs, &bars)?;
    let written = timeline.map(timeline::Timeline::write).transpose()?;

    let wall = began.elapsed().as_secs_f64();
    let report = report::Report::new(sweep, compared, fit, outcome, wall);
    print!("{report}");
    if let Some(written) = written {
        print!("{written}");
    }
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    report.check()
}
