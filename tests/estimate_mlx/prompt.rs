//! What reading a prompt takes beside the cache: one layer of Qwen2.5-0.5B, in 32 bits, on the processor.

use crate::{Alone, QWEN, evaluate, items, told};
use mlx_rs::fast::{ScaledDotProductAttentionMask, scaled_dot_product_attention};
use mlx_rs::{Array, nn};
use mlx_wired::ffi::DeviceKind;
use mlx_wired::train::estimate::{Model, Workload, estimate};

const CHUNK: i32 = 256;
const CONTEXT: i32 = 768;

fn ones(shape: &[i32]) -> Array {
    mlx_rs::ops::ones::<f32>(shape).expect("it can be made")
}

fn heads(array: &Array, heads: i32) -> Array {
    let length = array.shape()[1];
    let array = array
        .reshape(&[1, length, heads, 64])
        .expect("the sizes agree");
    array
        .transpose_axes(&[0, 2, 1, 3])
        .expect("it has four sides")
}

#[test]
fn a_layer_of_qwen_reads_a_chunk() {
    let mut alone = Alone::new();
    let (hidden, inner) = (896, 4864);
    let weights: Vec<Array> = [
        [hidden, hidden],
        [hidden, hidden],
        [hidden, inner],
        [hidden, inner],
        [inner, hidden],
    ]
    .iter()
    .map(|shape| ones(shape))
    .collect();
    let small = [ones(&[hidden, 128]), ones(&[hidden, 128])];
    // What earlier chunks left in the cache, and the layer's input.
    let cache = [
        ones(&[1, 2, CONTEXT - CHUNK, 64]),
        ones(&[1, 2, CONTEXT - CHUNK, 64]),
    ];
    let input = ones(&[1, CHUNK, hidden]);
    evaluate(weights.iter().chain(&small).chain(&cache).chain([&input]));
    alone.forget();
    alone.reset();
    let product = |a: &Array, b: &Array| a.matmul(b).expect("they can be multiplied");
    let normed = &input * 0.5_f32;
    let queries = heads(&product(&normed, &weights[0]), 14);
    let join = |n: usize| {
        let new = heads(&product(&normed, &small[n]), 2);
        mlx_rs::ops::concatenate(&[&cache[n], &new], 2).expect("they can be joined")
    };
    let (keys, values) = (join(0), join(1));
    let seen = scaled_dot_product_attention(
        &queries,
        &keys,
        &values,
        0.125,
        ScaledDotProductAttentionMask::Causal,
        None,
    );
    drop(queries);
    let seen = seen
        .expect("it can be computed")
        .transpose_axes(&[0, 2, 1, 3])
        .expect("it has four sides");
    let seen = seen.reshape(&[1, CHUNK, hidden]).expect("the sizes agree");
    let middle = &input + &product(&seen, &weights[1]);
    let normed = &middle * 0.5_f32;
    let gate = nn::silu(product(&normed, &weights[2])).expect("it can be computed");
    let inside = &gate * &product(&normed, &weights[3]);
    let output = &middle + &product(&inside, &weights[4]);
    drop((normed, seen, middle, gate, inside));
    evaluate([&output, &keys, &values]);
    // The new keys and values are the cache's.
    let kept = keys.nbytes() + values.nbytes();
    let measured = alone.peak() - kept as u64;
    let config = QWEN.replace("bfloat16", "float32");
    let workload = Workload::new(Model::from_config(&config))
        .context(CONTEXT as u64)
        .prefill(CHUNK as u64)
        .on(DeviceKind::Cpu);
    let estimated = items(&estimate(&workload), &["prefill"]) - 151_936 * 4;
    let off = told(
        "Qwen2.5-0.5B, a chunk of 256 of 768 tokens, CPU: work",
        estimated,
        measured,
    );
    assert!(
        off.abs() < 50.0,
        "{estimated} estimated, {measured} measured"
    );
}
