//! The arrays of three published networks, as their sources make them.

use mlx_rs::{Array, Dtype};

/// Qwen2.5-0.5B: biases on queries, keys and values; the embedding is the last projection, too.
pub(crate) fn qwen(layers: usize) -> Vec<Vec<i32>> {
    let mut shapes = vec![vec![151_936, 896], vec![896]];
    for _ in 0..layers {
        shapes.extend([
            vec![896, 896],
            vec![896],
            vec![128, 896],
            vec![128],
            vec![128, 896],
            vec![128],
            vec![896, 896],
            vec![4864, 896],
            vec![4864, 896],
            vec![896, 4864],
            vec![896],
            vec![896],
        ]);
    }
    shapes
}

/// Gemma-3-270M: four norms a layer, and norms of queries and keys.
pub(crate) fn gemma(layers: usize) -> Vec<Vec<i32>> {
    let mut shapes = vec![vec![262_144, 640], vec![640]];
    for _ in 0..layers {
        shapes.extend([
            vec![1024, 640],
            vec![256, 640],
            vec![256, 640],
            vec![640, 1024],
            vec![256],
            vec![256],
            vec![2048, 640],
            vec![2048, 640],
            vec![640, 2048],
        ]);
        shapes.extend([const { [640] }; 4].map(Vec::from));
    }
    shapes
}

/// DeepSeek-V2-Lite: the first layer dense, the others with 64 experts and two shared ones.
pub(crate) fn deepseek(layers: usize) -> Vec<Vec<i32>> {
    let mut shapes = vec![vec![102_400, 2048], vec![102_400, 2048], vec![2048]];
    for layer in 0..layers {
        shapes.extend([
            vec![3072, 2048],
            vec![576, 2048],
            vec![512],
            vec![4096, 512],
            vec![2048, 2048],
            vec![2048],
            vec![2048],
        ]);
        let mut gated = |inner| {
            shapes.extend([vec![inner, 2048], vec![inner, 2048], vec![2048, inner]]);
        };
        if layer == 0 {
            gated(10_944);
        } else {
            for _ in 0..64 {
                gated(1408);
            }
            gated(2 * 1408);
            shapes.push(vec![64, 2048]);
        }
    }
    shapes
}

/// Arrays of 16 bits, each with memory of its own.
pub(crate) fn arrays(shapes: &[Vec<i32>]) -> Vec<Array> {
    let make = |shape| mlx_rs::ops::ones_dtype(shape, Dtype::Bfloat16).expect("it can be made");
    let arrays: Vec<Array> = shapes.iter().map(|shape| make(shape)).collect();
    crate::evaluate(&arrays);
    arrays
}
