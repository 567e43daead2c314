//! Layers of attention: how wide keys and values are, and which layers see only a window.

use super::fields::{Fields, Wrong, told};
use crate::train::estimate::shape::{Layer, Width};

/// How many layers a model may have.
const MOST_LAYERS: u64 = 4096;

pub(super) fn layers(fields: &Fields<'_>) -> Result<u64, Wrong> {
    let layers = fields.size("num_hidden_layers").or_else(|wrong| {
        fields
            .size("n_layer")
            .or_else(|_| fields.size("n_layers"))
            .map_err(|_| wrong)
    })?;
    check_count(layers)?;
    Ok(layers)
}

/// Not more layers than any model has.
pub(super) fn check_count(layers: u64) -> Result<(), Wrong> {
    match layers <= MOST_LAYERS {
        true => Ok(()),
        false => Err(format!("{layers} layers are more than any model has")),
    }
}

/// Keys and values of grouped heads: `num_key_value_heads` of them, as many as heads of queries where the field is not
/// there; `head_dim` wide, or as wide as the hidden width divided by the heads of queries.
pub(super) fn grouped(fields: &Fields<'_>) -> Result<Width, Wrong> {
    let (heads, dim) = heads(fields)?;
    let groups = fields.size_or("num_key_value_heads", heads)?;
    Ok(Width::new(groups, dim, dim))
}

/// Heads of queries, and how wide each is.
pub(super) fn heads(fields: &Fields<'_>) -> Result<(u64, u64), Wrong> {
    let heads = fields.size("num_attention_heads")?;
    let dim = match fields.number("head_dim")? {
        Some(0) => return Err("`head_dim` is 0".to_owned()),
        Some(dim) => dim,
        None => match fields.size("hidden_size")? / heads {
            0 => return Err("there are more heads than the hidden width".to_owned()),
            dim => dim,
        },
    };
    Ok((heads, dim))
}

pub(super) fn full(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let width = grouped(fields)?;
    Ok(vec![Layer::Full(width); layers(fields)? as usize])
}

/// By `layer_types`, which names each layer's kind.
pub(super) fn by_types(fields: &Fields<'_>, types: &[&str]) -> Result<Vec<Layer>, Wrong> {
    let (width, layers) = (grouped(fields)?, layers(fields)?);
    if types.len() as u64 != layers {
        return Err(format!(
            "`layer_types` names {} layers of {layers}",
            types.len()
        ));
    }
    let layer = |kind: &&str| match *kind {
        "full_attention" => Ok(Layer::Full(width)),
        "sliding_attention" => {
            let window = fields.size("sliding_window")?;
            Ok(Layer::Window { width, window })
        }
        other => Err(format!("`layer_types` has a layer of kind {}", told(other))),
    };
    types.iter().map(layer).collect()
}

/// By `layer_types` where they are there; else every n-th layer sees everything, and the others a window.
pub(super) fn every(fields: &Fields<'_>, n: u64) -> Result<Vec<Layer>, Wrong> {
    if let Some(types) = fields.words("layer_types")? {
        return by_types(fields, &types);
    }
    let width = grouped(fields)?;
    let window = fields.size("sliding_window")?;
    let layer = |at: u64| match (at + 1).is_multiple_of(n) {
        true => Layer::Full(width),
        false => Layer::Window { width, window },
    };
    Ok((0..layers(fields)?).map(layer).collect())
}

/// By a repeated word of `L` (a window) and `G` (everything).
pub(super) fn by_letters(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    if let Some(types) = fields.words("layer_types")? {
        return by_types(fields, &types);
    }
    let Some(pattern) = fields.text("sliding_window_pattern") else {
        return full(fields);
    };
    let width = grouped(fields)?;
    let window = fields.size("sliding_window")?;
    let letters = pattern.bytes().cycle().take(layers(fields)? as usize);
    let layer = |letter| match letter {
        b'L' => Layer::Window { width, window },
        _ => Layer::Full(width),
    };
    Ok(letters.map(layer).collect())
}

/// Gemma 3n and 4: by `layer_types`, and the last `num_kv_shared_layers` use what earlier ones keep. In Gemma 4 layers
/// that see everything may have heads of other widths and numbers.
pub(super) fn shared(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let types = fields
        .words("layer_types")?
        .ok_or("`layer_types` is not there")?;
    let mut layers = by_types(fields, &types)?;
    let sliding = grouped(fields)?;
    if let Some(dim) = fields.number("global_head_dim")?.filter(|dim| *dim > 0) {
        let heads = match fields.flag("attention_k_eq_v", false) {
            true => fields
                .number("num_global_key_value_heads")?
                .unwrap_or(sliding.rows),
            false => sliding.rows,
        };
        for layer in &mut layers {
            if let Layer::Full(width) = layer {
                *width = Width::new(heads, dim, dim);
            }
        }
    }
    let shared = fields.number("num_kv_shared_layers")?.unwrap_or(0);
    let own = layers.len().saturating_sub(shared as usize);
    layers[own..].fill(Layer::Nothing);
    Ok(layers)
}

/// Latent attention as DeepSeek's second version has it in mlx-lm: the latents are expanded before they are kept, so
/// keys and values of all heads are.
pub(super) fn expanded(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let heads = fields.size("num_attention_heads")?;
    let key = fields
        .size("qk_nope_head_dim")?
        .saturating_add(fields.size("qk_rope_head_dim")?);
    let value = match fields.number("v_head_dim")? {
        Some(value) => value,
        // MiniCPM3's class has no such field.
        None => fields.size("hidden_size")? / heads,
    };
    Ok(vec![
        Layer::Full(Width::new(heads, key, value));
        layers(fields)? as usize
    ])
}

/// Latent attention that keeps the latents: one row of `kv_lora_rank` and one of `qk_rope_head_dim` a token.
pub(super) fn latent(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let width = Width::new(
        1,
        fields.size("kv_lora_rank")?,
        fields.size("qk_rope_head_dim")?,
    );
    Ok(vec![Layer::Full(width); layers(fields)? as usize])
}

/// The same with the keys of an indexer beside them, in a cache of their own.
pub(super) fn indexed(fields: &Fields<'_>) -> Result<Vec<Layer>, Wrong> {
    let latent = latent(fields)?;
    let indexer = Layer::Full(Width::new(1, fields.size("index_head_dim")?, 0));
    Ok(latent
        .into_iter()
        .flat_map(|layer| [layer, indexer])
        .collect())
}

/// GPT-2's names for the same: `n_embd`, `n_head`; with one head of keys and values for all, or as many as of queries.
pub(super) fn learned(fields: &Fields<'_>, is_shared: bool) -> Result<Vec<Layer>, Wrong> {
    let (heads, dim) = heads_of_any(fields, fields.size("n_embd")?)?;
    let width = Width::new(if is_shared { 1 } else { heads }, dim, dim);
    Ok(vec![Layer::Full(width); layers(fields)? as usize])
}

/// Heads of queries and their width, by whatever names.
pub(super) fn heads_of_any(fields: &Fields<'_>, hidden: u64) -> Result<(u64, u64), Wrong> {
    if let Some(count) = fields.number("n_head")?.filter(|count| *count > 0) {
        return Ok((count, hidden / count));
    }
    if let Some(nope) = fields.number("qk_nope_head_dim")? {
        let dim = nope.saturating_add(fields.size("qk_rope_head_dim")?);
        return Ok((fields.size("num_attention_heads")?, dim));
    }
    heads(fields)
}
