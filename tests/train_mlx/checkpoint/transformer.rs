//! A transformer of characters, whose blocks keep, recompute, or recompute as MLX's own `mlx_checkpoint` does.

use super::mlx;
use mlx_rs::error::Exception;
use mlx_rs::fast::layer_norm;
use mlx_rs::nn::gelu_approximate;
use mlx_rs::ops::{indexing::TryIndexOp, logsumexp_axis, softmax_axis, tril};
use mlx_rs::transforms::{compile::compile, eval};
use mlx_rs::{Array, array};
use mlx_wired::ffi;
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};

pub(super) const BLOCKS: usize = 8;
const HEADS: i32 = 4;
const VOCABULARY: i32 = 64;
/// The weights of a block.
const PARTS: usize = 12;

/// What its blocks do.
#[derive(Debug, Clone)]
pub(super) enum Mode {
    /// `mlx_checkpoint` around each.
    Mlx,
    /// The kit's.
    Kit(Checkpointing),
}

/// In which order the gradients are given to `eval`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Order {
    Natural,
    Reverse,
}

pub(super) struct Transformer {
    /// The embedding of characters, that of places, each block's, the last norm's two, the head.
    pub(super) weights: Vec<Array>,
    tokens: Array,
    mask: Array,
}

impl Transformer {
    pub(super) fn new(width: i32, context: i32, batch: i32) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let mut uniform = |shape: &[i32]| {
            let bound = 1.0 / (shape[0] as f32).sqrt();
            let count = shape.iter().product();
            let values = (0..count).map(|_: i32| (2.0 * random.f32() - 1.0) * bound);
            Array::from_slice(&values.collect::<Vec<f32>>(), shape)
        };
        let mut weights = vec![uniform(&[VOCABULARY, width]), uniform(&[context, width])];
        let flat =
            |value: f32, width: i32| Array::from_slice(&vec![value; width as usize], &[width]);
        for _ in 0..BLOCKS {
            weights.extend([flat(1.0, width), flat(0.0, width)]);
            weights.extend((0..4).map(|_| uniform(&[width, width])));
            weights.extend([flat(1.0, width), flat(0.0, width)]);
            weights.extend([uniform(&[width, 4 * width]), flat(0.0, 4 * width)]);
            weights.extend([uniform(&[4 * width, width]), flat(0.0, width)]);
        }
        weights.extend([
            flat(1.0, width),
            flat(0.0, width),
            uniform(&[width, VOCABULARY]),
        ]);
        let mut random = fastrand::Rng::with_seed(2);
        let tokens = (0..batch * (context + 1)).map(|_| random.i32(0..VOCABULARY));
        let tokens = Array::from_slice(&tokens.collect::<Vec<_>>(), &[batch, context + 1]);
        let ones = Array::ones::<f32>(&[context, context]).unwrap();
        let mask = tril(&ones, 0).unwrap().subtract(array!(1.0_f32)).unwrap();
        let mask = mask.multiply(array!(1e9_f32)).unwrap();
        eval(weights.iter().chain([&tokens, &mask])).unwrap();
        Self {
            weights,
            tokens,
            mask,
        }
    }

    /// The loss and its gradients, evaluated in this order, and the peak meanwhile.
    pub(super) fn step(&self, mode: &Mode, order: Order) -> (Vec<Array>, u64) {
        evaluated(order, || values_and_gradients(mode, &self.arguments()))
    }

    /// The peak of a second step of a compiled function.
    pub(super) fn peak_compiled(&self, mode: &Mode) -> u64 {
        let mode = mode.clone();
        let mut step = compile(
            move |arguments: &[Array]| values_and_gradients(&mode, arguments),
            None,
        );
        let arguments = self.arguments();
        let mut peak = || evaluated(Order::Natural, || step(&arguments)).1;
        peak();
        peak()
    }

    fn arguments(&self) -> Vec<Array> {
        let mut arguments = self.weights.clone();
        arguments.extend([self.tokens.clone(), self.mask.clone()]);
        arguments
    }

    /// The largest peak of some steps after the first.
    pub(super) fn peak(&self, mode: &Mode, order: Order, steps: usize) -> u64 {
        self.step(mode, order);
        let peaks = (0..steps).map(|_| self.step(mode, order).1);
        peaks.max().expect("there are steps")
    }
}

