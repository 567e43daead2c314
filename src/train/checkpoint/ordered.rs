//! A block that is computed again in the backward pass, and in its turn.
//!
//! MLX's own `mlx_checkpoint` lets a block's recomputation begin when that block's *outputs* exist, and those all do when
//! the forward pass is over. So how many blocks are recomputed at the same time, and live side by side, is left to the
//! order in which `eval` visits the graph. Here two dependencies put them in order:
//!
//! * a block's inputs depend on its cotangents: it is not recomputed before the block behind has delivered them;
//! * a block's gradients depend on each other: to take one is to take all, so the block before does not begin while
//!   this one holds on to its activations for a weight's gradient.

use super::cause::{caught, with_cause};
use super::closure::{custom_vjp, depends};
use mlx_rs::error::{Exception, Result};
use mlx_rs::transforms::fallible_vjp;
use mlx_rs::{Array, ops::zeros_like};
use std::cell::Cell;

thread_local! {
    static OFF: Cell<bool> = const { Cell::new(false) };
    static RECOMPUTED: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, this thread recomputes no block.
pub(super) struct Off {
    before: bool,
}

impl Off {
    pub(super) fn new() -> Self {
        let before = OFF.replace(true);
        Self { before }
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        OFF.set(self.before);
    }
}

/// Whether this thread recomputes no block.
pub(super) fn is_off() -> bool {
    OFF.get()
}

/// How many blocks this thread has recomputed.
pub(super) fn recomputed() -> usize {
    RECOMPUTED.get()
}

/// What a block computes of its primals and constants.
pub(super) trait Function:
    Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Clone + Send + 'static
{
}

impl<F> Function for F where F: Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Clone + Send + 'static
{}

/// Runs a block that keeps what its backward pass needs. It is held to what one that recomputes is held to, so that
/// switching makes no working program fail.
pub(super) fn kept<F: Function>(
    block: usize,
    f: F,
    primals: &[Array],
    constants: &[Array],
) -> Result<Vec<Array>> {
    let constants = constants
        .iter()
        .enumerate()
        .map(|(place, constant)| sealed(block, place, constant))
        .collect::<Result<Vec<_>>>()?;
    let outputs = caught(|| f(primals, &constants))?;
    if outputs.is_empty() {
        return Err(Exception::custom(
            "checkpointing: a block returned no arrays",
        ));
    }
    Ok(outputs)
}

/// Runs a block that is computed again in the backward pass.
pub(super) fn recomputing<F: Function>(
    block: usize,
    f: F,
    primals: &[Array],
    constants: &[Array],
) -> Result<Vec<Array>> {
    let count = primals.len();
    // The clones are calls of mlx-rs, before MLX's own: see `custom_vjp`.
    let mut inputs = primals.to_vec();
    for (place, constant) in constants.iter().enumerate() {
        inputs.push(sealed(block, place, constant)?);
    }
    let again = f.clone();
    let forward = move |inputs: &[Array], _: &[Array]| f(&inputs[..count], &inputs[count..]);
    let backward = move |inputs: &[Array], cotangents: &[Array]| {
        RECOMPUTED.set(RECOMPUTED.get() + 1);
        let inputs = depends(inputs, cotangents)?;
        let (primals, constants) = inputs.split_at(count);
        let recompute = |primals: &[Array]| {
            let outputs = again(primals, constants)?;
            if outputs.len() != cotangents.len() {
                return Err(Exception::custom(format!(
                    "checkpointing: block {block} returned {} arrays at first, and {} when it was recomputed",
                    cotangents.len(),
                    outputs.len()
                )));
            }
            // `vjp` skips an output that comes straight from `stop_gradient`, and gives its cotangent to the next one:
            // this hides what the outputs come from.
            depends(&outputs, cotangents)
        };
        let (_, gradients) = with_cause(|| fallible_vjp(recompute, primals, cotangents))?;
        let mut gradients = depends(&gradients, &gradients)?;
        for constant in constants {
            // Never computed, since `sealed` refuses.
            gradients.push(zeros_like(constant)?);
        }
        Ok(gradients)
    };
    custom_vjp(Box::new(forward), Box::new(backward), &inputs)
}

/// The same array, and an error, instead of zeros, if its gradient is asked for.
fn sealed(block: usize, place: usize, constant: &Array) -> Result<Array> {
    // A call of mlx-rs, before MLX's own: see `custom_vjp`.
    let constant = constant.clone();
    if !constant.dtype().is_inexact() {
        return Ok(constant);
    }
    let same = |inputs: &[Array], _: &[Array]| Ok(inputs.to_vec());
    let refuse = move |_: &[Array], _: &[Array]| {
        Err(Exception::custom(format!(
            "checkpointing: constant {place} of block {block} needs a gradient: make it a primal, or `stop_gradient` it"
        )))
    };
    let same = custom_vjp(
        Box::new(same),
        Box::new(refuse),
        std::slice::from_ref(&constant),
    )?;
    same.into_iter()
        .next()
        .ok_or_else(|| Exception::custom("checkpointing: MLX returned no array"))
}

/// Refuses what has no gradient to compute.
#[track_caller]
pub(super) fn check_primals(block: usize, primals: &[Array]) -> Result<()> {
    if primals.is_empty() {
        return Err(Exception::custom(format!(
            "checkpointing: block {block} has no primals, so there is no gradient to recompute for"
        )));
    }
    match primals
        .iter()
        .position(|primal| !primal.dtype().is_inexact())
    {
        None => Ok(()),
        Some(place) => Err(Exception::custom(format!(
            "checkpointing: primal {place} of block {block} is of {:?}, which has no gradient: make it a constant",
            primals[place].dtype()
        ))),
    }
}
