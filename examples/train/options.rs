//! The command line.

use crate::arguments::{self, number};
use lexopt::prelude::*;
use std::fmt;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
A cross-validated sweep of small networks over the red wines of linfa-datasets, trained with mlx-rs in
rayon's workers under a memory budget.

usage: scripts/with-mlx cargo run --release --example train -- [OPTIONS]

  --no-tickets     the same work without coordination, for comparison
  --budget BYTES   what all folds together may hold; by default so much that two of the largest fit
  --threads N      rayon's workers, 1 to 64; default 4
  --folds N        folds of the cross-validation, 2 to 100; default 8
  --epochs N       passes over the training rows, 1 to 100000; default 60
  --quick          a short setting: 20 epochs, unless --epochs says otherwise
  --json FILE      writes the final table for machines, sizes in bytes, times in seconds
  --pictures DIR   runs without tickets and then with them, and draws MLX's memory against time, both on the same
                   axes, into DIR/without-tickets.svg and DIR/with-tickets.svg
  --timeline DIR   records guards, waits and memory, and writes a page with charts, a trace for Perfetto and
                   tables into DIR; needs cargo's --features timeline, before the --
  --help           this text

exit status: 0; 1 if something failed or MLX's peak went over the budget; 2 for a bad argument
";

const DEFAULT_THREADS: usize = 4;
const DEFAULT_FOLDS: usize = 8;
const DEFAULT_EPOCHS: usize = 60;
const QUICK_EPOCHS: usize = 20;

/// What the user asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) tickets: bool,
    pub(crate) budget: Option<u64>,
    pub(crate) threads: usize,
    pub(crate) folds: usize,
    pub(crate) epochs: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) timeline: Option<PathBuf>,
    pub(crate) pictures: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Options),
    Help,
}

/// A value that only turns out to be wrong later.
#[derive(Debug)]
pub(crate) struct BadArgument(pub(crate) String);

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadArgument {}

pub(crate) fn parse() -> Result<Parsed, lexopt::Error> {
    let mut options = Options {
        tickets: true,
        budget: None,
        threads: DEFAULT_THREADS,
        folds: DEFAULT_FOLDS,
        epochs: DEFAULT_EPOCHS,
        json: None,
        timeline: None,
        pictures: None,
    };
    let (mut quick, mut epochs) = (false, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("no-tickets") => options.tickets = false,
            Long("budget") => options.budget = Some(bytes(&mut parser, "--budget")?),
            Long("threads") => options.threads = number(&mut parser, "--threads", 1, 64)?,
            Long("folds") => options.folds = number(&mut parser, "--folds", 2, 100)?,
            Long("epochs") => epochs = Some(number(&mut parser, "--epochs", 1, 100_000)?),
            Long("quick") => quick = true,
            Long("json") => options.json = Some(arguments::json(parser.value()?.into())?),
            Long("timeline") => {
                options.timeline = Some(arguments::timeline(parser.value()?.into())?);
            }
            Long("pictures") => {
                options.pictures = Some(arguments::folder("--pictures", parser.value()?.into())?);
            }
            Long("help") | Short('h') => return Ok(Parsed::Help),
            other => return Err(other.unexpected()),
        }
    }
    let usual = if quick { QUICK_EPOCHS } else { DEFAULT_EPOCHS };
    options.epochs = epochs.unwrap_or(usual);
    let one_sweep = !options.tickets || options.json.is_some() || options.timeline.is_some();
    if options.pictures.is_some() && one_sweep {
        let problem =
            "--pictures runs both ways: it goes with neither --no-tickets, --json nor --timeline";
        return Err(problem.into());
    }
    Ok(Parsed::Run(options))
}

fn bytes(parser: &mut lexopt::Parser, name: &str) -> Result<u64, lexopt::Error> {
    let value = parser.value()?;
    let wrong = |_| format!("{name} takes bytes, such as 67108864, not {value:?}");
    Ok(value.parse().map_err(wrong)?)
}
