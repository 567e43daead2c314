//! The command line.

use lexopt::prelude::*;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
The bars: every row of what mlx-wired promises about its costs, as a ratio within one run.

usage: cargo bench --bench bars -- [OPTIONS] [ROW...]

  ROW...                only the rows whose names contain one of these
  --json FILE           writes the rows for machines
  --plot RUN PICTURE    draws the pairs of such a file as an SVG, and measures nothing
  --table RUN...        prints such files as tables, and measures nothing
  --bench               measures (cargo bench says so); without it each row is tried briefly and none
                        is judged, which is what cargo test --benches is for
  --help                this text

A line for each row: its name, what was measured, the bar, and ok, short or skip (this machine or build
cannot run it); rows of others, for comparison, say peer, and rows without a bar say info.

exit status: 0; 1 if a row fell short; 2 for a bad argument
";

/// What the user asked for.
pub(crate) enum Task {
    Measure(Options),
    Plot {
        run: PathBuf,
        picture: PathBuf,
    },
    Table {
        runs: Vec<PathBuf>,
    },
    /// To be the child whose system calls are counted.
    Traced,
    Help,
}

pub(crate) struct Options {
    pub(crate) filters: Vec<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) quick: bool,
}

/// What the parent gives the child whose system calls it counts.
pub(crate) const TRACED: &str = "traced";

pub(crate) fn parse() -> Result<Task, lexopt::Error> {
    let mut options = Options {
        filters: Vec::new(),
        json: None,
        quick: true,
    };
    let mut trial = false;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("bench") => options.quick = false,
            Long("test") => trial = true,
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("plot") => {
                return Ok(Task::Plot {
                    run: parser.value()?.into(),
                    picture: parser.value()?.into(),
                });
            }
            Long("table") => {
                let runs = parser.values()?.map(PathBuf::from).collect();
                return Ok(Task::Table { runs });
            }
            Long(TRACED) => return Ok(Task::Traced),
            Long("help") | Short('h') => return Ok(Task::Help),
            Value(filter) => options.filters.push(filter.string()?),
            other => return Err(other.unexpected()),
        }
    }
    options.quick |= trial;
    Ok(Task::Measure(options))
}