fn values_and_gradients(mode: &Mode, arguments: &[Array]) -> Result<Vec<Array>, Exception> {
    let argnums: Vec<i32> = (0..arguments.len() as i32 - 2).collect();
    let loss = |arguments: &[Array]| loss(mode, arguments);
    let (mut values, gradients) = value_and_grad(loss, argnums.as_slice())(arguments)?;
    values.extend(gradients);
    Ok(values)
}

fn evaluated(
    order: Order,
    step: impl FnOnce() -> Result<Vec<Array>, Exception>,
) -> (Vec<Array>, u64) {
    ffi::reset_peak_memory().unwrap();
    let values = step().unwrap();
    match order {
        Order::Natural => eval(&values),
        Order::Reverse => eval(values.iter().rev()),
    }
    .unwrap();
    (values, ffi::memory_counters().unwrap().peak())
}

pub(super) fn kit(recompute: Recompute) -> Mode {
    Mode::Kit(Checkpointing::new(recompute))
}

fn loss(mode: &Mode, arguments: &[Array]) -> Result<Vec<Array>, Exception> {
    let [
        characters,
        places,
        blocks @ ..,
        scale,
        shift,
        head,
        tokens,
        mask,
    ] = arguments
    else {
        return Err("the transformer needs weights, tokens and a mask".into());
    };
    let context = places.shape()[0];
    let inputs = tokens.try_index((.., ..context))?;
    let targets = tokens.try_index((.., 1..))?;
    let mut x = characters.take_axis(&inputs, 0)?.add(places)?;
    for (index, weights) in blocks.chunks_exact(PARTS).enumerate() {
        let mut primals = vec![x];
        primals.extend_from_slice(weights);
        let constants = std::slice::from_ref(mask);
        let outputs = match mode {
            Mode::Mlx => mlx::checkpoint(block, &primals, constants),
            Mode::Kit(blocks) => blocks.block(index, block, &primals, constants),
        };
        x = outputs?.remove(0);
    }
    let logits = layer_norm(&x, scale, shift, 1e-5)?.matmul(head)?;
    let chosen = logits.take_along_axis(targets.expand_dims(-1)?, -1)?;
    let all = logsumexp_axis(&logits, -1, true)?;
    Ok(vec![all.subtract(chosen)?.mean(None)?])
}

fn block(primals: &[Array], constants: &[Array]) -> Result<Vec<Array>, Exception> {
    let [
        x,
        scale,
        shift,
        q,
        k,
        v,
        out,
        scale2,
        shift2,
        up,
        up_bias,
        down,
        down_bias,
    ] = primals
    else {
        return Err("a block has thirteen primals".into());
    };
    let &[batch, context, width] = x.shape() else {
        return Err("a block takes batch, context and width".into());
    };
    let normed = layer_norm(x, scale, shift, 1e-5)?;
    let heads = |weight: &Array| -> Result<Array, Exception> {
        let shape = [batch, context, HEADS, width / HEADS];
        normed
            .matmul(weight)?
            .reshape(&shape)?
            .transpose_axes(&[0, 2, 1, 3])
    };
    let (q, k, v) = (heads(q)?, heads(k)?, heads(v)?);
    let scores = q.matmul(k.transpose_axes(&[0, 1, 3, 2])?)?;
    let scores = scores.multiply(array!(1.0 / (width as f32 / HEADS as f32).sqrt()))?;
    let weights = softmax_axis(scores.add(&constants[0])?, -1, None)?;
    let mixed = weights.matmul(&v)?.transpose_axes(&[0, 2, 1, 3])?;
    let mixed = mixed.reshape(&[batch, context, width])?.matmul(out)?;
    let x = x.add(mixed)?;
    let normed = layer_norm(&x, scale2, shift2, 1e-5)?;
    let hidden = gelu_approximate(normed.matmul(up)?.add(up_bias)?)?;
    Ok(vec![x.add(hidden.matmul(down)?.add(down_bias)?)?])
}
