//! What is done with a model.

use super::model::Model;
use super::training::Training;
use crate::ffi::DeviceKind;
use crate::train::Knob;
use serde::Serialize;

/// How a cache of keys and values is quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Quantised {
    /// Bits of a number.
    pub bits: u64,
    /// How many numbers share a scale and a bias.
    pub group: u64,
}

/// A model, and what is done with it: text is generated, unless [`train`](Workload::train) says otherwise.
///
/// ```no_run
/// use mlx_wired::train::estimate::{Model, Optimizer, Training, Workload, estimate, plan};
///
/// # fn main() -> Result<(), mlx_wired::train::Error> {
/// let model = Model::read("models/qwen3-8b")?;
///
/// // Four conversations of up to 8,192 tokens each: what do they take?
/// let serving = Workload::new(model.clone()).context(8_192).batch(4);
/// print!("{}", estimate(&serving));
///
/// // Does full training fit into 48 GiB?
/// let training = Workload::new(model).train(Training::new(Optimizer::AdamW));
/// print!("{}", plan(48 << 30, &training));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Workload {
    pub(super) model: Model,
    pub(super) context: Knob,
    pub(super) batch: Knob,
    pub(super) chunk: Knob,
    pub(super) quantised: Option<Quantised>,
    pub(super) device: DeviceKind,
    pub(super) training: Option<Training>,
}

impl Workload {
    /// Text generation with everything [`Auto`](Knob::Auto), on Apple's GPU.
    pub fn new(model: Model) -> Self {
        Self {
            model,
            context: Knob::Auto,
            batch: Knob::Auto,
            chunk: Knob::Auto,
            quantised: None,
            device: DeviceKind::Metal,
            training: None,
        }
    }

    /// Tokens of each sequence, prompt and answer together. `Auto` begins with
    /// [`DEFAULT_CONTEXT`](super::DEFAULT_CONTEXT), or the configuration's longest if that is shorter: never with a
    /// configuration's maximum in silence, which may be a hundred times what is used.
    #[must_use]
    pub fn context(mut self, tokens: impl Into<Knob>) -> Self {
        self.context = tokens.into();
        self
    }

    /// How many sequences at once; in training how many rows of a batch. `Auto` begins with 1, in training with all
    /// [rows](Training::rows) of a step.
    #[must_use]
    pub fn batch(mut self, sequences: impl Into<Knob>) -> Self {
        self.batch = sequences.into();
        self
    }

    /// How many tokens of a prompt are read at once. `Auto` begins with mlx-lm's 2,048.
    #[must_use]
    pub fn prefill(mut self, tokens: impl Into<Knob>) -> Self {
        self.chunk = tokens.into();
        self
    }

    /// The cache of keys and values is quantised: mlx-lm's `--kv-bits` and `--kv-group-size`.
    #[must_use]
    pub fn quantised_cache(mut self, bits: u64, group: u64) -> Self {
        self.quantised = Some(Quantised { bits, group });
        self
    }

    /// Where it runs, which decides what attention keeps while a prompt is read.
    #[must_use]
    pub fn on(mut self, device: DeviceKind) -> Self {
        self.device = device;
        self
    }

    /// The model is trained.
    #[must_use]
    pub fn train(mut self, training: Training) -> Self {
        self.training = Some(training);
        self
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
}
