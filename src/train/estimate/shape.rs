//! What a model's `config.json` says about the memory its work takes.

use serde::Serialize;

/// A network's measures, as far as memory depends on them: read from a `config.json`, by the family it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Shape {
    /// The family: `model_type`, escaped and cut. Of a model with pictures or sound the part that writes text.
    pub family: String,
    /// What each layer keeps while text is generated, in order. An indexer's keys are a layer of their own.
    pub layers: Vec<Layer>,
    /// Width of what goes from layer to layer.
    pub hidden: u64,
    /// Width of the queries of all heads, or of what takes their place.
    pub attention: u64,
    /// Width inside a layer's feed-forward part, for as many experts as a token uses.
    pub inner: u64,
    /// Heads of queries.
    pub heads: u64,
    /// Words in the vocabulary.
    pub vocabulary: u64,
    /// The longest context that the configuration states.
    pub longest: Option<u64>,
    /// Bytes of a number in the computation: as the weights are stored; before they are there as `dtype` or `torch_dtype`
    /// says, 2 where neither does.
    pub number: u64,
    /// Whether scores of attention are computed by MLX's fused kernel on Apple's GPUs, which keeps none of them. A cache
    /// that is quantised never is.
    pub is_fused: bool,
    /// It has layers of the first Mamba, whose work while a prompt is read is not estimated.
    pub(super) scans: bool,
}

/// What one layer keeps of the tokens it has seen. Widths are numbers for each sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Layer {
    /// Keys and values of the whole context.
    Full(Width),
    /// Keys and values of the last tokens.
    Window {
        /// How wide they are.
        #[serde(flatten)]
        width: Width,
        /// How many tokens.
        window: u64,
    },
    /// A state that does not grow: recurrent and convolutional layers.
    State {
        /// Numbers of the type that the model computes in.
        numbers: u64,
        /// Numbers that are kept in 32 bits whatever the model computes in.
        singles: u64,
    },
    /// Full keys and values and a state in one layer.
    Both {
        /// How wide keys and values are.
        #[serde(flatten)]
        width: Width,
        /// Numbers of the state, of the type that the model computes in.
        numbers: u64,
        /// Numbers of the state that are kept in 32 bits.
        singles: u64,
    },
    /// Nothing: feed-forward layers that are counted as layers.
    Nothing,
}

/// How wide the keys and values of a token are, over all heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Width {
    /// Numbers that are kept of a token: its keys, and its values.
    pub sides: [u64; 2],
    /// Rows that they are kept in, which are quantised each by itself: heads of keys and values.
    pub rows: u64,
}

impl Width {
    pub(super) fn new(rows: u64, key: u64, value: u64) -> Self {
        Self {
            sides: [rows.saturating_mul(key), rows.saturating_mul(value)],
            rows,
        }
    }

    pub(super) fn numbers(self) -> u64 {
        self.sides[0].saturating_add(self.sides[1])
    }
}
