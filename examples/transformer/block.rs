//! One block: Llama's, in ordinary mlx-rs. It knows nothing of checkpointing, but has the form that checkpointing
//! takes: all that has a gradient is a primal, all else a constant, and nothing is captured but numbers.

use crate::model::Size;
use mlx_rs::Array;
use mlx_rs::error::Exception;
use mlx_rs::fast::{
    ScaledDotProductAttentionMask::Causal, rms_norm, rope, scaled_dot_product_attention,
};
use mlx_rs::nn::silu;
use mlx_rs::random::{bernoulli, split};

/// How many of a block's primals are its weights. They stand behind its input.
pub(crate) const WEIGHTS: usize = 6;

pub(crate) const EPSILON: f32 = 1e-5;
const ROPE_BASE: f32 = 10_000.0;
/// How much of what a block adds is kept while it trains.
const KEPT: f32 = 0.9;

/// Attention, then a gated perceptron, each added to what came in. The constant is a key for dropout: the same one when
/// the block is computed again. Without it nothing is dropped.
pub(crate) fn block(
    size: Size,
    primals: &[Array],
    constants: &[Array],
) -> Result<Vec<Array>, Exception> {
    let [x, norm, qkv, out, norm_2, gate_up, down] = primals else {
        return Err("a block takes its input and six weights".into());
    };
    let keys = constants.first().map(|key| split(key, 2)).transpose()?;
    let (key, key_2) = keys.unzip();

    let attended = attention(size, &rms_norm(x, Some(norm), EPSILON)?, qkv)?.matmul(out)?;
    let x = x.add(dropout(attended, key)?)?;
    let inner = rms_norm(&x, Some(norm_2), EPSILON)?.matmul(gate_up)?;
    let [gate, up] = &inner.split_equal(2, -1)?[..] else {
        return Err("two halves".into());
    };
    let added = silu(gate)?.multiply(up)?.matmul(down)?;
    Ok(vec![x.add(dropout(added, key_2)?)?])
}

fn attention(size: Size, x: &Array, qkv: &Array) -> Result<Array, Exception> {
    let [rows, letters, width] = x.shape()[..] else {
        return Err("rows of letters".into());
    };
    let head = width / size.heads;
    let heads = x
        .matmul(qkv)?
        .reshape(&[rows, letters, 3 * size.heads, head])?
        .transpose_axes(&[0, 2, 1, 3])?;
    let [queries, keys, values] = &heads.split_equal(3, 1)?[..] else {
        return Err("three thirds".into());
    };
    let turned = |it| rope(it, head, false, ROPE_BASE, 1.0, 0, None);
    let scale = (head as f32).sqrt().recip();
    scaled_dot_product_attention(turned(queries)?, turned(keys)?, values, scale, Causal, None)?
        .transpose_axes(&[0, 2, 1, 3])?
        .reshape(&[rows, letters, width])
}

fn dropout(x: Array, key: Option<Array>) -> Result<Array, Exception> {
    match key {
        None => Ok(x),
        Some(key) => {
            let kept = bernoulli(&Array::from_f32(KEPT), x.shape(), &key)?;
            x.multiply(kept)?.multiply(Array::from_f32(KEPT.recip()))
        }
    }
}
