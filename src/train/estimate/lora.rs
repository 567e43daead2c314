//! Low-rank adapters: which matrices get one, and how large they are.
//!
//! An adapter of a matrix (out, in) is two matrices of 32 bits, (in, rank) and (rank, out); of a stack of experts as many
//! of both (mlx-lm, `tuner/lora.py`).

use super::Problem;
use super::model::Model;
use super::read::Tensor;
use crate::print::Name;
use serde::Serialize;
use std::collections::HashMap;

/// Which adapters are trained.
///
/// Without [`matrices`](Lora::matrices) all of a layer's matrices get one, as in mlx-lm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lora {
    rank: u64,
    matrices: Vec<String>,
    layers: Option<u64>,
}

impl Lora {
    /// Adapters of this rank, at least 1, for all matrices of all layers.
    pub fn rank(rank: u64) -> Self {
        Self {
            rank: rank.max(1),
            matrices: Vec::new(),
            layers: None,
        }
    }

    /// Only for matrices of these names, by the ends of their paths: `q_proj`, or `self_attn.q_proj`.
    #[must_use]
    pub fn matrices<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.matrices = names.into_iter().map(Into::into).collect();
        self
    }

    /// Only in the last n layers: mlx-lm's `--num-layers`, 16 there by default.
    #[must_use]
    pub fn last_layers(mut self, n: u64) -> Self {
        self.layers = Some(n);
        self
    }
}

/// What adapters add.
#[derive(Default)]
pub(super) struct Added {
    pub(super) arrays: u64,
    pub(super) numbers: u64,
}

pub(super) fn count(model: &Model, lora: &Lora) -> (Added, Vec<Problem>) {
    let tensors = &model.inner.tensors;
    let scales: HashMap<&str, &Tensor> = tensors
        .iter()
        .filter_map(|tensor| Some((tensor.name.strip_suffix(".scales")?, tensor)))
        .collect();
    let matrices: Vec<(&str, u64, &Tensor)> = tensors.iter().filter_map(matrix).collect();
    let last = matrices
        .iter()
        .map(|(_, layer, _)| *layer)
        .max()
        .unwrap_or(0);
    let first = lora.layers.map_or(0, |n| (last + 1).saturating_sub(n));
    let mut added = Added::default();
    let mut unclear = None;
    for (path, layer, tensor) in matrices {
        if layer < first || !is_named(path, &lora.matrices) {
            continue;
        }
        let packed = !matches!(tensor.dtype.as_str(), "F16" | "BF16" | "F32" | "F8_E4M3");
        let (experts, out, of) = sides(&tensor.shape);
        let of = if packed {
            let group = model.inner.config.quantised.map(|(_, group)| group);
            let scales = scales.get(path).and_then(|scales| scales.shape.last());
            match (scales, group) {
                (Some(groups), Some(group)) => groups.saturating_mul(group),
                _ => {
                    unclear = Some(path);
                    continue;
                }
            }
        } else {
            of
        };
        added.arrays += 2;
        let sides = out.saturating_add(of);
        added.numbers = added
            .numbers
            .saturating_add(experts.saturating_mul(sides).saturating_mul(lora.rank));
    }
    let mut problems = Vec::new();
    if let Some(path) = unclear {
        problems.push(Problem::error(
            "lora-width",
            format!(
                "{} is quantised, and neither scales nor config.json say how wide it is",
                Name::new(path)
            ),
            "name a folder whose config.json has `quantization`",
        ));
    } else if added.arrays == 0 {
        problems.push(Problem::error(
            "lora-nothing",
            "no matrix of the model is one that adapters were asked for".to_owned(),
            "name matrices by the ends of their paths, as `q_proj`",
        ));
    }
    (added, problems)
}

/// A layer's matrix: its path, the layer's number, and itself.
fn matrix(tensor: &Tensor) -> Option<(&str, u64, &Tensor)> {
    let path = tensor.name.strip_suffix(".weight")?;
    let layer = path.split('.').find_map(|part| part.parse().ok())?;
    // Kernels of convolutions have three sides, too: the last is the kernel's, or 1.
    let is_matrix = match tensor.shape.as_slice() {
        [_, _] => true,
        [_, _, last] => *last > 16,
        _ => false,
    };
    is_matrix.then_some((path, layer, tensor))
}

/// Experts, rows and columns.
fn sides(shape: &[u64]) -> (u64, u64, u64) {
    match *shape {
        [experts, out, of] => (experts, out, of),
        [out, of] => (1, out, of),
        _ => (0, 0, 0),
    }
}

/// Whether a path ends with one of the names, at a dot.
fn is_named(path: &str, names: &[String]) -> bool {
    let ends = |name: &String| {
        let front = path.strip_suffix(name.as_str());
        front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    names.is_empty() || names.iter().any(ends)
}
