//! A transformer's blocks in MLX's plain operations, in the form that checkpointing takes.
//!
//! Not those of `examples/transformer`: MLX 0.32.2's fused RoPE wrote out of bounds on one H200, once MLX's memory limit made an
//! evaluation wait (docs/TRAINING.md).

use mlx_rs::error::Exception;
use mlx_rs::ops::{arange, maximum, select, softmax_axis};
use mlx_rs::random::{key, normal};
use mlx_rs::{Array, array};

pub(crate) const BLOCKS: usize = 12;
const WIDTH: i32 = 1024;
const INNER: i32 = 4096;
const HEADS: i32 = 16;
const LENGTH: i32 = 512;
const ROWS: i32 = 16;
/// How many of a block's primals are its weights. They stand behind its input.
pub(crate) const WEIGHTS: usize = 6;

/// For each block: a norm, queries, keys and values, what leads out of them; a norm, and the perceptron's two.
pub(crate) fn weights() -> Result<Vec<Array>, Exception> {
    let mut seeds = 0..;
    let mut matrix = |inputs: i32, outputs: i32| {
        let scale = (inputs as f32).sqrt().recip();
        normal::<f32>(
            &[inputs, outputs],
            0.0,
            scale,
            &key(seeds.next().unwrap_or(0))?,
        )
    };
    let mut weights = Vec::new();
    for _ in 0..BLOCKS {
        weights.extend([
            Array::ones::<f32>(&[WIDTH])?,
            matrix(WIDTH, 3 * WIDTH)?,
            matrix(WIDTH, WIDTH)?,
            Array::ones::<f32>(&[WIDTH])?,
            matrix(WIDTH, INNER)?,
            matrix(INNER, WIDTH)?,
        ]);
    }
    Ok(weights)
}

pub(crate) fn rows() -> Result<Array, Exception> {
    normal::<f32>(&[ROWS, LENGTH, WIDTH], 0.0, 1.0, &key(7)?)
}

/// What is added to the scores: nothing for what came before, and much less than all else for what comes after.
pub(crate) fn mask() -> Result<Array, Exception> {
    let places = arange::<_, f32>(None, LENGTH, None)?;
    let is_later = places
        .reshape(&[1, LENGTH])?
        .gt(places.reshape(&[LENGTH, 1])?)?;
    select(&is_later, array!(-1e9_f32), array!(0.0_f32))
}

/// Attention, then a perceptron, each added to what came in. The constant is the mask.
pub(crate) fn block(primals: &[Array], constants: &[Array]) -> Result<Vec<Array>, Exception> {
    let ([x, norm, qkv, out, norm_2, up, down], [mask]) = (primals, constants) else {
        return Err("a block takes its input, six weights and a mask".into());
    };
    let x = x.add(attention(&normed(x, norm)?.matmul(qkv)?, mask)?.matmul(out)?)?;
    let inner = maximum(&normed(&x, norm_2)?.matmul(up)?, array!(0.0_f32))?;
    Ok(vec![x.add(inner.matmul(down)?)?])
}

fn normed(x: &Array, weight: &Array) -> Result<Array, Exception> {
    let square = x.square()?.mean_axes(&[-1], true)?;
    x.multiply(square.add(array!(1e-5_f32))?.rsqrt()?)?
        .multiply(weight)
}

fn attention(qkv: &Array, mask: &Array) -> Result<Array, Exception> {
    let head = WIDTH / HEADS;
    let heads = qkv
        .reshape(&[ROWS, LENGTH, 3 * HEADS, head])?
        .transpose_axes(&[0, 2, 1, 3])?;
    let [queries, keys, values] = &heads.split_equal(3, 1)?[..] else {
        return Err("three thirds".into());
    };
    let scale = array!((head as f32).sqrt().recip());
    let scores = queries
        .multiply(scale)?
        .matmul(keys.transpose_axes(&[0, 1, 3, 2])?)?
        .add(mask)?;
    softmax_axis(&scores, -1, None)?
        .matmul(values)?
        .transpose_axes(&[0, 2, 1, 3])?
        .reshape(&[ROWS, LENGTH, WIDTH])
}
