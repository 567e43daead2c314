//! One pass with all activations kept, under MLX's own `mlx_checkpoint`, and under the kit's ordered checkpoints: what
//! each needs, what it costs, and whether the gradients are the same.

use crate::Failure;
use crate::block::block;
use crate::data::{Rows, Text};
use crate::mlx_own;
use crate::model::{self, RunBlock, Size};
use crate::options::Setting;
use crate::progress::Bars;
use crate::train::{keys, recomputed};
use cpu_time::ProcessTime;
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::transforms::eval;
use mlx_wired::train::Measuring;
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad, verify};
use serde::Serialize;
use std::time::Duration;

/// Sizes in bytes: MLX's peak while the pass ran, weights and gradients included. `_reverse`: with the gradients evaluated
/// from the last to the first.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) blocks: usize,
    pub(crate) rows: usize,
    pub(crate) plain_peak: u64,
    pub(crate) plain_peak_reverse: u64,
    pub(crate) mlx_peak: u64,
    pub(crate) mlx_peak_reverse: u64,
    pub(crate) ordered_peak: u64,
    pub(crate) ordered_peak_reverse: u64,
    /// The processor time that ordered checkpoints take beyond a plain pass, as a part of it.
    pub(crate) extra_time: f64,
    pub(crate) mlx_extra_time: f64,
    /// The largest difference between a plain gradient and one with ordered checkpoints, in either order.
    pub(crate) max_gradient_difference: f64,
    pub(crate) mlx_max_gradient_difference: f64,
}

const SEED: u64 = 1776;

pub(crate) fn compare(setting: &Setting, text: &Text, bars: &Bars) -> Result<Comparison, Failure> {
    let (size, rows) = (setting.size, setting.compared_rows);
    let pass = Pass {
        size,
        weights: size.weights(SEED)?,
        numbers: (0..size.arrays() as i32).collect(),
        rows: text.sample(&mut fastrand::Rng::with_seed(SEED), rows, size.context),
        keys: keys(SEED, size.blocks)?,
    };
    let plainly = size.plainly();
    let checkpointing = Checkpointing::new(Recompute::All);
    let ordered = recomputed(&checkpointing, size);
    let mlx = |_: usize, primals: &[Array], constants: &[Array]| {
        let constants = constants.to_vec();
        mlx_own::checkpoint(move |primals| block(size, primals, &constants), primals)
    };
    // The kit's own check, at the level of the loss: dropout's keys, captured state, whatever else may differ.
    let line = bars.line("checkpointing", 7);
    line.set_message("verify");
    verify(|| pass.run(&ordered))?;
    line.inc(1);
    let measure = |name, run: RunBlock, reverse| {
        line.set_message(name);
        let took = pass.measure(name, run, reverse);
        line.inc(1);
        took
    };
    let plain = measure("plain", &plainly, false)?;
    let plain_reverse = measure("plain, in reverse", &plainly, true)?;
    let by_mlx = measure("mlx_checkpoint", &mlx, false)?;
    let by_mlx_reverse = measure("mlx_checkpoint, in reverse", &mlx, true)?;
    let by_us = measure("ordered", &ordered, false)?;
    let by_us_reverse = measure("ordered, in reverse", &ordered, true)?;
    let more = |one: &Took, other: &Took| {
        let (took, plain) = (one.time.min(other.time), plain.time.min(plain_reverse.time));
        took.as_secs_f64() / plain.as_secs_f64() - 1.0
    };
    Ok(Comparison {
        blocks: size.blocks,
        rows,
        plain_peak: plain.peak,
        plain_peak_reverse: plain_reverse.peak,
        mlx_peak: by_mlx.peak,
        mlx_peak_reverse: by_mlx_reverse.peak,
        ordered_peak: by_us.peak,
        ordered_peak_reverse: by_us_reverse.peak,
        extra_time: more(&by_us, &by_us_reverse),
        mlx_extra_time: more(&by_mlx, &by_mlx_reverse),
        max_gradient_difference: plain.differs(&by_us).max(plain.differs(&by_us_reverse)),
        mlx_max_gradient_difference: plain.differs(&by_mlx).max(plain.differs(&by_mlx_reverse)),
    })
}

struct Pass {
    size: Size,
    weights: Vec<Array>,
    numbers: Vec<i32>,
    rows: Rows,
    keys: Vec<Array>,
}

/// What a way to run the blocks took: the peak in bytes, the least processor time, and the gradients as numbers.
struct Took {
    peak: u64,
    time: Duration,
    gradients: Vec<Vec<f32>>,
}

impl Pass {
    /// Loss and gradients, to be evaluated.
    fn run(&self, run: RunBlock) -> Result<(Vec<Array>, Vec<Array>), Exception> {
        let loss = |weights: &[Array]| {
            let logits = self
                .size
                .logits(weights, &self.rows.letters, Some(&self.keys), run)?;
            Ok::<_, Exception>(vec![model::loss(&logits, &self.rows.next)?])
        };
        value_and_grad(loss, &self.numbers[..])(&self.weights)
    }

    fn measure(&self, name: &str, run: RunBlock, reverse: bool) -> Result<Took, Failure> {
        let mut time = Duration::MAX;
        let mut pass = || -> Result<Vec<Array>, Failure> {
            let began = ProcessTime::now();
            let (loss, gradients) = self.run(run)?;
            if reverse {
                eval(gradients.iter().rev().chain(&loss))?;
            } else {
                eval(loss.iter().chain(&gradients))?;
            }
            time = time.min(began.elapsed());
            Ok(gradients)
        };
        let peak = Measuring::new(name).run(&mut pass)?.peak;
        let gradients = pass()?;
        let numbers = |gradient: &Array| gradient.to_vec_exact::<f32>();
        let gradients = gradients.iter().map(numbers).collect::<Result<_, _>>()?;
        Ok(Took {
            peak,
            time,
            gradients,
        })
    }
}

impl Took {
    /// By how much two gradients differ at most; not a number where one is none.
    fn differs(&self, other: &Self) -> f64 {
        let (own, others) = (self.gradients.concat(), other.gradients.concat());
        assert_eq!(own.len(), others.len(), "gradients of the same weights");
        let pairs = own.into_iter().zip(others);
        pairs.fold(0.0, |most, (one, other)| {
            let difference = f64::from((one - other).abs());
            let is_more = difference > most || difference.is_nan();
            if is_more { difference } else { most }
        })
    }
}
