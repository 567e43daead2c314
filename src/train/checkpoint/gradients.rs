//! mlx-rs's `value_and_grad`, with the cause of what fails in a backward pass.

use super::with_cause;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::module::{FlattenedModuleParam, ModuleParameters};
use mlx_rs::nn::IntoModuleValueAndGrad;
use mlx_rs::transforms::{IntoKeyedValueAndGrad, IntoValueAndGrad, KeyedGrad, KeyedParameters};
use mlx_rs::utils::IntoOption;

/// `mlx_rs::transforms::value_and_grad_with_argnums`: a function that computes the values of `f`, and the gradients of the
/// first by the arguments at `argnums` (`None`: the first). Its error is what went wrong in a block, also in its backward
/// pass.
///
/// ```
/// use mlx_rs::{Array, array, error::Exception};
/// use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};
///
/// let blocks = Checkpointing::new(Recompute::All);
/// let scaled = |primals: &[Array], scale: &[Array]| Ok(vec![primals[0].multiply(&scale[0])?]);
/// let loss = |arguments: &[Array]| blocks.block(0, scaled, &arguments[..1], &arguments[1..]);
///
/// let arguments = [array!(2.0_f32), array!(3.0_f32)];
/// let (_, gradients) = value_and_grad(loss, None)(&arguments)?;
/// assert_eq!(gradients[0].item_exact::<f32>(), 3.0);
///
/// // The second is a constant of the block.
/// let error = value_and_grad(loss, &[0, 1])(&arguments).unwrap_err();
/// assert!(error.what().contains("constant 0 of block 0 needs a gradient"));
/// # Ok::<(), Exception>(())
/// ```
pub fn value_and_grad<'a, F, Err>(
    f: F,
    argnums: impl IntoOption<&'a [i32]>,
) -> impl FnMut(&[Array]) -> Result<(Vec<Array>, Vec<Array>)> + 'a
where
    F: IntoValueAndGrad<'a, Err> + 'a,
{
    let mut inner = f.into_value_and_grad(argnums);
    move |arguments| with_cause(|| inner(arguments))
}

/// `mlx_rs::transforms::keyed_value_and_grad`: gradients by named parameters, with the cause as its error.
pub fn keyed_value_and_grad<'a, F, Arr, Args, Err>(
    f: F,
) -> impl FnMut(KeyedParameters<Arr>, Args) -> Result<(Vec<Array>, KeyedGrad)> + 'a
where
    F: IntoKeyedValueAndGrad<'a, Arr, Args, Err> + 'a,
    Arr: AsRef<Array>,
    Args: Clone,
{
    let mut inner = f.into_keyed_value_and_grad();
    move |parameters, arguments| with_cause(|| inner(parameters, arguments))
}

/// `mlx_rs::nn::value_and_grad`: gradients by a module's trainable parameters, with the cause as its error.
/// [`Checkpointing::module`](super::Checkpointing::module) has an example.
pub fn module_value_and_grad<'a, F, M, Args, Val, Err>(
    f: F,
) -> impl FnMut(&mut M, Args) -> Result<(Val, FlattenedModuleParam)> + 'a
where
    M: ModuleParameters + 'a,
    F: IntoModuleValueAndGrad<'a, M, Args, Val, Err>,
    Args: Clone,
{
    let mut inner = f.into_module_value_and_grad();
    move |model, arguments| with_cause(|| inner(model, arguments))
}
