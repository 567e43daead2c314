//! The command line.

use crate::arguments::{self, number};
use crate::server::Caches;
use lexopt::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
An inference server's skeleton on plain threads: 24 clients, three models of which two fit, and their caches, under
what the device recommends. It needs no MLX: a recording backend stands for a Mac with 24 GiB of recommended working
set, and short sleeps for the models' work.

usage: cargo run --release --example server -- [OPTIONS]

  --seconds N      how long the clients send requests, 1 to 86400; default 5
  --grow           caches take memory as they grow, not beforehand the most that they may need
  --json FILE      writes the final table for machines, sizes in bytes, times in milliseconds
  --timeline DIR   records guards, waits and memory, and writes a page with charts, a trace for Perfetto and
                   tables into DIR; needs cargo's --features timeline, before the --
  --help           this text

exit status: 0; 1 if something failed, a thread got stuck, more was held than fits, or nothing was served, refused,
evicted or given up; 2 for a bad argument
";

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) caches: Caches,
    pub(crate) json: Option<PathBuf>,
    pub(crate) timeline: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Options),
    Help,
}

pub(crate) fn parse() -> Result<Parsed, lexopt::Error> {
    let mut options = Options {
        time: Duration::from_secs(5),
        caches: Caches::Whole,
        json: None,
        timeline: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => {
                let seconds = number(&mut parser, "--seconds", 1, 86_400)?;
                options.time = Duration::from_secs(seconds as u64);
            }
            Long("grow") => options.caches = Caches::Growing,
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
