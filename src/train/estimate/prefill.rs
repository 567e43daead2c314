//! What reading a prompt takes beside the cache.

use super::item::{Certainty, Item};
use super::kv::Tokens;
use super::shape::{Layer, Shape};
use super::thousands::thousands;
use crate::ffi::DeviceKind;

const SOURCE: &str = "counted from mlx-lm 0.32, models/llama.py, and MLX's fast.cpp";

/// The largest of what one layer's two halves hold at once, for a chunk of the prompt. Arrays of one layer alone: MLX
/// frees them as it goes, up to what it has begun ahead.
pub(super) fn item(shape: &Shape, tokens: &Tokens, device: DeviceKind) -> Item {
    let read = tokens.chunk.min(tokens.context);
    let product = |sides: &[u64]| {
        sides
            .iter()
            .fold(1_u64, |all, side| all.saturating_mul(*side))
    };
    let widest = shape.layers.iter().filter_map(|layer| match layer {
        Layer::Full(width) | Layer::Window { width, .. } | Layer::Both { width, .. } => {
            Some(width.numbers())
        }
        _ => None,
    });
    let widest = widest.max().unwrap_or(0);
    let stream = shape.hidden.saturating_mul(2);
    let forward = stream.saturating_add(shape.inner.saturating_mul(3));
    let attention = stream
        .saturating_add(shape.attention.saturating_mul(3))
        .saturating_add(widest);
    // Without the fused kernel: scores and their softmax, of every head, and the mask. It takes no quantised cache, and
    // on CUDA (cuDNN's) no numbers of 32 bits.
    let takes = match device {
        DeviceKind::Metal => true,
        DeviceKind::Cuda => shape.number == 2,
        DeviceKind::Cpu => false,
    };
    let has_scores = !shape.is_fused || !takes || tokens.quantised.is_some();
    let seen = shape.layers.iter().map(|layer| match *layer {
        Layer::Full(_) | Layer::Both { .. } => tokens.context,
        Layer::Window { window, .. } => tokens.in_window(window),
        _ => 0,
    });
    let seen = seen.max().unwrap_or(0);
    let scores = if has_scores {
        let scores = product(&[2, shape.heads, read, seen, shape.number]);
        scores.saturating_add(product(&[read, seen]))
    } else {
        0
    };
    let attention = product(&[read, attention, shape.number]).saturating_add(scores);
    let forward = product(&[read, forward, shape.number]);
    let logits = shape.vocabulary.saturating_mul(4);
    let bytes = attention.max(forward).saturating_add(logits);
    let scores = if has_scores {
        ", scores of attention included"
    } else {
        ""
    };
    Item {
        id: "prefill",
        what: "work while a prompt is read".to_owned(),
        bytes: bytes.saturating_mul(tokens.batch),
        formula: format!(
            "{} x the larger half of a layer for {} tokens{scores}, and a token's logits",
            thousands(tokens.batch),
            thousands(read)
        ),
        source: SOURCE,
        certainty: if shape.scans {
            Certainty::Unknown
        } else {
            Certainty::Estimated
        },
        is_held: false,
    }
}
