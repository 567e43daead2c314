//! The command line.

use crate::arguments;
use lexopt::prelude::*;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Loaders fill buffers, trainers consume them, under one budget, while memory gets short and recovers.

usage: cargo run --release --example pipeline -- [OPTIONS]

  --batches N      how many batches (default 2000)
  --quick          200 batches
  --json FILE      writes hit_rate, evicted_bytes, waits, levels and over_budget_bytes
  --timeline DIR   records guards, waits and memory, and writes a page with charts, a trace for Perfetto and
                   tables into DIR; needs cargo's --features timeline, before the --
  --help           this text
";

pub(crate) enum Parsed {
    Run(Options),
    Help,
}

pub(crate) struct Options {
    pub(crate) batches: u64,
    pub(crate) json: Option<PathBuf>,
    pub(crate) timeline: Option<PathBuf>,
}

pub(crate) fn parse() -> Result<Parsed, lexopt::Error> {
    let mut options = Options {
        batches: 2000,
        json: None,
        timeline: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("batches") => {
                options.batches =
                    arguments::number(&mut parser, "--batches", 20, 1_000_000)? as u64;
            }
            Long("quick") => options.batches = 200,
            Long("json") => options.json = Some(arguments::json(parser.value()?.into())?),
            Long("timeline") => {
                options.timeline = Some(arguments::timeline(parser.value()?.into())?);
            }
            Long("help") | Short('h') => return Ok(Parsed::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Parsed::Run(options))
}
