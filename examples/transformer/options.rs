//! The command line, and the two settings: whole and quick.

use crate::arguments::{self, number};
use crate::model::Size;
use lexopt::prelude::*;
use mlx_wired::train::Plan;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
A small character transformer, trained within a small budget of memory: planned, measured, fitted, run.

usage: scripts/with-mlx [--openblas] cargo run --release --example transformer -- [OPTIONS]

  --quick          a small network and a short training
  --budget BYTES   what the training may take, MLX's live arrays in all; evaluation and sampling come on top
  --updates N      updates of the training, 1 to 100000; default 600, quick 200
  --sweep FILE     only runs every plan that there is to choose from, and writes what each took
  --swept FILE     holds what is fitted against a sweep that was written before, instead of one of its own
  --json FILE      writes the final tables for machines, sizes in bytes, times in seconds
  --timeline DIR   records guards, waits and memory, and writes a page with charts, a trace for Perfetto and
                   tables into DIR; needs cargo's --features timeline, before the --
  --help           this text

exit status: 0; 1 if something failed; 2 for a bad argument
";

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) setting: Setting,
    pub(crate) sweep: Option<PathBuf>,
    pub(crate) swept: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) timeline: Option<PathBuf>,
}

/// The network and the work.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) size: Size,
    /// Rows of an update.
    pub(crate) rows: usize,
    /// The batches to choose from.
    pub(crate) batches: &'static [usize],
    /// What is fitted into, in bytes: of all MLX's live arrays. The run is fitted into the middle one.
    pub(crate) budgets: [u64; 3],
    /// Rows of the pass with which ways to checkpoint are compared.
    pub(crate) compared_rows: usize,
    /// Updates of each plan of the sweep, of which the fastest counts.
    pub(crate) swept_updates: usize,
    /// Of the updates after the first few; it falls from there on.
    pub(crate) highest_rate: f32,
    pub(crate) updates: usize,
    /// An evaluation and a sample after each so many updates.
    pub(crate) look_every: usize,
    /// Letters of a sample.
    pub(crate) sampled: usize,
}

impl Setting {
    fn new(quick: bool, alphabet: usize) -> Self {
        if quick {
            Self {
                size: Size {
                    blocks: 8,
                    width: 32,
                    inner: 96,
                    heads: 4,
                    context: 64,
                    alphabet,
                },
                rows: 8,
                batches: &[2, 8],
                budgets: [6_500_000, 18_000_000, 30_000_000],
                compared_rows: 8,
                swept_updates: 6,
                highest_rate: 4e-3,
                updates: 200,
                look_every: 50,
                sampled: 80,
            }
        } else {
            Self {
                size: Size {
                    blocks: 8,
                    width: 128,
                    inner: 352,
                    heads: 4,
                    context: 128,
                    alphabet,
                },
                rows: 16,
                batches: &[1, 2, 4, 8, 16],
                budgets: [48_000_000, 80_000_000, 240_000_000],
                compared_rows: 8,
                swept_updates: 2,
                highest_rate: 2e-3,
                updates: 600,
                look_every: 100,
                sampled: 240,
            }
        }
    }

    /// What the run's training is fitted into.
    pub(crate) fn budget(&self) -> u64 {
        self.budgets[1]
    }

    /// The learning rate: it rises over the first updates, and falls to a tenth.
    pub(crate) fn learning_rate(&self, update: usize) -> f32 {
        let risen = (update as f32 / 10.0).min(1.0);
        let done = (update as f32 / self.updates as f32).min(1.0);
        self.highest_rate * risen * (1.0 - 0.9 * done)
    }

    /// How many blocks may be recomputed: none, each quarter, all. As `Fit` chooses.
    pub(crate) fn levels(&self) -> impl Iterator<Item = usize> {
        let blocks = self.size.blocks;
        (0..=4).map(move |quarter| blocks * quarter / 4)
    }

    /// All plans that there are to choose from.
    pub(crate) fn plans(&self) -> impl Iterator<Item = Plan> {
        self.levels().flat_map(move |first| {
            let batches = self.batches.iter();
            batches.map(move |&batch| Plan::new(self.rows, batch, first))
        })
    }
}

/// Nothing where help was asked for.
pub(crate) fn parse(alphabet: usize) -> Result<Option<Options>, lexopt::Error> {
    let (mut quick, mut budget, mut updates) = (false, None, None);
    let (mut sweep, mut swept, mut json, mut timeline) = (None, None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => quick = true,
            Long("budget") => budget = Some(number(&mut parser, "--budget", 1, usize::MAX)? as u64),
            Long("updates") => updates = Some(number(&mut parser, "--updates", 1, 100_000)?),
            Long("sweep") => sweep = Some(arguments::json(parser.value()?.into())?),
            Long("swept") => swept = Some(parser.value()?.into()),
            Long("json") => json = Some(arguments::json(parser.value()?.into())?),
            Long("timeline") => timeline = Some(arguments::timeline(parser.value()?.into())?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    let mut setting = Setting::new(quick, alphabet);
    setting.budgets[1] = budget.unwrap_or(setting.budgets[1]);
    setting.updates = updates.unwrap_or(setting.updates);
    Ok(Some(Options {
        setting,
        sweep,
        swept,
        json,
        timeline,
    }))
}
