//! Layers whose state does not grow with the context, and what stands between them.
//!
//! A convolution keeps its last inputs, one less than its kernel is long, in the type that the model computes in. What
//! a recurrence keeps is 32 bits wide where mlx-lm makes it so, or where the step that it is multiplied with is.

use super::attention::{check_count, grouped, layers};
use super::fields::{Fields, Wrong, told};
use crate::train::estimate::shape::Layer;

fn convolution(kernel: u64, width: u64) -> u64 {
    kernel.saturating_sub(1).saturating_mul(width)
}

fn product(sides: &[u64]) -> u64 {
    sides.iter().fold(1, |all, side| all.saturating_mul(*side))
}

/// Gated delta networks (Qwen3-Next, Qwen3.5): every n-th layer is attention. State of a layer: (values' heads, values'
/// width, keys' width) in 32 bits; the convolution runs over queries, keys and values.
pub(super) fn gated_delta(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let attention = Layer::Full(grouped(fields)?);
    let values = fields.size("linear_num_value_heads")?;
    let keys = fields.size("linear_num_key_heads")?;
    let (key, value) = (
        fields.size("linear_key_head_dim")?,
        fields.size("linear_value_head_dim")?,
    );
    let width = product(&[2, keys, key]).saturating_add(product(&[values, value]));
    let linear = Layer::State {
        numbers: convolution(fields.size("linear_conv_kernel_dim")?, width),
        singles: product(&[values, value, key]),
    };
    if let Some(types) = fields.words("layer_types")? {
        return by_names(
            fields,
            &types,
            &[("full_attention", attention), ("linear_attention", linear)],
        );
    }
    let n = fields.size_or("full_attention_interval", 4)?;
    let layer = |at: u64| {
        if (at + 1).is_multiple_of(n) {
            attention
        } else {
            linear
        }
    };
    Ok((0..layers(fields)?).map(layer).collect())
}

/// Short convolutions (LFM2): a layer of them keeps the last inputs of its kernel.
pub(super) fn short_convolution(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let attention = Layer::Full(grouped(fields)?);
    let short = Layer::State {
        numbers: convolution(fields.size("conv_L_cache")?, fields.size("hidden_size")?),
        singles: 0,
    };
    if let Some(full) = fields.numbers("full_attn_idxs")? {
        let layer = |at| if full.contains(&at) { attention } else { short };
        return Ok((0..layers(fields)?).map(layer).collect());
    }
    let types = fields
        .words("layer_types")?
        .ok_or("`layer_types` is not there")?;
    by_names(
        fields,
        &types,
        &[("full_attention", attention), ("conv", short)],
    )
}

/// The second Mamba: (heads, their width, state) in 32 bits, since its step is; the convolution runs over the inputs
/// and the groups' two projections.
fn mamba2(heads: u64, dim: u64, state: u64, groups: u64, kernel: u64) -> (u64, u64) {
    let width = product(&[heads, dim]).saturating_add(product(&[2, groups, state]));
    (convolution(kernel, width), product(&[heads, dim, state]))
}

/// [`mamba2`] by the names that Granite and Falcon give its sizes.
fn named_mamba2(fields: &Fields<'_>) -> Result<(u64, u64), Wrong> {
    Ok(mamba2(
        fields.size("mamba_n_heads")?,
        fields.size("mamba_d_head")?,
        fields.size("mamba_d_state")?,
        fields.size("mamba_n_groups")?,
        fields.size("mamba_d_conv")?,
    ))
}

/// Granite 4's hybrids: `layer_types` of `mamba` and `attention`.
pub(super) fn granite(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let types = fields
        .words("layer_types")?
        .ok_or("`layer_types` is not there")?;
    let attention = Layer::Full(grouped(fields)?);
    let state = if types.contains(&"mamba") {
        let (numbers, singles) = named_mamba2(fields)?;
        Layer::State { numbers, singles }
    } else {
        Layer::Nothing
    };
    by_names(
        fields,
        &types,
        &[("attention", attention), ("mamba", state)],
    )
}

