//! Recomputing blocks in the backward pass.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `transformer.rs`, `mlx.rs` | a network of eight blocks; MLX's own `mlx_checkpoint` |
//! | `peaks.rs` | what recomputing saves, and that gradients are the same to the bit |
//! | `table.rs` | every setting's peak and time, printed |
//! | `traps.rs` | each way to get wrong gradients, or none, or no cause |
//! | `modules.rs` | blocks that are modules |
//! | `verifying.rs` | what `verify` finds, and what it says |

mod mlx;
mod modules;
mod peaks;
#[cfg(target_os = "linux")]
mod table;
mod transformer;
mod traps;
mod verifying;

use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};

/// The numbers of an array.
fn numbers(array: &Array) -> Vec<f32> {
    let flat = array.flatten(None, None).unwrap();
    flat.eval().unwrap();
    flat.as_slice::<f32>().to_vec()
}

/// The gradients of the sum of a block's first output, by its primals.
fn run<F>(setting: Recompute, f: F, primals: &[Array], constants: &[Array]) -> Vec<Array>
where
    F: Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Copy + Send + 'static,
{
    let blocks = Checkpointing::new(setting);
    let argnums: Vec<i32> = (0..primals.len() as i32).collect();
    let loss = |primals: &[Array]| {
        let outputs = blocks.block(0, f, primals, constants)?;
        Ok::<_, mlx_rs::error::Exception>(vec![outputs[0].sum(None)?])
    };
    value_and_grad(loss, argnums.as_slice())(primals).unwrap().1
}