/// Falcon-H1: attention and a state in every layer.
pub(super) fn falcon(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let (numbers, singles) = named_mamba2(fields)?;
    let layer = Layer::Both {
        width: grouped(fields)?,
        numbers,
        singles,
    };
    Ok(vec![layer; layers(fields)? as usize])
}

/// Nemotron-H: a letter for each layer, `M` a state, `*` attention, others feed-forward alone.
pub(super) fn nemotron(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let attention = Layer::Full(grouped(fields)?);
    let (numbers, singles) = mamba2(
        fields.size("mamba_num_heads")?,
        fields.size("mamba_head_dim")?,
        fields.size("ssm_state_size")?,
        fields.size("n_groups")?,
        fields.size("conv_kernel")?,
    );
    let state = Layer::State { numbers, singles };
    if let Some(letters) = fields.text("hybrid_override_pattern") {
        let layer = |letter| match letter {
            'M' => Ok(state),
            '*' => Ok(attention),
            '-' | 'E' => Ok(Layer::Nothing),
            _ => Err("`hybrid_override_pattern` has an unknown letter".to_owned()),
        };
        check_count(letters.len() as u64)?;
        return letters.chars().map(layer).collect();
    }
    let types = fields
        .words("layers_block_type")?
        .ok_or("`hybrid_override_pattern` is not there")?;
    check_count(types.len() as u64)?;
    let kinds = [
        ("mamba", state),
        ("attention", attention),
        ("moe", Layer::Nothing),
        ("mlp", Layer::Nothing),
    ];
    types.iter().map(|name| find(name, &kinds)).collect()
}

/// The first Mamba: (inner width, state), in 32 bits where its constants are.
fn mamba1(inner: u64, state: u64, kernel: u64) -> Layer {
    Layer::State {
        numbers: convolution(kernel, inner),
        singles: product(&[inner, state]),
    }
}

pub(super) fn mamba(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let inner = fields.size("intermediate_size")?;
    let layer = mamba1(
        inner,
        fields.size("state_size")?,
        fields.size("conv_kernel")?,
    );
    Ok(vec![layer; layers(fields)? as usize])
}

/// Jamba: attention every `attn_layer_period` layers.
pub(super) fn jamba(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let attention = Layer::Full(grouped(fields)?);
    let inner = fields
        .size("mamba_expand")?
        .saturating_mul(fields.size("hidden_size")?);
    let state = mamba1(
        inner,
        fields.size("mamba_d_state")?,
        fields.size("mamba_d_conv")?,
    );
    if let Some(types) = fields.words("layers_block_type")? {
        return by_names(
            fields,
            &types,
            &[("attention", attention), ("mamba", state)],
        );
    }
    let period = fields.size("attn_layer_period")?;
    let offset = fields
        .number("attn_layer_offset")?
        .ok_or("`attn_layer_offset` is not there")?;
    let layer = |at: u64| {
        if at % period == offset {
            attention
        } else {
            state
        }
    };
    Ok((0..layers(fields)?).map(layer).collect())
}

fn by_names(
    fields: &Fields<'_>,
    names: &[&str],
    kinds: &[(&str, Layer)],
) -> Result<Vec<Layer>, Wrong> {
    let layers = layers(fields)?;
    if names.len() as u64 != layers {
        return Err(format!(
            "it names the kinds of {} layers of {layers}",
            names.len()
        ));
    }
    names.iter().map(|name| find(name, kinds)).collect()
}

fn find(name: &str, kinds: &[(&str, Layer)]) -> Result<Layer, Wrong> {
    let found = kinds.iter().find(|(kind, _)| *kind == name);
    found
        .map(|(_, layer)| *layer)
        .ok_or_else(|| format!("there is a layer of kind {}", told(name)))
}
